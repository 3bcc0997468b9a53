// Which model leads the chat: chosen, tried and switched off here. Its key is written and never read back.

import { Alert, Button, Group, Loader, Modal, PasswordInput, Select, Stack, Switch, Text, TextInput } from '@mantine/core';
import { IconCheck, IconPlugConnected } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';

import { call, type ChatModel, get, type Heard } from '../lib/api';
import { ago } from '../lib/format';
import { Card, Head, Problem, Wait } from '../parts/Message';
import { isStopped, useStoppable } from '../parts/stoppable';
import { Unsaved } from '../parts/unsaved';
import { t } from '../texts';

type Api = 'completions' | 'responses' | 'messages';
const APIS: Api[] = ['completions', 'responses', 'messages'];

export function Model() {
  const model = useQuery({ queryKey: ['chat-model'], queryFn: ({ signal }) => get<ChatModel>('/chat/model', undefined, signal) });
  return (
    <>
      <Head title={t.model.title} intro={t.model.intro} />
      {model.error && <Problem error={model.error} />}
      {model.isPending && <Wait />}
      {model.data && (model.data.fixed_by ? <Fixed model={model.data} /> : <Chosen key={model.data.model?.since_unix_ms ?? 0} model={model.data} />)}
    </>
  );
}

/** How long the model that is tried may take is Usher's to bound, at 60 seconds; a little more, and nobody answers at all. */
const WITHIN = 70;

type Try = ReturnType<typeof useStoppable<Heard>>;

const useTry = (): Try => useStoppable<Heard>('/chat/model/try', WITHIN);

/** What came of it, or the way out while nothing came yet. */
function Trying({ tried: { asked, stop } }: { tried: Try }) {
  if (asked.isPending) {
    return (
      <Group gap="sm" role="status">
        <Loader size="xs" aria-hidden />
        <Text size="sm">{t.model.waits}</Text>
        <Button size="compact-sm" variant="default" onClick={stop}>
          {t.stoppable.stop}
        </Button>
      </Group>
    );
  }
  if (isStopped(asked.error)) {
    return (
      <Text size="sm" c="dimmed" role="status">
        {t.stoppable.stopped}
      </Text>
    );
  }
  if (asked.error) return <Problem error={asked.error} title={t.model.failed} />;
  return asked.data ? <Tried heard={asked.data} /> : null;
}

function Tried({ heard }: { heard: Heard }) {
  return (
    <Alert color="teal" variant="light" icon={<IconCheck aria-hidden />} title={t.model.answered(heard.took_ms)} role="status">
      <Text size="sm" className="wrap">
        {heard.answer}
      </Text>
    </Alert>
  );
}

/** The one that the settings name: nothing here changes it. */
function Fixed({ model: { fixed_by, model } }: { model: ChatModel }) {
  const tried = useTry();
  if (!model) return null;
  return (
    <Card title={t.model.leads(model.name)}>
      <Stack p="md" maw="44rem">
        <Alert variant="light" color="gray">
          {t.model.fixed(fixed_by ?? '')}
        </Alert>
        <TextInput label={t.model.url} value={model.url} readOnly />
        <TextInput label={t.model.name} value={model.name} readOnly />
        <TextInput label={t.model.api} value={model.api ? t.model.apis[model.api] : ''} readOnly />
        <TextInput label={t.model.key} value={model.key ?? t.model.noKey} readOnly />
        <Trying tried={tried} />
        <Group>
          <Button variant="default" leftSection={<IconPlugConnected size={16} aria-hidden />} loading={tried.asked.isPending} onClick={() => tried.asked.mutate({})}>
            {t.model.attempt}
          </Button>
        </Group>
      </Stack>
    </Card>
  );
}

