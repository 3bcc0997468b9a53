// The audit: who did what and what was denied, newest first, looked through by who, what, how it ended and when; whether its chain holds, and all
// of it as a file.

import { Alert, Badge, Button, Group, Select, Table, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconDownload, IconShieldCheck } from '@tabler/icons-react';
import { useInfiniteQuery, useMutation } from '@tanstack/react-query';
import { useState } from 'react';

import { address, get, type Json } from '../lib/api';
import { day } from '../lib/format';
import { Head, Problem, Wait } from '../parts/Message';
import { t } from '../texts';

interface AuditRecord {
  number: number;
  unix_ms?: number;
  principal?: string;
  door?: string;
  event?: string;
  about?: string;
  changes?: { key: string }[];
  total?: number;
  [name: string]: Json | { key: string }[] | undefined;
}

interface Verdict {
  whole: boolean;
  records: number;
  broken?: { number: number; reason: string };
}

const PAGE = 100;

interface Found {
  records: AuditRecord[];
  next?: number;
  read: number;
}

const HOUR = 3_600_000;
const SPANS: Record<string, number> = { hour: HOUR, day: 24 * HOUR, week: 7 * 24 * HOUR, month: 30 * 24 * HOUR };

/** Of what a record tells how it ended, as the server judges it. */
const outcomeOf = (event = '') => (['denied', 'declined', 'login-refused', 'failed-logins'].includes(event) ? 'denied' : event === 'failed' ? 'failed' : 'done');
const COLOUR: Record<string, string> = { denied: 'orange', failed: 'red' };

const named = (key: string) => key.replace('/apisix/', '').replace(/^(\w+?)s?\//, '$1/');

export function Audit() {
  const [who, setWho] = useState('');
  const [object, setObject] = useState('');
  const [event, setEvent] = useState<string | null>(null);
  const [outcome, setOutcome] = useState<string | null>(null);
  const [span, setSpan] = useState<string | null>(null);
  const [since, setSince] = useState<number>();
  const [typed] = useDebouncedValue(`${who}\n${object}`, 300);
  const [wantedWho = '', wantedObject = ''] = typed.split('\n');
  const audit = useInfiniteQuery({
    queryKey: ['audit', wantedWho, wantedObject, event, outcome, since],
    queryFn: ({ pageParam, signal }) =>
      get<Found>('/audit', { order: 'newest', after: pageParam, limit: PAGE, who: wantedWho.trim(), object: wantedObject.trim(), event: event ?? undefined, outcome: outcome ?? undefined, since_ms: since }, signal),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (last) => last.next,
  });
  const records = audit.data?.pages.flatMap((page) => page.records) ?? [];
  const read = audit.data?.pages.reduce((sum, page) => sum + page.read, 0) ?? 0;
  const verify = useMutation({ mutationFn: () => get<Verdict>('/audit/verify') });
  return (
    <>
      <Head title={t.audit.title} intro={`${t.audit.intro} ${t.audit.order}`}>
        <Group gap="sm">
          <Button variant="default" leftSection={<IconShieldCheck size={16} aria-hidden />} loading={verify.isPending} onClick={() => verify.mutate()}>
            {t.audit.verify}
          </Button>
          <Button component="a" href={address('/audit/export')} download="usher-audit.jsonl" leftSection={<IconDownload size={16} aria-hidden />}>
            {t.audit.export}
          </Button>
        </Group>
      </Head>
      {verify.data && (
        <Alert color={verify.data.whole ? 'teal' : 'red'} mb="sm" role="status">
          {verify.data.broken ? t.audit.broken(verify.data.broken.number, verify.data.broken.reason) : t.audit.whole(verify.data.records)}
        </Alert>
      )}
      <div role="group" aria-label={t.audit.filters} style={{ display: 'grid', gap: '0.6rem', gridTemplateColumns: 'repeat(auto-fit, minmax(10rem, 1fr))', marginBottom: '0.75rem' }}>
        <TextInput size="xs" label={t.audit.who} placeholder={t.audit.whoHint} value={who} onChange={(typing) => setWho(typing.currentTarget.value)} />
        <Select size="xs" label={t.audit.action} placeholder={t.audit.any} clearable searchable data={Object.entries(t.audit.actions).map(([value, label]) => ({ value, label }))} value={event} onChange={setEvent} />
        <TextInput size="xs" label={t.audit.object} placeholder={t.audit.objectHint} value={object} onChange={(typing) => setObject(typing.currentTarget.value)} />
        <Select size="xs" label={t.audit.outcome} placeholder={t.audit.any} clearable data={Object.entries(t.audit.outcomes).map(([value, label]) => ({ value, label }))} value={outcome} onChange={setOutcome} />
        <Select
          size="xs"
          label={t.audit.since}
          placeholder={t.audit.any}
          clearable
          data={Object.entries(t.audit.spans).map(([value, label]) => ({ value, label }))}
          value={span}
          onChange={(next) => {
            setSpan(next);
            setSince(next ? Date.now() - (SPANS[next] ?? 0) : undefined);
          }}
        />
      </div>
      {audit.error && <Problem error={audit.error} again={() => void audit.refetch()} />}
      {audit.isPending && <Wait />}
      {audit.data && records.length === 0 && <Text c="dimmed">{t.audit.nothing(read)}</Text>}
      {records.length > 0 && (
        <div className="card scroll-x" style={{ padding: 0 }} tabIndex={0} role="group" aria-label={t.audit.title}>
          <Table className="rows" verticalSpacing="xs">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t.audit.columnsNumber}</Table.Th>
                <Table.Th>{t.audit.when}</Table.Th>
                <Table.Th>{t.audit.who}</Table.Th>
                <Table.Th>{t.audit.door}</Table.Th>
                <Table.Th>{t.audit.what}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {records.map((record) => (
                <Table.Tr key={record.number}>
                  <Table.Td className="num">{record.number}</Table.Td>
                  <Table.Td className="num" style={{ whiteSpace: 'nowrap' }}>
                    {record.unix_ms === undefined ? '' : day(record.unix_ms)}
                  </Table.Td>
                  <Table.Td>{record.principal || '–'}</Table.Td>
                  <Table.Td>{record.door}</Table.Td>
                  <Table.Td className="wrap">
                    {t.audit.actions[record.event ?? ''] ?? record.event}{' '}
                    {outcomeOf(record.event) !== 'done' && (
                      <Badge size="sm" variant="light" color={COLOUR[outcomeOf(record.event)]}>
                        {t.audit.outcomes[outcomeOf(record.event)]}
                      </Badge>
                    )}
                    {(record.changes ?? []).length > 0 && (
                      <Text size="sm" className="wrap">
                        {(record.changes ?? []).slice(0, 3).map((change) => named(change.key)).join(', ')}{' '}
                        {(record.total ?? 0) > 3 && t.audit.objects((record.total ?? 0) - 3)}
                      </Text>
                    )}
                    {record.about && (
                      <Text size="sm" c="dimmed" className="wrap">
                        {record.about}
                      </Text>
                    )}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </div>
      )}
      {audit.hasNextPage && (
        <Group justify="center" mt="md">
          <Button variant="default" loading={audit.isFetchingNextPage} onClick={() => void audit.fetchNextPage()}>
            {records.length === 0 ? t.audit.readOn : t.audit.more}
          </Button>
        </Group>
      )}
    </>
  );
}
