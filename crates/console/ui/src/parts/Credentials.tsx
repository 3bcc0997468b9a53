// The credentials of a consumer: made with secrets that are shown once, renewed, and taken away; each as a plan, like any other change.

import { Alert, Badge, Button, Code, CopyButton, Group, Modal, Radio, Select, Stack, Table, Text, TextInput } from '@mantine/core';
import { IconCopy, IconPlus, IconRefresh, IconTrash } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { type FormEvent, useEffect, useState } from 'react';

import { get, type Json, type Listed, type Members, Refused, type Status, type Stored } from '../lib/api';
import { count, day } from '../lib/format';
import { pluginsOf } from '../lib/kinds';
import { type Shape, shapeOf } from '../lib/schema';
import { begun, random, secretsIn, type Written } from '../lib/secrets';
import type { Traffic } from '../lib/traffic';
import { t } from '../texts';
import { Fields } from './Fields';
import { Card, Problem, Wait } from './Message';
import { pluginQuery, pluginsQuery } from './PluginsField';
import { usePlans } from './plans';
import { useMay } from './session';

/** Credentials of one consumer that are listed. */
const MOST = 200;

/** A plugin's settings in a credential, or in the consumer itself. */
interface Row {
  stored: Stored;
  /** Its name below the consumer; none where the consumer itself holds it. */
  name?: string;
  plugin: string;
}

export type Fresh = Written;

const nameOf = (id: string) => id.slice(id.lastIndexOf('/') + 1);

