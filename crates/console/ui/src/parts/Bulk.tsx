// Several objects at once: switched, labelled, given a plugin or freed of one, deleted; all of them as one plan.

import { Alert, Button, Group, Menu, Modal, Radio, Select, Stack, Text, TextInput } from '@mantine/core';
import { IconChevronDown, IconTag, IconTrash } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';

import { type Json, type Members, Refused, type Stored, type Wish } from '../lib/api';
import { type Kind, labelsOf, pluginsOf } from '../lib/kinds';
import { shapeOf } from '../lib/schema';
import { t } from '../texts';
import { Fields, JsonField } from './Fields';
import { Problem, Wait } from './Message';
import { pluginQuery, pluginsQuery, takesPart } from './PluginsField';
import { usePlans } from './plans';

/** Objects of one plan: what the server plans in seconds, and a person can still look through. */
const MOST = 5_000;

/** What is left to be planned of a selection that is larger than one plan. */
interface Rest {
  of: Stored[];
  wish: (stored: Stored) => Omit<Wish, 'kind' | 'id' | 'revision'>;
  intent: string;
  /** Which part is next, from 0. */
  part: number;
  /** A part that was taken back: its objects have moved on since they were read. */
  again?: number;
}

type Asked = 'label' | 'unlabel' | 'plugin' | undefined;
type How = 'off' | 'on' | 'set' | 'remove';

const isOff = (stored: Stored, plugin: string) => {
  const settings = ((stored.value.plugins ?? {}) as Members)[plugin] as Members | undefined;
  return ((settings?._meta ?? {}) as Members).disable === true;
};

