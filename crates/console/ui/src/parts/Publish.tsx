// An API published by its OpenAPI document: read, previewed route by route, and from there to a plan like any other.

import { Alert, Badge, Button, FileButton, Group, Stack, Table, TagsInput, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconCheck, IconFile } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';
import { lazy, Suspense, useMemo, useState } from 'react';

import { type Changed, get, type Json, type Listed, type Members, type Plan, post, Refused, step, type Stored } from '../lib/api';
import { placesOf } from '../lib/kinds';
import { readApi } from '../lib/openapi';
import { t } from '../texts';
import { Card, Problem, Wait } from './Message';
import { usePlans } from './plans';
import { Unsaved } from './unsaved';

const Editor = lazy(() => import('./Editor'));

/** The label of everything that comes from such a document. */
const LABEL = 'openapi';
/** Routes that a preview shows. */
const MOST = 200;

interface Row {
  op: Changed['op'];
  id: string;
  methods: string;
  path: string;
  differs: string[];
}

interface Preview {
  plan: Plan;
  id?: string;
  leads: string[];
  rows: Row[];
  /** Rows that are not shown. */
  more: number;
  /** Routes of it that stay as they are. */
  same: number;
}

const text = (value: Json | undefined) => (Array.isArray(value) ? value.join(', ') : typeof value === 'string' ? value : '');

const fieldOf = (change: Changed, name: string) => {
  const field = change.fields.find((one) => one.path === name);
  return change.op === 'delete' ? field?.before : field?.after;
};

/** Which document's objects a plan is about, and where they lead. */
const ownerOf = async (plan: Plan): Promise<string | undefined> => {
  const made = plan.changes.find((change) => change.op !== 'update');
  const labels = made && fieldOf(made, 'labels');
  if (labels !== undefined) return String((labels as Members)[LABEL]);
  const [first] = plan.changes;
  if (!first) return undefined;
  const stored = await get<Stored>(`/objects/${first.kind}s/${step(first.id)}`);
  return String(((stored.value.labels ?? {}) as Members)[LABEL]);
};

const previewOf = async (plan: Plan): Promise<Preview> => {
  const id = await ownerOf(plan);
  const routes = plan.changes.filter((change) => change.kind === 'route');
  const listed = id ? await get<Listed>('/objects/routes', { label: `${LABEL}=${id}`, limit: 1000 }) : undefined;
  const known = new Map((listed?.objects ?? []).map((stored) => [stored.id, stored.value]));
  const rows = routes.map((change): Row => {
    const now = known.get(change.id) ?? {};
    return {
      op: change.op,
      id: change.id,
      methods: text(fieldOf(change, 'methods') ?? now.methods),
      path: text(fieldOf(change, 'uri') ?? now.uri),
      differs: change.op === 'update' ? change.fields.map((field) => field.path) : [],
    };
  });
  const touched = routes.filter((change) => change.op !== 'create').length;
  const service = plan.changes.find((change) => change.kind === 'service');
  const upstream = (service && fieldOf(service, 'upstream')) as Members | undefined;
  const same = Math.max(0, (listed?.total ?? 0) - touched);
  return { plan, id, rows: rows.slice(0, MOST), more: Math.max(0, rows.length - MOST) + (plan.more ?? 0), same, leads: upstream ? placesOf(upstream) : [] };
};