export function Credentials({ consumer }: { consumer: Stored }) {
  const editor = useMay('chat');
  const plans = usePlans();
  const [making, setMaking] = useState<{ plugin?: string }>();
  const [renewing, setRenewing] = useState<Row>();
  const [removing, setRemoving] = useState<Row>();
  const [fresh, setFresh] = useState<Fresh>();
  const [error, setError] = useState<unknown>();
  const known = useQuery(pluginsQuery);
  const listed = useQuery({
    queryKey: ['objects', 'credentials', consumer.id],
    queryFn: ({ signal }) => get<Listed>('/objects/credentials', { q: `${consumer.id}/`, limit: MOST }, signal),
  });
  const used = useQuery({
    queryKey: ['traffic', 'consumer', consumer.id],
    queryFn: ({ signal }) => get<Traffic>('/traffic', { range: '24h', points: 0, consumer: consumer.id }, signal),
  });
  const takes = (plugin: string) => known.data?.plugins.find((line) => line.name === plugin)?.credential === true;
  // A plan that is shown above has the keys.
  const still = { closeOnEscape: !plans.shown, trapFocus: !plans.shown };
  const rowsOf = (stored: Stored, name?: string): Row[] => pluginsOf(stored.value).filter(takes).map((plugin) => ({ stored, name, plugin }));
  const own = (listed.data?.objects ?? []).filter((stored) => stored.id.startsWith(`${consumer.id}/`));
  const rows = [...rowsOf(consumer), ...own.flatMap((stored) => rowsOf(stored, nameOf(stored.id)))];

  const remove = async (row: Row) => {
    setRemoving(undefined);
    setError(undefined);
    const { stored, name, plugin } = row;
    try {
      await plans.propose({
        changes: [
          name === undefined
            ? { op: 'patch', kind: 'consumer', id: consumer.id, value: { plugins: { [plugin]: null } }, revision: stored.revision }
            : { op: 'delete', kind: 'credential', id: stored.id, revision: stored.revision },
        ],
        intent: `take ${plugin} away from ${consumer.id}`,
      });
    } catch (refused) {
      setError(refused);
    }
  };
  return (
    <Card
      title={t.credentials.title}
      beside={
        editor && (
          <Button variant="light" size="compact-sm" leftSection={<IconPlus size={14} aria-hidden />} onClick={() => setMaking({})}>
            {t.credentials.new}
          </Button>
        )
      }
    >
      <Stack gap="sm">
        <Text size="sm" c="dimmed">
          {t.credentials.intro} {used.data && t.credentials.used(consumer.id, count(used.data.total.requests))}
        </Text>
        {fresh && <Once fresh={fresh} close={() => setFresh(undefined)} />}
        {error instanceof Refused && <Problem error={error} title={t.plan.refused} />}
        {listed.error && <Problem error={listed.error} />}
        {(listed.isPending || known.isPending) && <Wait />}
        {listed.data && known.data && rows.length === 0 && <Text size="sm">{t.credentials.empty(consumer.id)}</Text>}
        {rows.length > 0 && (
          <div className="scroll-x" tabIndex={0} role="group" aria-label={t.credentials.title}>
            <Table className="rows" verticalSpacing="xs">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>{t.credentials.name}</Table.Th>
                  <Table.Th>{t.credentials.plugin}</Table.Th>
                  <Table.Th>{t.credentials.changed}</Table.Th>
                  <Table.Th>
                    <span className="unseen">{t.credentials.acts}</span>
                  </Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {rows.map((row) => {
                  const label = `${row.plugin} ${row.name ?? ''}`.trim();
                  const at = row.stored.value.update_time;
                  return (
                    <Table.Tr key={`${row.name ?? ''}/${row.plugin}`}>
                      <Table.Td className="wrap">
                        {row.name === undefined ? (
                          <Text size="sm" c="dimmed">
                            {t.credentials.inConsumer}
                          </Text>
                        ) : (
                          <Link to="/objects/$kind/$id" params={{ kind: 'credentials', id: row.stored.id }}>
                            {row.name}
                          </Link>
                        )}
                        {typeof row.stored.value.desc === 'string' && row.name !== undefined && (
                          <Text size="xs" c="dimmed">
                            {row.stored.value.desc}
                          </Text>
                        )}
                      </Table.Td>
                      <Table.Td>
                        <Badge variant="light" tt="none">
                          {row.plugin}
                        </Badge>
                      </Table.Td>
                      <Table.Td>{typeof at === 'number' ? day(at * 1000) : t.object.usedAt(row.stored.revision)}</Table.Td>
                      <Table.Td>
                        {editor && (
                          <Group gap="xs" justify="flex-end" wrap="nowrap">
                            <Button size="compact-sm" variant="light" leftSection={<IconRefresh size={14} aria-hidden />} aria-label={`${t.credentials.renew} ${label}`} onClick={() => setRenewing(row)}>
                              {t.credentials.renew}
                            </Button>
                            <Button size="compact-sm" variant="light" color="red" leftSection={<IconTrash size={14} aria-hidden />} aria-label={`${t.credentials.remove} ${label}`} onClick={() => setRemoving(row)}>
                              {t.credentials.remove}
                            </Button>
                          </Group>
                        )}
                      </Table.Td>
                    </Table.Tr>
                  );
                })}
              </Table.Tbody>
            </Table>
          </div>
        )}
      </Stack>
      <Modal opened={making !== undefined} onClose={() => setMaking(undefined)} title={t.credentials.new} size="lg" {...still} closeButtonProps={{ 'aria-label': t.close }}>
        {making && (
          <Make
            consumer={consumer.id}
            wanted={making.plugin}
            taken={own.map((stored) => nameOf(stored.id))}
            done={(made) => {
              setMaking(undefined);
              setFresh(made);
            }}
          />
        )}
      </Modal>
      <Modal opened={renewing !== undefined} onClose={() => setRenewing(undefined)} title={t.credentials.renewTitle} size="lg" {...still} closeButtonProps={{ 'aria-label': t.close }}>
        {renewing && (
          <Renew
            row={renewing}
            consumer={consumer.id}
            beside={() => {
              setRenewing(undefined);
              setMaking({ plugin: renewing.plugin });
            }}
            done={(made) => {
              setRenewing(undefined);
              setFresh(made);
            }}
          />
        )}
      </Modal>
      <Modal opened={removing !== undefined} onClose={() => setRemoving(undefined)} title={t.credentials.remove} closeButtonProps={{ 'aria-label': t.close }}>
        {removing && (
          <Stack>
            <Text size="sm">{t.credentials.removeText(removing.name ?? removing.plugin, consumer.id)}</Text>
            <Affected plugin={removing.plugin} />
            {rows.length === 1 && <Alert color="yellow">{t.credentials.last(consumer.id)}</Alert>}
            <Group justify="flex-end">
              <Button variant="default" onClick={() => setRemoving(undefined)}>
                {t.cancel}
              </Button>
              <Button color="#c22525" onClick={() => void remove(removing)}>
                {t.object.review}
              </Button>
            </Group>
          </Stack>
        )}
      </Modal>
    </Card>
  );
}