export function Bulk({ kind, chosen, done }: { kind: Kind; chosen: Stored[]; done: () => void }) {
  const plans = usePlans();
  const [error, setError] = useState<unknown>();
  const [asked, setAsked] = useState<Asked>();
  const [rest, setRest] = useState<Rest>();
  const many = (count: number) => `${count} ${count === 1 ? kind.word : kind.title.toLowerCase()}`;
  const go = (of: Stored[], wish: Rest['wish'], intent: string) => {
    setRest(undefined);
    return plan({ of, wish, intent, part: 0 });
  };
  /** Plans one part of a selection; once that is applied, the next one is offered. */
  const plan = async ({ of, wish, intent, part, again }: Rest) => {
    setError(undefined);
    setAsked(undefined);
    const parts = Math.ceil(of.length / MOST);
    try {
      const changes = of.slice(part * MOST, (part + 1) * MOST).map((stored): Wish => ({ ...wish(stored), kind: kind.one, id: stored.id, revision: part === again ? undefined : stored.revision }));
      await plans.propose({ changes, intent: parts > 1 ? `${intent}, ${part + 1} of ${parts}` : intent }, () => {
        if (part + 1 < parts) setRest({ of, wish, intent, part: part + 1 });
        else done();
        // What was taken back is the next part again: those before it stay as they are.
      }, undefined, () => setRest(parts > 1 ? { of, wish, intent, part, again: part } : undefined));
    } catch (refused) {
      setError(refused);
    }
  };
  const patch = (of: Stored[], value: Members, intent: string) => go(of, () => ({ op: 'patch', value }), intent);
  const status = (value: number, what: string) => void patch(chosen, { status: value }, `${what} ${many(chosen.length)}`);
  const labelled = kind.columns.includes('labels');
  return (
    <>
      <Group className="card" mb="sm" gap="sm" style={{ padding: '0.5rem 0.75rem' }} role="group" aria-label={t.list.selected(chosen.length)}>
        <Text size="sm" fw={600} aria-live="polite">
          {t.list.selected(chosen.length)}
        </Text>
        <Button size="compact-sm" variant="light" color="red" leftSection={<IconTrash size={14} aria-hidden />} onClick={() => void go(chosen, () => ({ op: 'delete' }), `delete ${many(chosen.length)}`)}>
          {t.list.deleteThem}
        </Button>
        {kind.many === 'routes' && (
          <>
            <Button size="compact-sm" variant="light" onClick={() => status(1, 'switch on')}>
              {t.list.enable}
            </Button>
            <Button size="compact-sm" variant="light" onClick={() => status(0, 'switch off')}>
              {t.list.disable}
            </Button>
          </>
        )}
        {kind.plugins && !['consumers', 'credentials'].includes(kind.many) && (
          <Button size="compact-sm" variant="light" onClick={() => setAsked('plugin')}>
            {t.list.plugin}…
          </Button>
        )}
        {labelled && (
          <Menu position="bottom-start">
            <Menu.Target>
              <Button size="compact-sm" variant="light" leftSection={<IconTag size={14} aria-hidden />} rightSection={<IconChevronDown size={14} aria-hidden />}>
                {t.list.labels}
              </Button>
            </Menu.Target>
            <Menu.Dropdown>
              <Menu.Item onClick={() => setAsked('label')}>{t.list.addLabel}</Menu.Item>
              <Menu.Item onClick={() => setAsked('unlabel')} disabled={chosen.every((stored) => labelsOf(stored.value).length === 0)}>
                {t.list.removeLabel}
              </Menu.Item>
            </Menu.Dropdown>
          </Menu>
        )}
      </Group>
      {chosen.length > MOST && rest === undefined && (
        <Text size="sm" c="dimmed" mb="sm">
          {t.list.inParts(MOST, Math.ceil(chosen.length / MOST))}
        </Text>
      )}
      {rest && (
        <Alert color="blue" mb="sm" role="status" title={t.list.partDone(Math.min(rest.part * MOST, rest.of.length), rest.of.length)}>
          <Group gap="sm">
            <Button size="compact-sm" onClick={() => void plan(rest)}>
              {t.list.nextPart(Math.min(MOST, rest.of.length - rest.part * MOST))}
            </Button>
            <Button
              size="compact-sm"
              variant="default"
              onClick={() => {
                setRest(undefined);
                done();
              }}
            >
              {t.list.enough}
            </Button>
          </Group>
        </Alert>
      )}
      {error instanceof Refused && <Problem error={error} title={t.plan.refused} />}
      <Modal opened={asked === 'label'} onClose={() => setAsked(undefined)} title={t.list.addLabelTitle} closeButtonProps={{ 'aria-label': t.close }}>
        {asked === 'label' && <AddLabel put={(name, value) => void patch(chosen, { labels: { [name]: value } }, `label ${many(chosen.length)} ${name}=${value}`)} />}
      </Modal>
      <Modal opened={asked === 'unlabel'} onClose={() => setAsked(undefined)} title={t.list.removeLabel} closeButtonProps={{ 'aria-label': t.close }}>
        {asked === 'unlabel' && (
          <RemoveLabel
            chosen={chosen}
            put={(name) => {
              const having = chosen.filter((stored) => labelsOf(stored.value).some(([known]) => known === name));
              void patch(having, { labels: { [name]: null } }, `take the label ${name} from ${many(having.length)}`);
            }}
          />
        )}
      </Modal>
      <Modal opened={asked === 'plugin'} onClose={() => setAsked(undefined)} title={t.list.pluginTitle} size="lg" closeButtonProps={{ 'aria-label': t.close }}>
        {asked === 'plugin' && (
          <OnePlugin
            chosen={chosen}
            connections={kind.many === 'stream_routes'}
            put={(of, plugin, how, settings) => {
              const value: Record<How, Json> = { off: { _meta: { disable: true } }, on: { _meta: { disable: null } }, set: settings, remove: null };
              const words: Record<How, string> = { off: `switch ${plugin} off on`, on: `switch ${plugin} on on`, set: `give ${plugin} to`, remove: `take ${plugin} from` };
              void patch(of, { plugins: { [plugin]: value[how] } }, `${words[how]} ${many(of.length)}`);
            }}
          />
        )}
      </Modal>
    </>
  );
}

