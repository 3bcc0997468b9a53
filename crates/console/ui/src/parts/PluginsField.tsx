// The plugins of an object: switched on and off, set by forms made from their schemas, and added from a list that one can search.

import { ActionIcon, Alert, Badge, Button, Drawer, Group, Modal, ScrollArea, Stack, Switch, Text, TextInput, UnstyledButton } from '@mantine/core';
import { IconArrowLeft, IconInfoCircle, IconPencil, IconPlus, IconSearch, IconTrash } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { lazy, Suspense, useCallback, useRef, useState } from 'react';

import { get, type Members, type Plugin, type PluginLine } from '../lib/api';
import { spokenOf } from '../lib/blame';
import { shapeOf } from '../lib/schema';
import { fitting } from '../lib/wanted';
import { t } from '../texts';
import { Coded } from './Coded';
import { Fields, JsonField } from './Fields';
import { Problem, Wait } from './Message';
import { Readable } from './unread';

const Manual = lazy(() => import('./Markdown').then(({ Markdown }) => ({ default: Markdown })));

export const pluginsQuery = {
  queryKey: ['plugins'],
  queryFn: ({ signal }: { signal: AbortSignal }) => get<{ plugins: PluginLine[] }>('/plugins', undefined, signal),
  staleTime: Number.POSITIVE_INFINITY,
};

export const pluginQuery = (name: string) => ({
  queryKey: ['plugin', name],
  queryFn: ({ signal }: { signal: AbortSignal }) => get<Plugin>(`/plugins/${encodeURIComponent(name)}`, undefined, signal),
  staleTime: Number.POSITIVE_INFINITY,
});

/** Whether a plugin does anything where there are connections, or requests. */
export const takesPart = (plugin: PluginLine, connections = false) => (connections ? plugin.stream : plugin.requests);

interface Props {
  value: Members;
  onChange: (value: Members) => void;
  /** In consumers a plugin is set by its credential. */
  credentials?: boolean;
  /** On stream routes there are connections, and elsewhere requests. */
  connections?: boolean;
  errors: Record<string, string>;
}