/** Where somebody without a credential that is known is turned away. */
function Affected({ plugin }: { plugin: string }) {
  const asking = useQuery({
    queryKey: ['asking', plugin],
    queryFn: async ({ signal }) => {
      const totals = ['routes', 'services', 'global_rules'].map(async (kind) => (await get<Listed>(`/objects/${kind}`, { plugin, limit: 1 }, signal)).total);
      return Promise.all(totals);
    },
  });
  if (!asking.data) return asking.error ? <Problem error={asking.error} /> : null;
  const [routes = 0, services = 0, rules = 0] = asking.data;
  return (
    <Text size="sm" role="status">
      {rules > 0 ? t.credentials.everywhere(plugin) : routes + services === 0 ? t.credentials.nowhere(plugin) : t.credentials.affected(plugin, routes, services)}
    </Text>
  );
}

const valuesOf = (value: Members, shape: Shape): [string, string][] => {
  const secrets = secretsIn(shape);
  const shown = (shape.members ?? []).filter(([name, , required]) => value[name] !== undefined && (required || secrets.includes(name)));
  return shown.map(([name]) => [name, String(value[name])]);
};

function Make({ consumer, wanted, taken, done }: { consumer: string; wanted?: string; taken: string[]; done: (fresh: Fresh) => void }) {
  const plans = usePlans();
  const known = useQuery(pluginsQuery);
  const [plugin, setPlugin] = useState(wanted ?? 'key-auth');
  const [name, setName] = useState(() => {
    let nth = taken.length + 1;
    while (taken.includes(`c${nth}`)) nth += 1;
    return `c${nth}`;
  });
  const [desc, setDesc] = useState('');
  const [value, setValue] = useState<Members>({});
  const [error, setError] = useState<unknown>();
  const about = useQuery(pluginQuery(plugin));
  const schema = about.data?.credential_schema;
  const shape = schema && shapeOf(schema, schema);
  const ready = about.data?.name === plugin;
  useEffect(() => {
    if (ready && shape) setValue(begun(shape, plugin, consumer, taken.length + 1));
    // Made once for each plugin that is chosen.
    // eslint-disable-next-line
  }, [plugin, ready]);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    if (!shape) return;
    setError(undefined);
    try {
      await plans.propose(
        {
          changes: [{ op: 'create', kind: 'credential', id: `${consumer}/${name.trim()}`, value: { plugins: { [plugin]: value as Json }, ...(desc.trim() ? { desc: desc.trim() } : {}) } }],
          intent: `a credential of ${plugin} for ${consumer}`,
        },
        (applied) => done({ plugin, values: valuesOf(value, shape), revision: applied.revision }),
      );
    } catch (refused) {
      setError(refused);
    }
  };
  const errors = error instanceof Refused && error.cause.field ? { [error.cause.field.replace(`/changes/0/value/plugins/${plugin}`, '')]: error.message } : {};
  const names = (known.data?.plugins ?? []).filter((line) => line.credential).map((line) => line.name).sort();
  return (
    <form onSubmit={(event) => void submit(event)}>
      <Stack>
        <Group grow preventGrowOverflow={false} align="flex-start">
          <Select label={t.credentials.plugin} description={t.credentials.pluginHint} data={names} value={plugin} allowDeselect={false} onChange={(next) => setPlugin(next ?? 'key-auth')} />
          <TextInput label={t.credentials.name} description={t.credentials.nameHint} value={name} required onChange={(event) => setName(event.currentTarget.value)} />
        </Group>
        <TextInput label={t.credentials.desc} value={desc} maxLength={256} onChange={(event) => setDesc(event.currentTarget.value)} />
        {about.error && <Problem error={about.error} />}
        {shape && ready ? <Fields shape={shape} value={value} errors={errors} onChange={setValue} /> : <Wait />}
        <Text size="sm" c="dimmed">
          {t.credentials.madeHere}
        </Text>
        {error !== undefined && <Problem error={error} title={t.object.invalid} />}
        <Button type="submit" disabled={!shape || name.trim() === ''}>
          {t.object.review}
        </Button>
      </Stack>
    </form>
  );
}