function AddLabel({ put }: { put: (name: string, value: string) => void }) {
  const [name, setName] = useState('');
  const [value, setValue] = useState('');
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        put(name.trim(), value.trim());
      }}
    >
      <Stack>
        <TextInput label={t.list.labelName} required value={name} onChange={(event) => setName(event.currentTarget.value)} data-autofocus />
        <TextInput label={t.list.labelValue} required value={value} onChange={(event) => setValue(event.currentTarget.value)} />
        <Button type="submit">{t.object.review}</Button>
      </Stack>
    </form>
  );
}

function RemoveLabel({ chosen, put }: { chosen: Stored[]; put: (name: string) => void }) {
  const names = [...new Set(chosen.flatMap((stored) => labelsOf(stored.value).map(([name]) => name)))].sort();
  const [name, setName] = useState(names[0] ?? '');
  return (
    <Stack>
      <Select label={t.list.labelName} data={names} value={name} allowDeselect={false} onChange={(next) => setName(next ?? '')} />
      <Button disabled={name === ''} onClick={() => put(name)}>
        {t.object.review}
      </Button>
    </Stack>
  );
}

function OnePlugin({ chosen, connections, put }: { chosen: Stored[]; connections: boolean; put: (of: Stored[], plugin: string, how: How, settings: Members) => void }) {
  const known = useQuery(pluginsQuery);
  const carried = [...new Set(chosen.flatMap((stored) => pluginsOf(stored.value)))].sort();
  const [plugin, setPlugin] = useState<string | null>(carried[0] ?? null);
  const [how, setHow] = useState<How>(carried.length > 0 ? 'off' : 'set');
  const [settings, setSettings] = useState<Members>({});
  const about = useQuery({ ...pluginQuery(plugin ?? ''), enabled: plugin !== null && how === 'set' });
  const having = chosen.filter((stored) => plugin !== null && pluginsOf(stored.value).includes(plugin));
  const meant: Record<How, Stored[]> = {
    off: having.filter((stored) => !isOff(stored, plugin ?? '')),
    on: having.filter((stored) => isOff(stored, plugin ?? '')),
    remove: having,
    set: chosen,
  };
  const of = meant[how];
  const schema = about.data?.name === plugin ? about.data?.schema : undefined;
  const others = (known.data?.plugins ?? []).filter((line) => takesPart(line, connections)).map((line) => line.name).filter((name) => !carried.includes(name)).sort();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (plugin) put(of, plugin, how, settings);
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <Select
          label={t.list.plugin}
          searchable
          data={[...(carried.length > 0 ? [{ group: t.list.carried, items: carried }] : []), { group: t.list.others, items: others }]}
          value={plugin}
          onChange={(next) => {
            setPlugin(next);
            setSettings({});
            if (next && !carried.includes(next)) setHow('set');
          }}
        />
        <Radio.Group label={t.list.pluginHow} value={how} onChange={(next) => setHow(next as How)}>
          <Stack gap={6} mt={6}>
            {(['off', 'on', 'remove', 'set'] as const).map((one) => (
              <Radio key={one} value={one} label={t.list.pluginDoes[one]} disabled={one !== 'set' && having.length === 0} />
            ))}
          </Stack>
        </Radio.Group>
        {how === 'set' && plugin && (
          <Stack>
            <Text size="sm" c="dimmed">
              {t.list.pluginSetHint}
            </Text>
            {about.error ? <Problem error={about.error} /> : schema ? <Fields shape={shapeOf(schema, schema)} value={settings} onChange={setSettings} /> : <Wait />}
            <JsonField label={plugin} value={settings as Json} onChange={(next) => setSettings((next ?? {}) as Members)} />
          </Stack>
        )}
        <Text size="sm" role="status">
          {t.list.meant(of.length, chosen.length)}
        </Text>
        <Button type="submit" disabled={!plugin || of.length === 0}>
          {t.object.review}
        </Button>
      </Stack>
    </form>
  );
}
