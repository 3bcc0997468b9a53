// The live tail: requests as they are served, with filters, and the whole way of one.

import { Badge, Button, Drawer, Switch, Table, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconWorldSearch } from '@tabler/icons-react';
import { Link, useSearch } from '@tanstack/react-router';
import { useEffect, useState } from 'react';

import { get, type Requests as Answer, type Served } from '../lib/api';
import { clock, day, millis } from '../lib/format';
import { colourOf } from '../parts/Attempt';
import { Head, Problem } from '../parts/Message';
import { t } from '../texts';

/** Rows that are kept and shown. */
const MOST = 300;

interface Filter {
  route: string;
  status: string;
  method: string;
  path: string;
  consumer: string;
  cause: string;
}

const NAMES = ['status', 'method', 'path', 'route', 'consumer', 'cause'] as const;

export function Requests() {
  const search = useSearch({ from: '/inside/requests' });
  const [filter, setFilter] = useState<Filter>({ route: search.route ?? '', status: search.status ?? '', method: '', path: search.path ?? '', consumer: search.consumer ?? '', cause: search.cause ?? '' });
  const [wanted] = useDebouncedValue(filter, 300);
  const [live, setLive] = useState(true);
  const [rows, setRows] = useState<(Served & { key: number })[]>([]);
  const [missed, setMissed] = useState(0);
  const [since, setSince] = useState<number>();
  const [error, setError] = useState<unknown>();
  const [open, setOpen] = useState<Served>();

  useEffect(() => {
    const ended = new AbortController();
    let number = 0;
    const query = Object.fromEntries(Object.entries(wanted).filter(([, value]) => value !== ''));
    const follow = async () => {
      let after: string | undefined;
      setRows([]);
      setMissed(0);
      while (!ended.signal.aborted) {
        try {
          const seen = await get<Answer>('/requests', { ...query, after, limit: after ? 200 : 100, wait: after && live ? 20 : undefined }, ended.signal);
          after = seen.next;
          setSince(seen.since_ms);
          setError(undefined);
          if (seen.missed > 0) setMissed((count) => count + seen.missed);
          if (seen.requests.length > 0) {
            const fresh = seen.requests.map((request) => ({ ...request, key: (number += 1) })).reverse();
            setRows((known) => [...fresh, ...known].slice(0, MOST));
          }
          if (!live) return;
          // Under load there is always something new; a page needn't be faster than eyes.
          await new Promise((resolve) => setTimeout(resolve, 400));
        } catch (failure) {
          if (ended.signal.aborted) return;
          setError(failure);
          await new Promise((resolve) => setTimeout(resolve, 3_000));
        }
      }
    };
    void follow();
    return () => ended.abort();
  }, [wanted, live]);

  return (
    <>
      <Head title={t.requests.title} intro={t.requests.intro}>
        <Switch label={live ? t.requests.live : t.requests.paused} checked={live} onChange={(event) => setLive(event.currentTarget.checked)} />
      </Head>
      <div style={{ display: 'grid', gap: '0.6rem', gridTemplateColumns: 'repeat(auto-fit, minmax(7rem, 1fr))', marginBottom: '0.75rem' }}>
        {NAMES.map((name) => (
          <TextInput key={name} size="xs" label={t.requests[name]} placeholder={name === 'status' ? t.requests.statusHint : undefined} value={filter[name]} onChange={(event) => setFilter({ ...filter, [name]: event.currentTarget.value })} />
        ))}
      </div>
      {error !== undefined && <Problem error={error} />}
      {missed > 0 && (
        <Text size="xs" c="dimmed" mb="xs">
          {t.requests.missed(missed)}
        </Text>
      )}
      <div className="card scroll-x" style={{ padding: 0 }} tabIndex={0} role="group" aria-label={t.requests.title}>
        <Table verticalSpacing={4} className="rows num" highlightOnHover fz="sm">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{t.requests.when}</Table.Th>
              <Table.Th>{t.requests.status}</Table.Th>
              <Table.Th>{t.requests.method}</Table.Th>
              <Table.Th>{t.requests.path}</Table.Th>
              <Table.Th>{t.requests.route}</Table.Th>
              <Table.Th>{t.requests.node}</Table.Th>
              <Table.Th ta="right">{t.requests.took}</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {rows.map((row) => (
              <Table.Tr key={row.key}>
                <Table.Td>{clock(row.at_ms)}</Table.Td>
                <Table.Td>
                  <Badge variant="light" color={colourOf(row.status)}>
                    {row.status}
                  </Badge>
                </Table.Td>
                <Table.Td>{row.method}</Table.Td>
                <Table.Td maw="28rem">
                  <button type="button" className="mono clipped" title={row.path} style={{ cursor: 'pointer', textDecoration: 'underline', textDecorationColor: 'var(--usher-line)' }} onClick={() => setOpen(row)} aria-label={`${t.requests.detail}: ${row.method} ${row.path}`}>
                    {row.path}
                  </button>
                  {row.cause && (
                    <Text size="xs" c="red">
                      {row.cause}
                    </Text>
                  )}
                </Table.Td>
                <Table.Td className="wrap">{row.route_name ?? row.route ?? '–'}</Table.Td>
                <Table.Td className="wrap">{row.node ?? '–'}</Table.Td>
                <Table.Td ta="right">{millis(row.took_ms)}</Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
        {rows.length === 0 && (
          <Text c="dimmed" ta="center" py="lg">
            {t.requests.empty}
          </Text>
        )}
      </div>
      {since !== undefined && (
        <Text size="xs" c="dimmed" mt="xs">
          {t.requests.since(day(since))}{' '}
          <Link to="/">{t.requests.sinceLink}</Link>.
        </Text>
      )}
      <Drawer opened={open !== undefined} onClose={() => setOpen(undefined)} position="right" title={t.requests.detail} closeButtonProps={{ 'aria-label': t.close }}>
        {open && <Detail served={open} />}
      </Drawer>
    </>
  );
}

function Detail({ served }: { served: Served }) {
  const rows: [string, React.ReactNode][] = [
    [t.requests.when, day(served.at_ms)],
    [t.requests.status, <Badge key="status" color={colourOf(served.status)}>{served.status}</Badge>],
    [t.requests.method, served.method],
    [t.explain.host, served.host],
    [t.requests.path, served.path],
    [t.requests.client, served.client],
    [
      t.requests.route,
      served.route ? (
        <Link key="route" to="/objects/$kind/$id" params={{ kind: 'routes', id: served.route }}>
          {served.route_name ?? served.route}
        </Link>
      ) : (
        t.overview.withoutRoute
      ),
    ],
    [t.requests.consumer, served.consumer ?? t.none],
    [t.requests.node, served.node ?? t.none],
    [t.requests.upstreamStatus, served.tries.length > 1 ? t.requests.tries(served.tries.join(', ')) : (served.upstream_status ?? t.none)],
    [t.requests.answeredBy, served.answered_by],
    [
      t.requests.plugin,
      served.plugin ? (
        <Link key="plugin" to="/plugins/$name" params={{ name: served.plugin }}>
          {served.plugin}
        </Link>
      ) : (
        t.none
      ),
    ],
    [t.requests.cause, served.cause ?? t.none],
    [t.requests.failedBy, served.failed_by ?? t.none],
    [t.requests.retrySafe, served.retry_safe === null ? t.none : served.retry_safe ? t.requests.yes : t.requests.no],
    [t.requests.took, millis(served.took_ms)],
    [t.requests.upstreamTook, served.upstream_took_ms === null ? t.none : millis(served.upstream_took_ms)],
    [t.requests.ownTook, served.upstream_took_ms === null ? t.none : millis(Math.max(0, served.took_ms - served.upstream_took_ms))],
    [t.requests.received, `${served.received_bytes} ${t.requests.bytes}`],
    [t.requests.sent, `${served.sent_bytes} ${t.requests.bytes}`],
  ];
  return (
    <>
      <Table>
        <Table.Tbody>
          {rows.map(([name, value]) => (
            <Table.Tr key={name}>
              <Table.Th scope="row" w="9rem">
                {name}
              </Table.Th>
              <Table.Td className="wrap">{value}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      <Button mt="md" variant="light" component={Link} to={`/explain?${new URLSearchParams({ method: served.method, host: served.host, target: served.path })}`} leftSection={<IconWorldSearch size={16} aria-hidden />}>
        {t.requests.explain}
      </Button>
    </>
  );
}