function Renew({ row, consumer, beside, done }: { row: Row; consumer: string; beside: () => void; done: (fresh: Fresh) => void }) {
  const plans = usePlans();
  const [how, setHow] = useState('now');
  const [error, setError] = useState<unknown>();
  const about = useQuery(pluginQuery(row.plugin));
  const schema = about.data?.credential_schema;
  const shape = schema && shapeOf(schema, schema);
  if (about.error) return <Problem error={about.error} />;
  if (!shape) return <Wait />;
  const settings = ((row.stored.value.plugins ?? {}) as Members)[row.plugin] as Members;
  const secrets = secretsIn(shape).filter((name) => settings[name] !== undefined);
  if (secrets.length === 0) return <Text size="sm">{t.credentials.noSecret(row.plugin)}</Text>;
  const renew = async () => {
    if (how === 'beside') return beside();
    setError(undefined);
    const made = Object.fromEntries(secrets.map((name) => [name, random()]));
    try {
      await plans.propose(
        {
          changes: [{ op: 'patch', kind: row.name === undefined ? 'consumer' : 'credential', id: row.name === undefined ? consumer : row.stored.id, value: { plugins: { [row.plugin]: made } }, revision: row.stored.revision }],
          intent: `a new secret for ${row.plugin} of ${consumer}`,
        },
        (applied) => done({ plugin: row.plugin, values: valuesOf({ ...settings, ...made }, shape), revision: applied.revision }),
      );
    } catch (refused) {
      setError(refused);
    }
    return undefined;
  };
  return (
    <Stack>
      <Radio.Group value={how} onChange={setHow} label={t.credentials.how}>
        <Stack gap="xs" mt="xs">
          <Radio value="now" label={t.credentials.now} description={t.credentials.nowHint} />
          <Radio value="beside" label={t.credentials.beside} description={t.credentials.besideHint} />
        </Stack>
      </Radio.Group>
      {how === 'now' && <Affected plugin={row.plugin} />}
      {error !== undefined && <Problem error={error} title={t.plan.refused} />}
      <Group justify="flex-end">
        <Button onClick={() => void renew()}>{how === 'now' ? t.object.review : t.credentials.new}</Button>
      </Group>
    </Stack>
  );
}

/** What was made, for the last time. */
export function Once({ fresh, close }: { fresh: Fresh; close: () => void }) {
  const status = useQuery({ queryKey: ['status'], queryFn: ({ signal }) => get<Status>('/status', undefined, signal) });
  const value = new Map(fresh.values);
  const place = `http://${(status.data?.listeners[0] ?? '127.0.0.1:9080').replace('0.0.0.0', '127.0.0.1').replace('[::]', '[::1]')}/`;
  const quoted = (text: string) => `'${text.replace(/'/g, `'\\''`)}'`;
  const example =
    fresh.plugin === 'key-auth'
      ? `curl -H ${quoted(`apikey: ${value.get('key') ?? ''}`)} ${place}`
      : fresh.plugin === 'basic-auth'
        ? `curl -u ${quoted(`${value.get('username') ?? ''}:${value.get('password') ?? ''}`)} ${place}`
        : undefined;
  return (
    <Alert color="teal" title={t.credentials.once(fresh.revision)} role="status" withCloseButton closeButtonLabel={t.close} onClose={close}>
      <Stack gap="xs">
        {fresh.values.map(([name, text]) => (
          <Line key={name} name={name} text={text} />
        ))}
        {example && <Line name={t.credentials.example} text={example} />}
      </Stack>
    </Alert>
  );
}

function Line({ name, text }: { name: string; text: string }) {
  return (
    <Group gap="xs" wrap="nowrap">
      <Text size="sm" fw={600} w="6rem">
        {name}
      </Text>
      <Code className="wrap" style={{ flex: 1 }} data-secret={name}>
        {text}
      </Code>
      <CopyButton value={text}>
        {({ copied, copy }) => (
          <Button size="compact-sm" variant="default" leftSection={<IconCopy size={14} aria-hidden />} onClick={copy} aria-label={`${t.copy} ${name}`}>
            {copied ? t.copied : t.copy}
          </Button>
        )}
      </CopyButton>
    </Group>
  );
}
