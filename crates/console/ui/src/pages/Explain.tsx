// Which way a request would take, in words or as a pasted curl, without sending it; and the request itself, for whoever wants to see it go.

import { Alert, Badge, Button, Group, List, SegmentedControl, Select, Stack, Text, Textarea, TextInput, Timeline } from '@mantine/core';
import { IconArrowRight, IconPlug, IconRoute, IconSend, IconServer2 } from '@tabler/icons-react';
import { useMutation } from '@tanstack/react-query';
import { Link, useSearch } from '@tanstack/react-router';
import { type FormEvent, useEffect, useState } from 'react';

import { post, type Tried } from '../lib/api';
import { Attempt } from '../parts/Attempt';
import { Card, Head, Problem } from '../parts/Message';
import { useMay } from '../parts/session';
import { isStopped, useStoppable } from '../parts/stoppable';
import { t } from '../texts';

interface RouteName {
  id: string;
  name: string | null;
  uri: string;
}

interface Explained {
  request: { method: string; host: string; target: string; headers: string[]; client: string };
  notes: string[];
  route: RouteName | null;
  passed_over: { route: RouteName; because: string }[];
  plugins: { name: string; phases?: string[] }[];
  upstream: { id: string | null; nodes: { address: string; weight: number }[]; next: string | null } | null;
  answer: string | null;
}

/** Seconds for an answer of Usher to a request that it sends, which it gives ten itself. */
const WITHIN = 20;

const METHODS = ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'HEAD', 'OPTIONS'];
const WITH_BODY = ['POST', 'PUT', 'PATCH', 'DELETE'];

/** Lines of `Name: value` as pairs; the first one that is none, instead. */
const pairsOf = (text: string): { pairs: Record<string, string> } | { bad: string } => {
  const pairs: Record<string, string> = {};
  for (const line of text.split('\n').filter((one) => one.trim() !== '')) {
    const [, name, value] = /^\s*([^:\s]+)\s*:(.*)$/.exec(line) ?? [];
    if (name === undefined) return { bad: line };
    pairs[name] = (value ?? '').trim();
  }
  return { pairs };
};

const titled = (route: RouteName) => (
  <>
    <Link to="/objects/$kind/$id" params={{ kind: 'routes', id: route.id }}>
      {route.name ?? route.id}
    </Link>{' '}
    <code className="wrap">{route.uri}</code>
  </>
);

