// One object: a form and the same as text beside it, both of one value; and the way from there to a plan.

import { Alert, Button, Group, SegmentedControl, Stack, Switch, Tabs, Text, TextInput } from '@mantine/core';
import { useDebouncedValue, useMediaQuery } from '@mantine/hooks';
import { IconGitCompare, IconSend, IconTrash } from '@tabler/icons-react';
import { useQueries, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { lazy, Suspense, useEffect, useMemo, useRef, useState } from 'react';

import { get, type Json, type Members, Refused, step, type Stored, type Wish } from '../lib/api';
import { line } from '../lib/format';
import { hostsOf, type Kind, kindOf, pathsOf, titleOf } from '../lib/kinds';
import { offer, remarks, type Sources } from '../lib/advice';
import { placeIn, saidThere } from '../lib/blame';
import { asShown, asStored } from '../lib/kept';
import { secretsPut } from '../lib/secrets';
import { type Schema, shapeOf } from '../lib/schema';
import { type Language, placeOf, readText, written } from '../lib/source';
import type { Mark } from '../parts/Editor';
import { Credentials, type Fresh, Once } from '../parts/Credentials';
import { Fields } from '../parts/Fields';
import { Card, Head, Missing, Problem, Wait } from '../parts/Message';
import { pluginQuery, pluginsQuery, PluginsField } from '../parts/PluginsField';
import { usePlans } from '../parts/plans';
import { Readable } from '../parts/unread';
import { Unsaved } from '../parts/unsaved';
import { useMay } from '../parts/session';
import { LeadsField, NodesField } from '../parts/Upstream';
import { t } from '../texts';

const Editor = lazy(() => import('../parts/Editor'));

/** What Usher writes itself. */
const OWN = ['create_time', 'update_time'];

const objectQuery = (kind: string, id: string) => ({
  queryKey: ['object', kind, id],
  queryFn: ({ signal }: { signal: AbortSignal }) => get<Stored>(`/objects/${kind}/${step(id)}`, undefined, signal),
  refetchOnWindowFocus: false,
  staleTime: 0,
});

const isMissing = (error: unknown) => error instanceof Refused && error.status === 404;

const without = (value: Members, names: string[]) => Object.fromEntries(Object.entries(value).filter(([name]) => !names.includes(name)));

export function ObjectPage() {
  const { kind: word, id } = useParams({ from: '/inside/objects/$kind/$id' });
  const kind = kindOf(word);
  const stored = useQuery({ ...objectQuery(word, id), enabled: kind !== undefined });
  if (!kind) return <Missing />;
  if (stored.error) {
    return isMissing(stored.error) ? <Alert color="yellow">{t.object.missing}</Alert> : <Problem error={stored.error} again={() => void stored.refetch()} />;
  }
  if (!stored.data) return <Wait />;
  return (
    <>
      <ShownOnce kind={kind} id={id} />
      <Work key={`${kind.many}/${id}/${stored.data.revision}`} kind={kind} stored={stored.data} />
      {kind.many === 'consumers' && (
        <div style={{ marginTop: '1rem' }}>
          <Credentials key={id} consumer={stored.data} />
        </div>
      )}
    </>
  );
}

/** Where secrets wait to be shown that were just written. */
const onceKey = (kind: Kind, id: string) => ['once', kind.many, id];

/** Secrets that were just written by the form: shown this once, and forgotten when one leaves the page. */
function ShownOnce({ kind, id }: { kind: Kind; id: string }) {
  const queries = useQueryClient();
  const fresh = useQuery<Fresh[]>({ queryKey: onceKey(kind, id), queryFn: () => [], enabled: false, staleTime: Number.POSITIVE_INFINITY });
  const forget = () => queries.setQueryData(onceKey(kind, id), []);
  useEffect(
    () => () => void queries.removeQueries({ queryKey: onceKey(kind, id) }),
    [queries, kind, id],
  );
  return (
    <>
      {(fresh.data ?? []).map((one) => (
        <div key={one.plugin} style={{ marginBottom: '0.9rem' }}>
          <Once fresh={one} close={forget} />
        </div>
      ))}
    </>
  );
}

export function NewObject() {
  const { kind: word } = useParams({ from: '/inside/new/$kind' });
  const { id } = useSearch({ from: '/inside/new/$kind' });
  const kind = kindOf(word);
  return kind ? <Work key={kind.many} kind={kind} wantedId={id} /> : <Missing />;
}

const CHARACTERS = 'abcdefghijkmnpqrstuvwxyz23456789';
const proposed = () => Array.from(crypto.getRandomValues(new Uint8Array(10)), (byte) => CHARACTERS[byte % CHARACTERS.length]).join('');

function Work({ kind, stored, wantedId }: { kind: Kind; stored?: Stored; wantedId?: string }) {
  const first = useMemo(() => without(stored?.value ?? kind.fresh, OWN), [stored, kind]);
  const editor = useMay('chat');
  const [value, setValue] = useState<Members>(first);
  const [id, setId] = useState(() => stored?.id ?? wantedId ?? (kind.named ? '' : ['credentials', 'secrets', 'plugin_metadata'].includes(kind.many) ? '' : proposed()));
  const [language, setLanguage] = useState<Language>('yaml');
  const [text, setText] = useState(() => written(first, 'yaml'));
  const [broken, setBroken] = useState<string>();
  const [marks, setMarks] = useState<Mark[]>([]);
  const [error, setError] = useState<unknown>();
  const [conflict, setConflict] = useState<Stored>();
  const [gone, setGone] = useState(false);
  const [unread, setUnread] = useState(0);
  /** How often the form was begun anew: what was typed in it and couldn't be read goes with it. */
  const [round, setRound] = useState(0);
  const [intent, setIntent] = useState('');
  const [tab, setTab] = useState<string | null>('form');
  const wide = useMediaQuery('(min-width: 75em)');
  const plans = usePlans();
  const queries = useQueryClient();
  const navigate = useNavigate();
  const schema = useQuery({
    queryKey: ['schema', kind.many],
    queryFn: ({ signal }) => get<{ schema: Members }>(`/schemas/${kind.many}`, undefined, signal),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const metadata = useQuery({ ...pluginQuery(id), enabled: kind.many === 'plugin_metadata' && id !== '' });
  const own = kind.many === 'plugin_metadata' ? metadata.data?.metadata_schema : schema.data?.schema;
  const shape = useMemo(() => (own ? shapeOf(own, own) : undefined), [own]);
  const known = useQuery({ ...pluginsQuery, enabled: kind.plugins });
  const named = kind.plugins ? Object.keys((value.plugins ?? {}) as Members).filter((name) => known.data?.plugins.some((line) => line.name === name)) : [];
  const bodies = useQueries({ queries: named.map(pluginQuery) });
  const credentials = ['consumers', 'credentials'].includes(kind.many);
  const schemas = JSON.stringify(bodies.map((body) => body.data?.name));
  const sources = useMemo((): Sources | undefined => {
    if (!own) return undefined;
    const of = new Map<string, Schema>();
    for (const { data } of bodies) if (data) of.set(data.name, credentials ? (data.credential_schema ?? data.schema) : data.schema);
    return { schema: own, plugins: known.data?.plugins ?? [], plugin: (name) => of.get(name) };
    // What was read of plugins is told apart by their names.
    // eslint-disable-next-line
  }, [own, known.data, schemas, credentials]);
  const [settled] = useDebouncedValue(text, 300);
  const advice = useMemo((): Mark[] => {
    const read = sources && !broken && (known.data || !kind.plugins) ? readText(settled, language).value : undefined;
    if (!read || !sources) return [];
    return remarks(read, sources).map(({ place, message }) => ({ ...placeOf(settled, place), message, advice: true }));
  }, [settled, language, sources, broken, known.data, kind]);
  const shownMarks = useMemo(() => (marks.length > 0 ? marks : settled === text ? advice : []), [marks, advice, settled, text]);

  const put = (next: Members) => {
    setValue(next);
    setText(written(next, language));
    setBroken(undefined);
    setMarks([]);
    setError(undefined);
  };
  const type = (next: string) => {
    setText(next);
    setMarks([]);
    const read = readText(next, language);
    if (read.problem) {
      setBroken(read.problem.message);
      setMarks([{ from: read.problem.from, to: read.problem.to, message: read.problem.message }]);
    } else if (read.value) {
      setBroken(undefined);
      setValue(read.value);
    }
  };
  const speak = (next: Language) => {
    setLanguage(next);
    setText(written(value, next));
    setBroken(undefined);
    setMarks([]);
  };
  const ownId = kind.named ? String(value[kind.named] ?? '') : id;
  const touched = JSON.stringify(value) !== JSON.stringify(first) || broken !== undefined || unread > 0;
  /** The settings of a plugin here, as fields. */
  const shapeFor = (name: string) => {
    const settings = sources?.plugin(name);
    return settings && shapeOf(settings, settings);
  };
  const dirty = stored === undefined || JSON.stringify(value) !== JSON.stringify(first);

  const refuse = (refused: unknown) => {
    setError(refused);
    const field = refused instanceof Refused ? placeIn(refused) : undefined;
    if (refused instanceof Refused && field !== undefined) setMarks([{ ...placeOf(text, field), message: saidThere(refused) }]);
  };
  /** Shows what is there now beside what is wanted; whether there is a difference. */
  const compare = async (known: Stored) => {
    const there = await get<Stored>(`/objects/${kind.many}/${step(known.id)}`).catch((refused) => (isMissing(refused) ? null : undefined));
    if (there && there.revision !== known.revision) setConflict(there);
    if (there === null) setGone(true);
    return there === null || (there !== undefined && there.revision !== known.revision);
  };
  const propose = async (wish: Wish) => {
    setError(undefined);
    setGone(false);
    try {
      await plans.propose({ changes: [wish], intent: intent.trim() || undefined }, (applied) => {
        const deleted = wish.op === 'delete';
        const key = applied.objects.find((one) => one.kind === kind.one)?.id ?? wish.id;
        const made = deleted || !credentials ? undefined : secretsPut(value, first, (name) => shapeFor(name), applied.revision);
        if (made) queries.setQueryData(onceKey(kind, key), made);
        if (deleted) void navigate({ to: '/objects/$kind', params: { kind: kind.many }, ignoreBlocker: true });
        else if (!stored) void navigate({ to: '/objects/$kind/$id', params: { kind: kind.many, id: key }, replace: true, ignoreBlocker: true });
        else void queries.invalidateQueries({ queryKey: ['object', kind.many, stored.id] });
      }, stored ? () => void compare(stored) : undefined);
    } catch (refused) {
      if (stored && refused instanceof Refused && [409, 412].includes(refused.status) && ['conflict', 'precondition_failed', 'stale'].includes(refused.cause.code)) {
        if (await compare(stored)) return;
      }
      refuse(refused);
    }
  };
  const save = (revision = stored?.revision) =>
    propose({ op: stored ? 'put' : 'create', kind: kind.one, id: ownId, value, ...(stored ? { revision } : {}) });

  // Whoever asked for a review stands at the foot of a long form; what came of it is told at its head.
  const head = useRef<HTMLDivElement>(null);
  useEffect(() => {
    if (error !== undefined || conflict || gone) head.current?.scrollIntoView({ block: 'start' });
  }, [error, conflict, gone]);

  const errors = useMemo(() => {
    const field = error instanceof Refused ? placeIn(error) : undefined;
    return error instanceof Refused && field !== undefined ? { [field]: saidThere(error) } : {};
  }, [error]);
  const below = (place: string) =>
    Object.fromEntries(Object.entries(errors).filter(([at]) => at.startsWith(place)).map(([at, message]) => [at.slice(place.length), message]));

  /** What is said of a member or of anything in it, which has no field of its own. */
  const said = (place: string) => Object.entries(errors).find(([at]) => at === place || at.startsWith(`${place}/`))?.[1];
  // A single path or host is shown in the field for several.
  const shownErrors = { ...errors, ...(errors['/uri'] && { '/uris': errors['/uri'] }), ...(errors['/host'] && { '/hosts': errors['/host'] }) };
  const special = ['plugins', 'upstream', 'upstream_id', 'service_id', 'nodes', 'status', 'id', 'uri', 'host', ...OWN];
  // What an object is named by stays: under another name it is another object.
  const main = kind.fields.filter((name) => !special.includes(name) && !(stored && name === kind.named));
  const form = shape ? (
    <fieldset key={round} disabled={!editor || broken !== undefined} style={{ border: 0, padding: 0, margin: 0, minWidth: 0 }}>
      <legend style={{ position: 'absolute', left: -9999 }}>{t.object.form}</legend>
      <Stack>
        {broken !== undefined && (
          <Alert color="yellow" title={t.object.formWaits}>
            {t.object.formWaitsText}
          </Alert>
        )}
        {!stored && !kind.named && (
          <TextInput label={t.object.id} description={kind.many === 'credentials' ? t.object.credentialHint : t.object.idHint} value={id} required onChange={(event) => setId(event.currentTarget.value)} error={below('/id')['']} />
        )}
        {stored && kind.named && <TextInput label={t.form.fields[kind.named]?.[0] ?? kind.named} value={ownId} readOnly disabled />}
        <Fields own shape={shape} only={main} value={asShown(value, kind.fields)} errors={shownErrors} onChange={(next) => put(asStored(next, value, kind.fields))} />
        {kind.fields.includes('nodes') && <NodesField value={value.nodes} error={said('/nodes')} onChange={(nodes) => put({ ...value, nodes })} />}
        {kind.fields.includes('status') && (
          <Switch label={t.form.active} checked={value.status !== 0} onChange={(event) => put(turned(value, event.currentTarget.checked ? 1 : 0, first.status))} />
        )}
        {kind.leads && <LeadsField value={value} errors={errors} onChange={put} services={kind.many !== 'services'} />}
        {kind.plugins && (
          <PluginsField value={(value.plugins ?? {}) as Members} credentials={credentials} connections={kind.many === 'stream_routes'} errors={below('/plugins')} onChange={(plugins) => put({ ...value, plugins: plugins as Json })} />
        )}
        <details>
          <summary style={{ cursor: 'pointer', fontWeight: 600, fontSize: '0.9rem' }}>{t.object.more}</summary>
          <div style={{ marginTop: '0.75rem' }}>
            <Fields own shape={shape} without={[...main, ...special, ...(kind.named ? [kind.named] : [])]} value={value} errors={errors} onChange={put} />
          </div>
        </details>
      </Stack>
    </fieldset>
  ) : schema.error ? (
    <Problem error={schema.error} />
  ) : (
    <Wait />
  );
  const readable = <Readable count={setUnread}>{form}</Readable>;
  const source = (
    <Stack gap="xs">
      <Group justify="space-between">
        <SegmentedControl size="xs" aria-label={t.object.source} disabled={broken !== undefined} value={language} onChange={(next) => speak(next as Language)} data={[{ value: 'yaml', label: t.object.yaml }, { value: 'json', label: t.object.json }]} />
        {broken && (
          <Text size="xs" c="red" role="status">
            {t.object.sourceBroken}
          </Text>
        )}
      </Group>
      <Suspense fallback={<Wait />}>
        <Editor value={text} onChange={type} language={language} label={t.object.editor} marks={shownMarks} offers={sources && ((typed, at) => offer(typed, at, language, sources))} readOnly={!editor} />
      </Suspense>
      <Text size="xs" c="dimmed">
        {t.object.secretsMasked}
      </Text>
    </Stack>
  );
  const title = stored ? titleOf(stored) : t.object.new(kind.word);
  return (
    <>
      <Unsaved dirty={editor && touched} />
      <Head title={title} intro={stored ? `${kind.word} ${stored.id}, ${t.object.usedAt(stored.revision)}` : kind.about}>
        <Group gap="sm">
          {stored && (
            <Button variant="subtle" component={Link} to={`/history?key=${encodeURIComponent(`${kind.one}/${stored.id}`)}`}>
              {t.object.historyHead}
            </Button>
          )}
          {stored && kind.many === 'routes' && (
            <Button variant="light" component={Link} to={`/explain?${new URLSearchParams(tryOut(stored.value))}`} leftSection={<IconSend size={16} aria-hidden />}>
              {t.object.tryIt}
            </Button>
          )}
          {stored && editor && (
            <Button variant="light" color="red" leftSection={<IconTrash size={16} aria-hidden />} onClick={() => void propose({ op: 'delete', kind: kind.one, id: stored.id, revision: stored.revision })}>
              {t.object.delete}
            </Button>
          )}
        </Group>
      </Head>
      <div ref={head} style={{ scrollMarginTop: '5rem' }} />
      {conflict && stored && (
        <Conflict
          mine={value}
          theirs={conflict}
          take={() => {
            setConflict(undefined);
            void queries.invalidateQueries({ queryKey: ['object', kind.many, stored.id] });
          }}
          keep={() => {
            const revision = conflict.revision;
            setConflict(undefined);
            void save(revision);
          }}
        />
      )}
      {gone && stored && (
        <Alert color="orange" icon={<IconTrash aria-hidden />} title={t.object.goneTitle} mb="md" role="alert">
          <Text size="sm">{t.object.goneText}</Text>
          <Button size="sm" mt="sm" onClick={() => void propose({ op: 'create', kind: kind.one, id: ownId, value })}>
            {t.object.again}
          </Button>
        </Alert>
      )}
      {error !== undefined && (
        <div style={{ marginBottom: '0.9rem' }}>
          <Problem error={error} title={t.object.invalid} />
        </div>
      )}
      {wide ? (
        <div style={{ display: 'grid', gridTemplateColumns: 'minmax(0, 1.1fr) minmax(0, 1fr)', gap: '1rem', alignItems: 'start' }}>
          <Card>{readable}</Card>
          <Card>{source}</Card>
        </div>
      ) : (
        // What can't be read would be lost with its tab.
        <Tabs value={tab} onChange={(next) => unread === 0 && setTab(next)} keepMounted={false}>
          <Tabs.List mb="sm">
            <Tabs.Tab value="form">{t.object.form}</Tabs.Tab>
            <Tabs.Tab value="source">{t.object.source}</Tabs.Tab>
          </Tabs.List>
          <Tabs.Panel value="form">
            <Card>{readable}</Card>
          </Tabs.Panel>
          <Tabs.Panel value="source">
            <Card>{source}</Card>
          </Tabs.Panel>
        </Tabs>
      )}
      {editor && (
        <div className="card" style={{ position: 'sticky', bottom: 8, marginTop: '1rem', zIndex: 5, boxShadow: '0 4px 18px rgb(0 0 0 / 0.12)' }}>
          {unread > 0 && (
            <Text size="sm" c="red" role="alert" mb={6}>
              {t.form.unread}
            </Text>
          )}
          <Group justify="flex-end" gap="sm">
            <TextInput aria-label={t.object.intent} placeholder={t.object.intent} title={t.object.intentHint} value={intent} maxLength={500} onChange={(event) => setIntent(event.currentTarget.value)} style={{ flex: '1 1 12rem' }} />
            {stored && (
              <Button
                variant="default"
                disabled={!touched}
                onClick={() => {
                  put(first);
                  setRound(round + 1);
                }}
              >
                {t.object.revert}
              </Button>
            )}
            <Button disabled={!dirty || broken !== undefined || unread > 0 || ownId === ''} onClick={() => void save()}>
              {t.object.review}
            </Button>
          </Group>
        </div>
      )}
    </>
  );
}

/** A route that is switched; where nothing stood before, nothing stands when it is on again. */
const turned = (value: Members, status: number, before: Json | undefined): Members => {
  const { status: _, ...rest } = value;
  return status === 1 && before === undefined ? rest : { ...value, status };
};

/** A request that a route might take, to begin with. */
const tryOut = (value: Members): Record<string, string> => {
  const [path] = pathsOf(value);
  const [host] = hostsOf(value);
  const methods = Array.isArray(value.methods) ? value.methods.map(String) : [];
  return {
    method: methods.length === 0 || methods.includes('GET') ? 'GET' : (methods[0] ?? 'GET'),
    host: (host ?? '').replace(/^\*/, 'www'),
    target: (path ?? '/').replace(/\*$/, '').replace(/:(\w+)/g, '1'),
  };
};

function Conflict({ mine, theirs, take, keep }: { mine: Members; theirs: Stored; take: () => void; keep: () => void }) {
  const there = without(theirs.value, OWN);
  const names = [...new Set([...Object.keys(there), ...Object.keys(mine)])].filter((name) => JSON.stringify(there[name]) !== JSON.stringify(mine[name]));
  return (
    <Alert color="orange" icon={<IconGitCompare aria-hidden />} title={t.object.conflictTitle} mb="md" role="alert">
      <Text size="sm" mb="xs">
        {t.object.conflictText}
      </Text>
      <div className="scroll-x">
        <table className="diff">
          <thead>
            <tr>
              <th scope="col">{t.plan.field}</th>
              <th scope="col">
                {t.object.theirs} ({t.object.usedAt(theirs.revision)})
              </th>
              <th scope="col">{t.object.mine}</th>
            </tr>
          </thead>
          <tbody>
            {names.map((name) => (
              <tr key={name}>
                <th scope="row">{name}</th>
                <td className="was">
                  <pre>{line(there[name])}</pre>
                </td>
                <td className="is">
                  <pre>{line(mine[name])}</pre>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <Group mt="sm">
        <Button size="sm" variant="default" onClick={take}>
          {t.object.takeTheirs}
        </Button>
        <Button size="sm" onClick={keep}>
          {t.object.keepMine}
        </Button>
      </Group>
    </Alert>
  );
}