function Chosen({ model: { model } }: { model: ChatModel }) {
  const queries = useQueryClient();
  const [url, setUrl] = useState(model?.url ?? '');
  const [name, setName] = useState(model?.name ?? '');
  const [api, setApi] = useState<Api | null>(model?.api ?? null);
  const [key, setKey] = useState('');
  const [keyless, setKeyless] = useState(model !== null && model.key === null);
  const [off, setOff] = useState(false);
  const wanted = () => ({ url: url.trim(), name: name.trim(), ...(api ? { api } : {}), ...(keyless ? { key: '' } : key === '' ? {} : { key }) });
  const took = (now: ChatModel) => {
    queries.setQueryData(['chat-model'], now);
    return queries.invalidateQueries({ queryKey: ['chat-model'] });
  };
  const tried = useTry();
  const save = useMutation({ mutationFn: () => call<ChatModel>('PUT', '/chat/model', { body: wanted() }), onSuccess: took });
  const forget = useMutation({
    mutationFn: () => call<ChatModel>('DELETE', '/chat/model'),
    onSuccess: (now) => {
      setOff(false);
      return took(now);
    },
  });
  const changed = () => {
    tried.asked.reset();
    save.reset();
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    tried.asked.reset();
    save.mutate();
  };
  const touched = url !== (model?.url ?? '') || name !== (model?.name ?? '') || api !== (model?.api ?? null) || key !== '' || keyless !== (model !== null && model.key === null);
  const ready = url.trim() !== '' && name.trim() !== '';
  return (
    <Card title={model ? t.model.leads(model.name) : t.model.none}>
      <form onSubmit={submit}>
        <Unsaved dirty={touched} />
        <Stack p="md" maw="44rem">
          {model?.by && (
            <Text size="sm" c="dimmed">
              {t.model.chosenBy(model.by, ago(model.since_unix_ms ?? 0))}
            </Text>
          )}
          <TextInput
            label={t.model.url}
            description={t.model.urlHint}
            placeholder="https://api.openai.com/v1"
            type="url"
            required
            value={url}
            onChange={(event) => {
              setUrl(event.currentTarget.value);
              changed();
            }}
          />
          <TextInput
            label={t.model.name}
            description={t.model.nameHint}
            required
            autoComplete="off"
            value={name}
            onChange={(event) => {
              setName(event.currentTarget.value);
              changed();
            }}
          />
          <Select
            label={t.model.api}
            data={[{ value: '', label: t.model.byAddress }, ...APIS.map((value) => ({ value, label: t.model.apis[value] }))]}
            value={api ?? ''}
            allowDeselect={false}
            onChange={(next) => {
              setApi((next || null) as Api | null);
              changed();
            }}
          />
          <PasswordInput
            label={t.model.key}
            description={model?.key ? t.model.keyKept(model.key) : t.model.keyHint}
            autoComplete="new-password"
            disabled={keyless}
            value={key}
            onChange={(event) => {
              setKey(event.currentTarget.value);
              changed();
            }}
          />
          <Switch
            label={t.model.keyless}
            checked={keyless}
            onChange={(event) => {
              setKeyless(event.currentTarget.checked);
              changed();
            }}
          />
          <Text size="sm" c="dimmed">
            {t.model.goes}
          </Text>
          <Trying tried={tried} />
          {save.error && <Problem error={save.error} />}
          <Group>
            <Button type="submit" loading={save.isPending} disabled={!ready}>
              {t.model.use}
            </Button>
            <Button variant="default" leftSection={<IconPlugConnected size={16} aria-hidden />} loading={tried.asked.isPending} disabled={!ready} onClick={() => tried.asked.mutate({ model: wanted() })}>
              {t.model.attempt}
            </Button>
            {model && (
              <Button variant="light" color="red" onClick={() => setOff(true)}>
                {t.model.off}
              </Button>
            )}
          </Group>
        </Stack>
      </form>
      <Modal opened={off} onClose={() => setOff(false)} title={t.model.off} closeButtonProps={{ 'aria-label': t.close }}>
        <Stack>
          <Text>{t.model.offSure}</Text>
          {forget.error && <Problem error={forget.error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={() => setOff(false)}>
              {t.cancel}
            </Button>
            <Button color="red" loading={forget.isPending} onClick={() => forget.mutate()}>
              {t.model.off}
            </Button>
          </Group>
        </Stack>
      </Modal>
    </Card>
  );
}