export function Explain() {
  const search = useSearch({ from: '/inside/explain' });
  const given = search.target !== undefined;
  const [how, setHow] = useState(given ? 'hand' : 'curl');
  const [curl, setCurl] = useState('');
  const [method, setMethod] = useState(search.method ?? 'GET');
  const [host, setHost] = useState(search.host ?? '');
  const [target, setTarget] = useState(search.target ?? '/');
  const [headers, setHeaders] = useState('');
  const [body, setBody] = useState('');
  const editor = useMay('editor');
  const read = pairsOf(headers);
  const badHeader = 'bad' in read ? t.explain.badHeader(read.bad) : undefined;
  const described = { method, host, target, headers: 'pairs' in read ? read.pairs : {} };
  const { asked: attempt, stop } = useStoppable<Tried>('/requests', WITHIN);
  const explain = useMutation({ mutationFn: (body: unknown) => post<Explained>('/explain', body) });
  const { mutate } = explain;
  useEffect(() => {
    if (given) mutate({ method: search.method ?? 'GET', host: search.host ?? '', target: search.target, headers: {} });
  }, [given, mutate, search.method, search.host, search.target]);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (how === 'curl') return mutate({ curl });
    return mutate(described);
  };
  const seen = explain.data;
  const wanted = how === 'curl' ? { curl } : described;
  const sent = { ...described, ...(WITH_BODY.includes(method) && body !== '' ? { body } : {}) };
  // What is shown is of the request that was asked about, which may be another one by now.
  const differs = (asked: unknown, now: unknown) => JSON.stringify(asked) !== JSON.stringify(now);
  const old = { explain: differs(explain.variables, wanted), attempt: how === 'curl' || differs(attempt.variables, sent) };
  return (
    <>
      <Head title={t.explain.title} intro={t.explain.intro} />
      <div className="grid-wide" style={{ alignItems: 'start' }}>
        <Card>
          <form onSubmit={submit}>
            <Stack gap="sm">
              <SegmentedControl aria-label={t.explain.title} value={how} onChange={setHow} data={[{ value: 'curl', label: t.explain.curl }, { value: 'hand', label: t.explain.byHand }]} />
              {how === 'curl' ? (
                <Textarea label={t.explain.curl} placeholder={t.explain.curlHint} autosize minRows={4} value={curl} required onChange={(event) => setCurl(event.currentTarget.value)} styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)' } }} />
              ) : (
                <>
                  <Group grow preventGrowOverflow={false}>
                    <Select label={t.explain.method} data={METHODS} value={method} allowDeselect={false} onChange={(next) => setMethod(next ?? 'GET')} maw="8rem" />
                    <TextInput label={t.explain.host} value={host} onChange={(event) => setHost(event.currentTarget.value)} />
                  </Group>
                  <TextInput label={t.explain.target} value={target} required onChange={(event) => setTarget(event.currentTarget.value)} />
                  <Textarea label={t.explain.headers} description={t.explain.headersHint} error={badHeader} autosize minRows={2} value={headers} onChange={(event) => setHeaders(event.currentTarget.value)} />
                  {WITH_BODY.includes(method) && <Textarea label={t.explain.body} autosize minRows={3} maxRows={14} value={body} onChange={(event) => setBody(event.currentTarget.value)} styles={{ input: { fontFamily: 'var(--mantine-font-family-monospace)', fontSize: '0.82rem' } }} />}
                </>
              )}
              <Button type="submit" loading={explain.isPending} disabled={how === 'hand' && badHeader !== undefined}>
                {t.explain.submit}
              </Button>
              {!editor && (
                <Text size="xs" c="dimmed">
                  {t.explain.sendForEditors}
                </Text>
              )}
              {editor && how === 'hand' && (
                <>
                  <Button
                    variant="light"
                    leftSection={<IconSend size={16} aria-hidden />}
                    loading={attempt.isPending}
                    disabled={badHeader !== undefined || target === ''}
                    onClick={() => attempt.mutate(sent)}
                  >
                    {t.explain.send}
                  </Button>
                  {attempt.isPending && (
                    <Button variant="default" size="compact-sm" onClick={stop}>
                      {t.stoppable.stop}
                    </Button>
                  )}
                  <Text size="xs" c="dimmed">
                    {t.explain.sendHint}
                  </Text>
                </>
              )}
            </Stack>
          </form>
        </Card>
        <Stack aria-live="polite">
          {(attempt.error || attempt.data) && (
            <Earlier is={old.attempt} again={t.explain.send}>
              {isStopped(attempt.error) ? (
                <Text size="sm" c="dimmed" role="status">
                  {t.stoppable.stopped}
                </Text>
              ) : (
                attempt.error && <Problem error={attempt.error} />
              )}
              {attempt.data && <Attempt tried={attempt.data} />}
            </Earlier>
          )}
          {explain.error && (
            <Earlier is={old.explain} again={t.explain.submit}>
              <Problem error={explain.error} />
            </Earlier>
          )}
          {seen && (
            <Earlier is={old.explain} again={t.explain.submit}>
              <Card>
                <Text size="sm" c="dimmed" mb="md" className="wrap">
                  {t.explain.understood}: <code>{`${seen.request.method} ${seen.request.target}`}</code> {seen.request.host && <code>{`Host: ${seen.request.host}`}</code>}
                </Text>
                <Timeline active={3} bulletSize={26} lineWidth={2}>
                  <Timeline.Item bullet={<IconRoute size={14} aria-hidden />} title={t.explain.route}>
                    {seen.route ? titled(seen.route) : <Text c="red">{t.explain.noRoute}</Text>}
                  </Timeline.Item>
                  <Timeline.Item bullet={<IconPlug size={14} aria-hidden />} title={t.explain.plugins}>
                    {seen.plugins.length === 0 && <Text size="sm" c="dimmed">{t.explain.noPlugins}</Text>}
                    <Group gap={4}>
                      {seen.plugins.map((plugin) => (
                        <Badge key={plugin.name} variant="light" tt="none">
                          {plugin.name}
                          {plugin.phases?.length ? ` (${plugin.phases.join(', ')})` : ''}
                        </Badge>
                      ))}
                    </Group>
                  </Timeline.Item>
                  <Timeline.Item bullet={<IconServer2 size={14} aria-hidden />} title={seen.answer ? t.explain.answers : t.explain.upstream}>
                    {seen.answer ? (
                      <Text className="wrap">{seen.answer}</Text>
                    ) : (
                      <Text className="wrap">
                        {seen.upstream?.id && (
                          <>
                            {seen.upstream.id} <IconArrowRight size={12} aria-hidden />{' '}
                          </>
                        )}
                        {(seen.upstream?.nodes ?? []).map((node) => node.address).join(', ')}
                      </Text>
                    )}
                  </Timeline.Item>
                </Timeline>
                {seen.notes.length > 0 && (
                  <Alert mt="md" color="gray" title={t.explain.notes}>
                    <List size="sm">
                      {seen.notes.map((note) => (
                        <List.Item key={note}>{note}</List.Item>
                      ))}
                    </List>
                  </Alert>
                )}
                {seen.passed_over.length > 0 && (
                  <>
                    <Text fw={600} mt="md" size="sm">
                      {t.explain.passedOver}
                    </Text>
                    <List size="sm" spacing={4}>
                      {seen.passed_over.map((one) => (
                        <List.Item key={one.route.id} className="wrap">
                          {titled(one.route)}: {one.because}
                        </List.Item>
                      ))}
                    </List>
                  </>
                )}
              </Card>
            </Earlier>
          )}
        </Stack>
      </div>
    </>
  );
}

/** What came of a request; where the form holds another one by now, it says so. */
function Earlier({ is, again, children }: { is: boolean; again: string; children: React.ReactNode }) {
  return (
    <div>
      {is && (
        <Alert color="yellow" mb="xs" role="status">
          {t.explain.earlier(again)}
        </Alert>
      )}
      <div style={is ? { opacity: 0.75 } : undefined}>{children}</div>
    </div>
  );
}
