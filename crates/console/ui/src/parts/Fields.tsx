// The members of an object as fields, made from its JSON schema. What has no field of its own is written as JSON.

import { ActionIcon, Button, Fieldset, CopyButton, Group, PasswordInput, Select, Stack, Switch, TagsInput, Text, Textarea, TextInput } from '@mantine/core';
import { IconPlus, IconTrash } from '@tabler/icons-react';
import { useEffect, useId, useRef, useState } from 'react';

import type { Json, Members } from '../lib/api';
import type { Shape } from '../lib/schema';
import { random } from '../lib/secrets';
import { t } from '../texts';
import { Coded } from './Coded';
import { NumberField } from './NumberField';
import { useUnread } from './unread';

interface FieldProps {
  name: string;
  shape: Shape;
  value: Json | undefined;
  required?: boolean;
  error?: string;
  onChange: (value: Json | undefined) => void;
  /** Whether it is a member of an object itself, which has words of its own here. */
  own?: boolean;
  /** Errors by JSON pointer, relative to this field. */
  errors?: Record<string, string>;
}

const MOST_ABOUT = 220;

/** The first sentences of what a schema says of a member. */
const short = (about: string | undefined) => {
  if (!about || about.length <= MOST_ABOUT) return about;
  const cut = about.slice(0, MOST_ABOUT);
  const kept = cut.slice(0, Math.max(cut.lastIndexOf('. ') + 1, 120));
  // Code isn't cut in two.
  const whole = kept.split('`').length % 2 === 0 ? kept.slice(0, kept.lastIndexOf('`')).trimEnd() : kept;
  return `${whole} …`;
};

export function JsonField({ label, about, value, error, onChange }: { label: string; about?: string; value: Json | undefined; error?: string; onChange: (value: Json | undefined) => void }) {
  const shown = value === undefined ? '' : JSON.stringify(value, null, 2);
  const [text, setText] = useState(shown);
  const [bad, setBad] = useState(false);
  useUnread(bad);
  useEffect(() => {
    // What was changed elsewhere is shown; what is being typed here stays as it is typed.
    try {
      if (text.trim() !== '' && JSON.stringify(JSON.parse(text)) === JSON.stringify(value)) return;
    } catch {
      if (bad) return;
    }
    setText(shown);
    // eslint-disable-next-line
  }, [shown]);
  return (
    <Textarea
      label={`${label} (${t.form.asJson})`}
      description={about && <Coded text={short(about) ?? ''} />}
      value={text}
      error={bad ? t.form.badJson : error}
      autosize
      minRows={1}
      maxRows={12}
      styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)', fontSize: '0.82rem' } }}
      onChange={(event) => {
        const next = event.currentTarget.value;
        setText(next);
        if (next.trim() === '') {
          setBad(false);
          onChange(undefined);
          return;
        }
        try {
          onChange(JSON.parse(next));
          setBad(false);
        } catch {
          setBad(true);
        }
      }}
    />
  );
}