export function Publish() {
  const plans = usePlans();
  const [document, setDocument] = useState('');
  const [prefix, setPrefix] = useState('');
  const [server, setServer] = useState('');
  const [id, setId] = useState('');
  const [hosts, setHosts] = useState<string[]>([]);
  const [preview, setPreview] = useState<Preview>();
  const [published, setPublished] = useState<string>();
  const [error, setError] = useState<unknown>();
  const [busy, setBusy] = useState(false);
  const [settled] = useDebouncedValue(document, 250);
  const read = useMemo(() => (settled.trim() === '' ? undefined : readApi(settled)), [settled]);
  const api = read && 'api' in read ? read.api : undefined;

  /** What was shown is no longer what is asked for. */
  const turn = <T,>(set: (value: T) => void) => (value: T) => {
    set(value);
    setPreview(undefined);
    setPublished(undefined);
    setError(undefined);
  };
  const look = async () => {
    setBusy(true);
    setError(undefined);
    setPreview(undefined);
    setPublished(undefined);
    try {
      const wish = { document, ...(prefix.trim() && { prefix: prefix.trim() }), ...(server.trim() && { server: server.trim() }), ...(id.trim() && { id: id.trim() }), ...(hosts.length > 0 && { hosts }) };
      const plan = await post<Plan>('/plans', { openapi: wish, intent: api?.title ? `publish ${api.title}${api.version ? ` ${api.version}` : ''}` : 'publish an API' });
      setPreview(await previewOf(plan));
    } catch (refused) {
      setError(refused);
    } finally {
      setBusy(false);
    }
  };
  const review = (seen: Preview) =>
    plans.review(seen.plan, () => {
      setPreview(undefined);
      setPublished(seen.id);
    });
  const nothing = error instanceof Refused && error.cause.code === 'nothing_to_change';
  return (
    <Stack>
      <Unsaved dirty={document.trim() !== '' && published === undefined} />
      <Card title={t.publish.document}>
        <Stack gap="sm">
          <Text size="sm" c="dimmed">
            {t.publish.intro}
          </Text>
          <Suspense fallback={<Wait />}>
            <Editor value={document} onChange={turn(setDocument)} language="yaml" label={t.publish.document} />
          </Suspense>
          <Group>
            <FileButton onChange={(file) => void file?.text().then(turn(setDocument))} accept=".yaml,.yml,.json">
              {(props) => (
                <Button {...props} variant="default" leftSection={<IconFile size={16} aria-hidden />}>
                  {t.publish.open}
                </Button>
              )}
            </FileButton>
            <Text size="sm" role="status" className="wrap" style={{ flex: '1 1 14rem' }} c={read && 'problem' in read ? 'red' : undefined}>
              {read && 'problem' in read && read.problem.split('\n')[0]}
              {api && `${t.publish.read(api.title, api.version)}: ${t.publish.counts(api.operations, api.paths)}${api.server ? `, ${t.publish.at(api.server)}` : ''}`}
              {api && !api.server && !server && ` ${t.publish.noServer}`}
            </Text>
          </Group>
          <div className="grid-wide">
            <TextInput label={t.publish.prefix} description={t.publish.prefixHint} placeholder="/shop" value={prefix} onChange={(event) => turn(setPrefix)(event.currentTarget.value)} />
            <TextInput label={t.publish.server} description={t.publish.serverHint} placeholder={api?.server} value={server} onChange={(event) => turn(setServer)(event.currentTarget.value)} />
            <TextInput label={t.publish.id} description={t.publish.idHint} value={id} onChange={(event) => turn(setId)(event.currentTarget.value)} />
            <TagsInput label={t.publish.hosts} description={t.publish.hostsHint} value={hosts} onChange={turn(setHosts)} acceptValueOnBlur splitChars={[',', ' ']} />
          </div>
          {nothing ? <Alert color="teal">{t.publish.nothing}</Alert> : error !== undefined && <Problem error={error} />}
          {published && (
            <Alert color="teal" icon={<IconCheck aria-hidden />} role="status">
              {t.publish.published}{' '}
              <Link to="/objects/$kind" params={{ kind: 'routes' }} search={{ label: `${LABEL}=${published}` }}>
                {t.publish.routes}
              </Link>
            </Alert>
          )}
          <Group>
            <Button disabled={document.trim() === ''} loading={busy} onClick={() => void look()}>
              {t.publish.preview}
            </Button>
          </Group>
        </Stack>
      </Card>
      {preview && <Shown preview={preview} review={() => void review(preview)} />}
    </Stack>
  );
}

const COLOUR = { create: 'teal', update: 'yellow', delete: 'red' } as const;

function Shown({ preview, review }: { preview: Preview; review: () => void }) {
  const { plan } = preview;
  return (
    <Card title={t.publish.previewTitle}>
      <Stack gap="sm" role="status">
        <Text size="sm" className="wrap">
          {preview.id && (
            <>
              {t.publish.service} <b>{preview.id}</b>
            </>
          )}
          {preview.leads.length > 0 && (
            <>
              . {t.publish.leads} <code>{preview.leads.join(', ')}</code>
            </>
          )}
          {preview.same > 0 && `. ${t.publish.kept(preview.same)}`}
        </Text>
        {plan.warnings.length > 0 && (
          <Alert color="yellow" variant="light" title={t.plan.warnings}>
            {plan.warnings.map((warning) => (
              <Text key={warning} size="sm" className="wrap">
                {warning}
              </Text>
            ))}
          </Alert>
        )}
        {preview.rows.length > 0 && (
          <div className="scroll-x" tabIndex={0} role="group" aria-label={t.publish.previewTitle}>
            <Table className="rows" fz="sm">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>{t.publish.state}</Table.Th>
                  <Table.Th>{t.publish.methods}</Table.Th>
                  <Table.Th>{t.publish.path}</Table.Th>
                  <Table.Th>{t.publish.route}</Table.Th>
                  <Table.Th>{t.publish.differs}</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {preview.rows.map((row) => (
                  <Table.Tr key={row.id}>
                    <Table.Td>
                      <Badge variant="light" color={COLOUR[row.op]}>
                        {t.publish.ops[row.op]}
                      </Badge>
                    </Table.Td>
                    <Table.Td>{row.methods}</Table.Td>
                    <Table.Td className="mono wrap">{row.path}</Table.Td>
                    <Table.Td className="wrap">{row.id}</Table.Td>
                    <Table.Td className="wrap">{row.differs.join(', ')}</Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </div>
        )}
        {preview.more > 0 && (
          <Text size="sm" c="dimmed">
            {t.publish.more(preview.more)}
          </Text>
        )}
        <Group justify="flex-end">
          <Button onClick={review}>{t.publish.review}</Button>
        </Group>
      </Stack>
    </Card>
  );
}