export function PluginsField({ value, onChange, credentials, connections, errors }: Props) {
  const [picking, setPicking] = useState(false);
  const [open, setOpen] = useState<string>();
  // Where the drawer was opened from, to be led back there: a list that a plugin was picked from is gone by then.
  const from = useRef<HTMLElement>(null);
  const adds = useRef<HTMLButtonElement>(null);
  // What can't be read would be lost with the drawer.
  const [stuck, setStuck] = useState(false);
  const known = useQuery(pluginsQuery);
  const names = Object.keys(value);
  const settings = (name: string) => (value[name] ?? {}) as Members;
  const isOff = (name: string) => ((settings(name)._meta ?? {}) as Members).disable === true;
  /** What is said of a plugin's settings, by the places in them. */
  const errorsOf = (name: string) => Object.fromEntries(Object.entries(errors).filter(([place]) => place === `/${name}` || place.startsWith(`/${name}/`)).map(([place, text]) => [place.slice(name.length + 1), text]));
  const turn = (name: string, on: boolean) => {
    const { _meta, ...rest } = settings(name);
    const { disable: _, ...meta } = (_meta ?? {}) as Members;
    const next = on ? meta : { ...meta, disable: true };
    onChange({ ...value, [name]: Object.keys(next).length > 0 ? { ...rest, _meta: next } : rest });
  };
  return (
    <section aria-label={t.form.plugins}>
      <Group justify="space-between" mb="xs">
        <Text fw={600}>{t.form.plugins}</Text>
        <Button variant="light" size="compact-sm" leftSection={<IconPlus size={14} aria-hidden />} ref={adds} onClick={() => setPicking(true)}>
          {t.form.addPlugin}
        </Button>
      </Group>
      {names.length === 0 && (
        <Text size="sm" c="dimmed">
          {t.form.noPlugins}
        </Text>
      )}
      <Stack gap="xs">
        {names.map((name) => {
          const line = known.data?.plugins.find((plugin) => plugin.name === name);
          const wrong = Object.entries(errors).find(([place]) => place === `/${name}` || place.startsWith(`/${name}/`));
          return (
            <div key={name} className="card" style={{ padding: '0.6rem 0.75rem' }}>
              <Group justify="space-between" wrap="nowrap">
                <div style={{ minWidth: 0 }}>
                  <Text fw={600} size="sm">
                    {name} {isOff(name) && <Badge variant="light" color="gray" size="sm">{t.form.pluginOff}</Badge>}
                  </Text>
                  <Text size="xs" c="dimmed" lineClamp={1}>
                    {line && <Coded text={line.summary} />}
                  </Text>
                </div>
                <Group gap={4} wrap="nowrap">
                  <Switch size="sm" checked={!isOff(name)} aria-label={`${name}: ${t.form.pluginOn}`} onChange={(event) => turn(name, event.currentTarget.checked)} />
                  <ActionIcon variant="subtle" aria-label={t.form.editPlugin(name)} onClick={(event) => {
                      from.current = event.currentTarget;
                      setOpen(name);
                    }}>
                    <IconPencil size={16} aria-hidden />
                  </ActionIcon>
                  <ActionIcon
                    variant="subtle"
                    color="red"
                    aria-label={t.form.removePlugin(name)}
                    onClick={() => {
                      const { [name]: _, ...rest } = value;
                      onChange(rest);
                    }}
                  >
                    <IconTrash size={16} aria-hidden />
                  </ActionIcon>
                </Group>
              </Group>
              {wrong && (
                <Text size="xs" c="red" mt={4}>
                  {wrong[1]}
                </Text>
              )}
            </div>
          );
        })}
      </Stack>
      {picking && (
        <Picker
          without={names}
          credentials={credentials}
          connections={connections}
          close={() => setPicking(false)}
          pick={(name) => {
            setPicking(false);
            onChange({ ...value, [name]: {} });
            from.current = adds.current;
            setOpen(name);
          }}
        />
      )}
      <Drawer opened={open !== undefined} onClose={() => !stuck && setOpen(undefined)} returnFocus={false} onExitTransitionEnd={() => from.current?.focus({ preventScroll: true })} position="right" size="lg" title={open && t.form.editPlugin(open)} closeButtonProps={{ 'aria-label': t.close }}>
        {open && <Settings name={open} credentials={credentials} value={settings(open)} errors={errorsOf(open)} onChange={(next) => onChange({ ...value, [open]: next })} unreadable={setStuck} close={() => setOpen(undefined)} />}
      </Drawer>
    </section>
  );
}

/** Parts of a page that the form beside says itself. */
const TABLES = ['Fields', 'Metadata'];

function Settings({ name, credentials, value, errors, onChange, unreadable, close }: { name: string; credentials?: boolean; value: Members; errors: Record<string, string>; onChange: (value: Members) => void; unreadable: (is: boolean) => void; close: () => void }) {
  const plugin = useQuery(pluginQuery(name));
  const [unread, setUnread] = useState(0);
  const tell = useCallback(
    (count: number) => {
      setUnread(count);
      unreadable(count > 0);
    },
    [unreadable],
  );
  if (plugin.error) return <Problem error={plugin.error} />;
  if (!plugin.data) return <Wait />;
  const schema = credentials ? (plugin.data.credential_schema ?? plugin.data.schema) : plugin.data.schema;
  const shape = shapeOf(schema, schema);
  return (
    <Stack>
      <Text size="sm" c="dimmed">
        <Coded text={plugin.data.description ?? ''} />
      </Text>
      {errors[''] !== undefined && (
        <Alert color="red" role="alert">
          {errors['']}
        </Alert>
      )}
      {plugin.data.page && (
        <details>
          <summary className="summary">{t.form.manual}</summary>
          <Suspense fallback={<Wait />}>
            <Manual text={plugin.data.page} without={TABLES} />
          </Suspense>
        </details>
      )}
      {(shape.members ?? []).length === 0 && <Text size="sm">{t.form.noSettings}</Text>}
      <Readable count={tell}>
        <Fields shape={shape} value={value} errors={spokenOf(errors, shape)} onChange={onChange} />
        <JsonField label={name} value={value} onChange={(next) => onChange((next ?? {}) as Members)} />
      </Readable>
      {unread > 0 && (
        <Text size="sm" c="red" role="alert">
          {t.form.unread}
        </Text>
      )}
      <Button onClick={close} disabled={unread > 0} style={{ alignSelf: 'flex-end' }}>
        {t.form.done}
      </Button>
    </Stack>
  );
}