export function Pairs({ label, about, value, error, onChange }: { label: string; about?: string; error?: string; value: Json | undefined; onChange: (value: Json | undefined) => void }) {
  const pairs = Object.entries((value ?? {}) as Members);
  const shown = (text: Json) => (typeof text === 'string' ? text : JSON.stringify(text));
  const [fresh, setFresh] = useState<[string, string]>();
  const id = useId();
  const put = (all: (readonly [string, Json])[]) => onChange(all.length > 0 ? Object.fromEntries(all) : undefined);
  const commit = () => {
    if (fresh && fresh[0].trim() !== '') {
      put([...pairs, [fresh[0].trim(), fresh[1]]]);
      setFresh(undefined);
    }
  };
  return (
    <div role="group" aria-labelledby={id}>
      <Text size="sm" fw={600} id={id}>
        {label}
      </Text>
      {about && (
        <Text size="xs" c="dimmed" mb={4}>
          <Coded text={short(about) ?? ''} />
        </Text>
      )}
      <Stack gap={6}>
        {pairs.map(([name, text], at) => (
          <Group key={name} gap={6} wrap="nowrap">
            <TextInput size="sm" value={name} readOnly aria-label={`${label}: ${t.form.key}`} style={{ flex: 1 }} />
            <TextInput
              size="sm"
              value={shown(text)}
              aria-label={`${label}: ${name}`}
              style={{ flex: 1.4 }}
              onChange={(event) => {
                const next = event.currentTarget.value;
                put(pairs.map((pair, index) => (index === at ? [name, next] : pair)));
              }}
            />
            <ActionIcon variant="subtle" color="gray" aria-label={t.form.removePair(name)} onClick={() => put(pairs.filter((_, index) => index !== at))}>
              <IconTrash size={16} aria-hidden />
            </ActionIcon>
          </Group>
        ))}
        {fresh ? (
          <Group gap={6} wrap="nowrap" onBlur={(event) => !event.currentTarget.contains(event.relatedTarget) && commit()}>
            <TextInput size="sm" autoFocus placeholder={t.form.key} aria-label={`${label}: ${t.form.key}`} value={fresh[0]} style={{ flex: 1 }} onChange={(event) => setFresh([event.currentTarget.value, fresh[1]])} />
            <TextInput
              size="sm"
              placeholder={t.form.value}
              aria-label={`${label}: ${t.form.value}`}
              value={fresh[1]}
              style={{ flex: 1.4 }}
              onChange={(event) => setFresh([fresh[0], event.currentTarget.value])}
              onKeyDown={(event) => event.key === 'Enter' && commit()}
            />
            <ActionIcon variant="subtle" color="gray" aria-label={t.remove} onClick={() => setFresh(undefined)}>
              <IconTrash size={16} aria-hidden />
            </ActionIcon>
          </Group>
        ) : (
          <Button variant="subtle" size="compact-sm" leftSection={<IconPlus size={14} aria-hidden />} style={{ alignSelf: 'flex-start' }} onClick={() => setFresh(['', ''])}>
            {t.form.addPair}
          </Button>
        )}
        {error && (
          <Text size="xs" c="red">
            {error}
          </Text>
        )}
      </Stack>
    </div>
  );
}

/** A secret that was made here, to be copied before it is sealed. */
function Made({ label, secret }: { label: string; secret: string }) {
  return (
    <Group gap="xs" mt={6} wrap="nowrap" role="status">
      <Text size="xs" style={{ flex: 1 }} className="wrap">
        <code data-made={label}>{secret}</code> {t.form.secretShown}
      </Text>
      <CopyButton value={secret}>
        {({ copied, copy }) => (
          <Button size="compact-sm" variant="default" onClick={copy} aria-label={`${t.copy} ${label}`}>
            {copied ? t.copied : t.copy}
          </Button>
        )}
      </CopyButton>
    </Group>
  );
}

