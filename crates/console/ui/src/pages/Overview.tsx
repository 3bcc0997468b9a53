// How the gateway does at this moment, and what was changed meanwhile.

import { Anchor, Badge, Button, Code, Group, Progress, SegmentedControl, Stack, Text } from '@mantine/core';
import { IconArrowRight, IconClipboardCheck } from '@tabler/icons-react';
import { keepPreviousData, useQueries, useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';

import { type Entry, get, type Health, type Listed, type Status, step, type Stored, type Waiting } from '../lib/api';
import { endOf } from '../lib/certificate';
import { summary } from '../lib/change';
import { ago, count, millis, percent } from '../lib/format';
import { namesOf, titleOf } from '../lib/kinds';
import { axisOf, overTime, type Span, SPANS, type Top, topOf, topsOf, type Traffic } from '../lib/traffic';
import { Chart } from '../parts/Chart';
import { Card, Head, Problem, Wait } from '../parts/Message';
import { useMay } from '../parts/session';
import { Held, Unfinished } from '../parts/Standing';
import { t } from '../texts';

const EVERY = 2_000;
/** Points of the newest seconds that make the figure above the charts. */
const NEWEST = 2;
const SOON = 30 * 86_400_000;

/** Of how many gateways the figures are, and why the others are missing. */
function Gateways({ counted, missing }: NonNullable<Traffic['gateways']>) {
  const all = counted + missing.length;
  return (
    <Text size="sm" mb="md" c={missing.length ? undefined : 'dimmed'} fw={missing.length ? 600 : undefined} role={missing.length ? 'status' : undefined}>
      {missing.length ? `${t.overview.ofSome(counted, all)} ${missing.map((one) => `${one.gateway} (${one.reason})`).join(', ')}` : t.overview.ofAll(all)}
    </Text>
  );
}

export function Overview() {
  const editor = useMay('editor');
  const admin = useMay('admin');
  const status = useQuery({ queryKey: ['status'], queryFn: ({ signal }) => get<Status>('/status', undefined, signal), refetchInterval: EVERY });
  const [span, setSpan] = useState<Span>('5m');
  const traffic = useQuery({ ...overTime(span), placeholderData: keepPreviousData });
  const byRoute = useQuery(topOf('route', span));
  const byConsumer = useQuery(topOf('consumer', span));
  const byCause = useQuery(topOf('cause', span));
  const history = useQuery({ queryKey: ['history', 'newest'], queryFn: ({ signal }) => get<{ entries: Entry[] }>('/history', { limit: 50 }, signal), refetchInterval: 5_000 });
  const routes = useQuery({ queryKey: ['objects', 'routes', 'count'], queryFn: ({ signal }) => get<Listed>('/objects/routes', { limit: 1 }, signal), refetchInterval: 30_000 });
  const ssls = useQuery({ queryKey: ['objects', 'ssls', 'ends'], queryFn: ({ signal }) => get<Listed>('/objects/ssls', { limit: 500 }, signal), refetchInterval: 60_000 });
  const health = useQuery({ queryKey: ['health'], queryFn: ({ signal }) => get<Health>('/health', undefined, signal), refetchInterval: 5_000 });
  const waiting = useQuery({ queryKey: ['approvals'], queryFn: ({ signal }) => get<{ plans: Waiting[]; total: number }>('/approvals', undefined, signal), enabled: editor });

  const routesTop = topsOf(byRoute.data, 'route');
  const named = useQueries({
    queries: routesTop.map((row) => ({
      queryKey: ['object', 'routes', row.key],
      queryFn: ({ signal }: { signal: AbortSignal }) => get<Stored>(`/objects/routes/${step(row.key)}`, undefined, signal),
      enabled: row.key !== '',
      staleTime: 60_000,
      retry: false,
    })),
  });
  const busiest = routesTop.map((row, at) => {
    const stored = named[at]?.data;
    return stored ? { ...row, label: titleOf(stored) } : row;
  });

  if (status.error) return <Problem error={status.error} again={() => void status.refetch()} />;
  if (traffic.error) return <Problem error={traffic.error} again={() => void traffic.refetch()} />;
  if (!status.data || !traffic.data) return <Wait />;
  const { total } = traffic.data;
  const seconds = traffic.data.step;
  const at = axisOf(traffic.data);
  const [series] = traffic.data.series;
  // The second that is being counted isn't over yet.
  const whole = (series?.requests ?? []).slice(0, -1);
  const newest = whole.slice(-NEWEST);
  const rate = newest.length ? newest.reduce((sum, requests) => sum + requests, 0) / (newest.length * seconds) : 0;
  const share = total.requests ? total.errors / total.requests : 0;
  const perSecond = (values: number[] | undefined) => (values ?? []).map((value) => value / seconds);
  const entries = history.data?.entries ?? [];
  const changes = entries.map((entry) => ({ at: entry.unix_ms / 1000, label: entry.intent ?? `revision ${entry.revision}` }));
  const ending = (ssls.data?.objects ?? [])
    .map((stored) => ({ stored, end: endOf(stored.value.cert) }))
    .filter((one): one is { stored: (typeof one)['stored']; end: number } => one.end !== undefined && one.end - Date.now() < SOON)
    .sort((one, other) => one.end - other.end);
  const down = (health.data?.upstreams ?? []).flatMap((upstream) => upstream.nodes.filter((node) => !node.up).map((node) => ({ upstream: upstream.name.replace('/apisix/', ''), node })));
  const checked = new Set((health.data?.upstreams ?? []).flatMap((upstream) => upstream.nodes.map((node) => `${upstream.name} ${node.address}`)));
  const refusing = (health.data?.refusing ?? []).filter((node) => !checked.has(`${node.upstream} ${node.address}`)).map((node) => ({ ...node, upstream: node.upstream.replace('/apisix/', '') }));
  // What moves the store without changing the configuration, such as a log-in, isn't a revision that anybody waits for.
  const changed = status.data.changed ?? 0;
  const behind = changed > status.data.in_force;
  return (
    <>
      <Head title={t.overview.title}>
        <SegmentedControl size="xs" aria-label={t.overview.windowLabel} value={span} onChange={(next) => setSpan(next as Span)} data={SPANS.map((value) => ({ value, label: t.overview.window[value] ?? value }))} />
      </Head>
      {status.data.store.away && <Problem error={new Error(status.data.store.away)} title={t.overview.storeAway} />}
      {status.data.store.writes_fail && <Problem error={new Error(status.data.store.writes_fail)} title={t.overview.writesFail} />}
      {status.data.store.held && <Held what={status.data.store.held} admin={admin} />}
      {status.data.unfinished.map((plan) => (
        <Unfinished key={plan.plan} plan={plan} mine={plan.principal === status.data.you.name} admin={admin} />
      ))}
      {(waiting.data?.total ?? 0) > 0 && (
        <Group className="card" mb="md" justify="space-between" style={{ borderColor: 'var(--mantine-color-yellow-6)' }}>
          <Group gap="xs">
            <IconClipboardCheck size={20} aria-hidden />
            <Text fw={600}>{t.overview.waiting(waiting.data?.total ?? 0)}</Text>
          </Group>
          <Button component={Link} to="/approvals" variant="light" size="compact-sm">
            {t.overview.look}
          </Button>
        </Group>
      )}
      <div className="grid figures">
        <Figure label={t.overview.rate} value={`${count(rate)}${t.overview.perSecond}`} below={t.overview.inAll(count(total.requests))} />
        <Figure label={t.overview.errorShare} value={percent(share)} colour={share > 0.01 ? 'red' : undefined} below={t.overview.refused(count(total.refused))} />
        <Figure label={t.overview.latency} value={total.p50_ms === null ? '–' : millis(total.p50_ms)} below={total.p95_ms === null || total.p99_ms === null ? t.overview.percentiles : `p95 ${millis(total.p95_ms)} · p99 ${millis(total.p99_ms)}`} />
        <Figure label={t.overview.revision} value={behind ? String(status.data.in_force) : changed === 0 ? '–' : String(changed)} colour={behind ? 'orange' : undefined} below={behind ? t.overview.behind(changed) : `${t.overview.store}: ${status.data.store.kind}`} />
      </div>
      {traffic.data.gateways && <Gateways {...traffic.data.gateways} />}
      {routes.data?.total === 0 && <Start editor={editor} />}
      <div className="grid-wide" style={{ marginBottom: '0.9rem' }}>
        <Card title={t.overview.requestsHead} beside={<Text size="xs" c="dimmed">{t.overview.changesOnAxis}</Text>}>
          <Chart
            title={t.overview.requestsHead}
            at={at}
            changes={changes}
            unit={count}
            lines={[
              { label: t.overview.rate, colour: '#4a63e1', values: perSecond(series?.requests), fill: true },
              { label: t.overview.errors, colour: '#e03131', values: perSecond(series?.errors), fill: true },
            ]}
          />
        </Card>
        <Card title={t.overview.latencyHead}>
          <Chart
            title={t.overview.latencyHead}
            at={at}
            changes={changes}
            unit={count}
            lines={[
              { label: 'p50', colour: '#12958b', values: series?.p50_ms ?? [] },
              { label: 'p95', colour: '#4a63e1', values: series?.p95_ms ?? [] },
              { label: 'p99', colour: '#c2410c', values: series?.p99_ms ?? [] },
            ]}
          />
        </Card>
      </div>
      <div className="grid-wide">
        <Card title={t.overview.topRoutes} beside={<All to="/requests" />}>
          <Tops rows={busiest} none={t.overview.noTraffic} nameless={t.overview.withoutRoute} to={(key) => `/requests?route=${encodeURIComponent(key)}`} />
          {total.requests === 0 && status.data.listeners[0] && (
            <Text size="sm" mt="xs">
              {t.overview.sendOne} <Code>curl -i http://{status.data.listeners[0].replace('0.0.0.0', '127.0.0.1')}/</Code>
            </Text>
          )}
        </Card>
        <Card title={t.overview.topConsumers}>
          <Tops rows={topsOf(byConsumer.data, 'consumer')} none={t.overview.noTraffic} nameless={t.overview.anonymous} to={(key) => `/requests?consumer=${encodeURIComponent(key)}`} />
        </Card>
        <Card title={t.overview.causes}>
          <Tops rows={topsOf(byCause.data, 'cause').filter((row) => row.key !== '')} none={t.overview.noCauses} nameless="" to={(key) => `/requests?cause=${encodeURIComponent(key)}`} colour="red" />
        </Card>
        <Card title={t.overview.lastChanges} beside={<All to="/history" />}>
          {entries.length === 0 && (
            <Text size="sm" c="dimmed">
              {t.overview.noChanges}
            </Text>
          )}
          <Stack gap={6}>
            {entries.slice(0, 6).map((entry) => {
              const what = entry.intent || summary(entry);
              return (
                <Text key={entry.revision} size="sm" className="wrap">
                  {what} <Text span c="dimmed" size="xs">{`${entry.principal}, ${ago(entry.unix_ms)}`}</Text>
                </Text>
              );
            })}
          </Stack>
        </Card>
        <Card title={t.overview.problems}>
          {status.data.problems.length === 0 && (
            <Text size="sm" c="dimmed">
              {t.overview.noProblems}
            </Text>
          )}
          <Stack gap={6}>
            {status.data.problems.map((problem) => (
              <Text key={problem.key} size="sm" className="wrap">
                <Badge color="red" variant="light" size="sm" tt="none">
                  {problem.key.replace('/apisix/', '')}
                </Badge>{' '}
                {problem.reason}
              </Text>
            ))}
          </Stack>
        </Card>
        <Card title={t.overview.nodes} beside={<All to="/objects/upstreams" />}>
          {down.length + refusing.length === 0 && (
            <Text size="sm" c="dimmed">
              {t.overview.noNodes}
            </Text>
          )}
          <Stack gap={6}>
            {down.slice(0, 8).map(({ upstream, node }) => (
              <Text key={upstream + node.address} size="sm" className="wrap">
                <Badge color="red" variant="light" size="sm">
                  {t.overview.down}
                </Badge>{' '}
                {node.address} <Text span c="dimmed" size="xs">{upstream}</Text>
              </Text>
            ))}
            {refusing.slice(0, 8).map((node) => (
              <Text key={`${node.upstream} ${node.address} refuses`} size="sm" className="wrap">
                <Badge color="red" variant="light" size="sm">
                  {t.overview.down}
                </Badge>{' '}
                {node.address}{' '}
                <Text span c="dimmed" size="xs">
                  {node.upstream}: {t.overview.refusedOf(node.refused, node.of, ago(node.unix_ms))}
                </Text>
              </Text>
            ))}
            {refusing.length > 0 && (
              <Text size="xs" c="dimmed">
                {t.overview.unchecked}
              </Text>
            )}
          </Stack>
        </Card>
        <Card title={t.overview.certificates} beside={<All to="/objects/ssls" />}>
          {ending.length === 0 && (
            <Text size="sm" c="dimmed">
              {t.overview.noCertificates}
            </Text>
          )}
          {ending.slice(0, 6).map(({ stored, end }) => (
            <Text key={stored.id} size="sm" className="wrap">
              <Link to="/objects/$kind/$id" params={{ kind: 'ssls', id: stored.id }}>
                {namesOf(stored.value).join(', ') || stored.id}
              </Link>{' '}
              <Text span c={end < Date.now() ? 'red' : 'dimmed'} size="xs">
                {ago(end)}
              </Text>
            </Text>
          ))}
        </Card>
      </div>
    </>
  );
}

function Figure({ label, value, below, colour }: { label: string; value: string; below?: string; colour?: string }) {
  return (
    <div className="card">
      <Text size="sm" c="dimmed">
        {label}
      </Text>
      <Text className="figure" c={colour}>
        {value}
      </Text>
      <Text size="xs" c="dimmed" mih="1.1rem">
        {below}
      </Text>
    </div>
  );
}

const All = ({ to }: { to: string }) => (
  <Anchor component={Link} to={to} size="sm">
    {t.overview.all}
  </Anchor>
);

function Tops({ rows, none, nameless, to, colour }: { rows: Top[]; none: string; nameless: string; to: (key: string) => string; colour?: string }) {
  const most = rows[0]?.count ?? 1;
  if (rows.length === 0) {
    return (
      <Text size="sm" c="dimmed">
        {none}
      </Text>
    );
  }
  return (
    <Stack gap={8}>
      {rows.map((row) => (
        <div key={row.key}>
          <Group justify="space-between" gap="xs" wrap="nowrap">
            <Anchor component={Link} to={to(row.key)} size="sm" className="wrap" c={row.label ? undefined : 'dimmed'}>
              {row.label || nameless}
            </Anchor>
            <Text size="sm" className="num" style={{ whiteSpace: 'nowrap' }}>
              {count(row.count)}
              {row.errors > 0 && (
                <Text span c="red" size="xs">
                  {' '}
                  {percent(row.errors / row.count)}
                </Text>
              )}
            </Text>
          </Group>
          <Progress value={(row.count / most) * 100} size={4} color={colour} aria-hidden mt={2} />
        </div>
      ))}
    </Stack>
  );
}

function Start({ editor }: { editor: boolean }) {
  return (
    <Group className="card" mb="md" justify="space-between">
      <div>
        <Text fw={600}>{t.overview.start}</Text>
        <Text size="sm" c="dimmed">
          {editor ? t.overview.startText : t.overview.startForEditors}
        </Text>
      </div>
      {editor && (
        <Button component={Link} to="/new/routes" rightSection={<IconArrowRight size={16} aria-hidden />}>
          {t.overview.startRoute}
        </Button>
      )}
    </Group>
  );
}