function Picker({ without, credentials, connections, pick, close }: { without: string[]; credentials?: boolean; connections?: boolean; pick: (name: string) => void; close: () => void }) {
  const known = useQuery(pluginsQuery);
  const [text, setText] = useState('');
  const [read, setRead] = useState<string>();
  const fits = fitting(
    (known.data?.plugins ?? []).filter((plugin) => !without.includes(plugin.name) && (!credentials || plugin.credential) && takesPart(plugin, connections)),
    text,
  );
  return (
    <Modal opened onClose={close} title={read ?? t.form.pickTitle} size="lg" closeButtonProps={{ 'aria-label': t.close }} scrollAreaComponent={ScrollArea.Autosize}>
      {read ? (
        <About name={read} back={() => setRead(undefined)} pick={() => pick(read)} />
      ) : (
        <>
          <TextInput data-autofocus leftSection={<IconSearch size={16} aria-hidden />} aria-label={t.form.pickSearch} placeholder={t.form.pickSearch} value={text} onChange={(event) => setText(event.currentTarget.value)} mb="sm" />
          {known.error && <Problem error={known.error} />}
          <Stack gap={4}>
            {fits.map((plugin) => (
              <Group key={plugin.name} gap={4} wrap="nowrap">
                <UnstyledButton onClick={() => pick(plugin.name)} className="card" style={{ padding: '0.5rem 0.75rem', flex: 1 }}>
                  <Text size="sm" fw={600} component="span">
                    {plugin.name}
                  </Text>{' '}
                  {plugin.auth && (
                    <Badge size="xs" variant="light">
                      {t.form.pickAuth}
                    </Badge>
                  )}
                  <Text size="xs" c="dimmed">
                    <Coded text={plugin.summary} />
                  </Text>
                </UnstyledButton>
                <ActionIcon variant="subtle" size="lg" aria-label={t.form.about(plugin.name)} onClick={() => setRead(plugin.name)}>
                  <IconInfoCircle size={18} aria-hidden />
                </ActionIcon>
              </Group>
            ))}
          </Stack>
          {known.data && fits.length === 0 && <Text c="dimmed">{t.form.pickNothing}</Text>}
        </>
      )}
    </Modal>
  );
}

/** A plugin's own page, before it is added. */
function About({ name, back, pick }: { name: string; back: () => void; pick: () => void }) {
  const plugin = useQuery(pluginQuery(name));
  if (plugin.error) return <Problem error={plugin.error} />;
  if (!plugin.data) return <Wait />;
  return (
    <Stack>
      <Suspense fallback={<Wait />}>{plugin.data.page ? <Manual text={plugin.data.page} /> : <Text size="sm"><Coded text={plugin.data.description ?? ''} /></Text>}</Suspense>
      <Group justify="space-between" className="foot">
        <Button variant="default" leftSection={<IconArrowLeft size={16} aria-hidden />} onClick={back}>
          {t.form.allPlugins}
        </Button>
        <Button onClick={pick}>{t.form.addThis(name)}</Button>
      </Group>
    </Stack>
  );
}