export function Field({ name, shape, value, required, error, onChange, errors, own }: FieldProps) {
  const known = own ? t.form.fields[name] : undefined;
  const label = known?.[0] ?? name;
  const words = known ? known[1] || undefined : short(shape.about);
  const about = words && <Coded text={words} />;
  const usual = shape.usual === undefined || shape.usual === null ? undefined : typeof shape.usual === 'string' ? shape.usual : JSON.stringify(shape.usual);
  const common = { label, description: about, error, required, withAsterisk: required };
  // What stood there when the form was opened: turned there and back, a switch leaves no trace, and digits that were a text stay one.
  const first = useRef(value);
  const [made, setMade] = useState<Json>();
  switch (shape.kind) {
    case 'text': {
      const text = typeof value === 'string' ? value : value === undefined ? '' : JSON.stringify(value);
      const put = (next: string) => {
        if (next === '' && !required) onChange(undefined);
        else onChange(shape.counts && typeof first.current !== 'string' && /^\d{1,15}$/.test(next) ? Number(next) : next);
      };
      // A key in PEM has lines, which a field for passwords would lose, and none can be made up here.
      const hasLines = text.includes('\n') || (own && name === 'key') || /(private|client)_key$/.test(name);
      if (shape.secret && !hasLines) {
        return (
          <div>
            <Group gap={6} align="flex-end" wrap="nowrap">
              <PasswordInput
                {...common}
                value={text}
                autoComplete="off"
                style={{ flex: 1 }}
                onPaste={(event) => {
                  const pasted = event.clipboardData.getData('text');
                  if (!pasted.trim().includes('\n')) return;
                  event.preventDefault();
                  put(pasted);
                }}
                onChange={(event) => put(event.currentTarget.value)}
              />
              <Button
                variant="default"
                onClick={() => {
                  const secret = random();
                  setMade(secret);
                  put(secret);
                }}
              >
                {t.form.secret}
              </Button>
            </Group>
            {made !== undefined && made === value && <Made label={label} secret={text} />}
          </div>
        );
      }
      if (shape.long || hasLines || (own && ['cert', 'key', 'content'].includes(name))) {
        return <Textarea {...common} value={text} autosize minRows={3} maxRows={14} styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)', fontSize: '0.8rem' } }} onChange={(event) => put(event.currentTarget.value)} />;
      }
      return <TextInput {...common} value={text} placeholder={usual} onChange={(event) => put(event.currentTarget.value)} />;
    }
    case 'whole':
    case 'number':
      return (
        <NumberField {...common} value={value} placeholder={usual} least={shape.least} most={shape.most} decimal={shape.kind === 'number'} maw="16rem" onChange={onChange} />
      );
    case 'truth':
      return (
        <Switch
          label={label}
          description={about}
          error={error}
          checked={typeof value === 'boolean' ? value : shape.usual === true}
          onChange={(event) => {
            const next = event.currentTarget.checked;
            const usually = shape.usual === true;
            if (next === (typeof first.current === 'boolean' ? first.current : usually)) onChange(first.current);
            else onChange(next === usually && !required ? undefined : next);
          }}
        />
      );
    case 'choice':
      return (
        <Select {...common} data={shape.choices} value={typeof value === 'string' ? value : null} placeholder={usual} clearable={!required} maw="22rem" onChange={(next) => onChange(next ?? undefined)} />
      );
    case 'texts':
      return (
        <TagsInput
          {...common}
          description={about || t.form.listHint}
          data={shape.choices ?? []}
          value={Array.isArray(value) ? value.map(String) : []}
          acceptValueOnBlur
          splitChars={[',', ' ']}
          onChange={(next) => onChange(next.length > 0 || required ? next : undefined)}
        />
      );
    case 'pairs':
      return <Pairs label={label} about={words} error={error} value={value} onChange={onChange} />;
    case 'members':
      return (
        <Fieldset legend={label} variant="unstyled" style={{ borderLeft: '2px solid var(--usher-line)', paddingLeft: '0.9rem' }}>
          {about && (
            <Text size="xs" c="dimmed" mb={6}>
              {about}
            </Text>
          )}
          {error && (
            <Text size="xs" c="red" mb={6}>
              {error}
            </Text>
          )}
          <Fields shape={shape} value={(value ?? {}) as Members} absent={value === undefined && !required} errors={errors} onChange={(next) => onChange(Object.keys(next).length > 0 || required ? next : undefined)} />
        </Fieldset>
      );
    default:
      return <JsonField label={label} about={words} value={value} error={error} onChange={onChange} />;
  }
}

/** All members of an object, or those that are named. An object that is absent wants none of them. */
export function Fields({ shape, value, onChange, only, without, errors = {}, own, absent }: { shape: Shape; value: Members; onChange: (value: Members) => void; only?: string[]; without?: string[]; errors?: Record<string, string>; own?: boolean; absent?: boolean }) {
  const all = shape.members ?? [];
  /** What is said of a member; where that has no fields of its own, also of what is in it. */
  const said = (name: string, inner: Shape) => errors[`/${name}`] ?? (inner.kind === 'members' ? undefined : Object.entries(errors).find(([place]) => place.startsWith(`/${name}/`))?.[1]);
  const chosen = only ? only.flatMap((name) => all.filter(([known]) => known === name)) : all.filter(([name]) => !without?.includes(name));
  return (
    <Stack gap="sm">
      {chosen.map(([name, inner, required]) => (
        <Field
          key={name}
          name={name}
          shape={inner}
          required={required && !absent}
          own={own}
          value={value[name]}
          error={said(name, inner)}
          errors={Object.fromEntries(Object.entries(errors).filter(([place]) => place.startsWith(`/${name}/`)).map(([place, text]) => [place.slice(name.length + 1), text]))}
          onChange={(next) => {
            const { [name]: _, ...rest } = value;
            // A member that was there keeps its place.
            if (next === undefined) onChange(rest);
            else onChange({ ...value, [name]: next });
          }}
        />
      ))}
    </Stack>
  );
}
