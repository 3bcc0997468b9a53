// The audit: who did what and what was denied, whether its chain holds, and all of it as a file.

import { Alert, Button, Group, Table, Text } from '@mantine/core';
import { IconDownload, IconShieldCheck } from '@tabler/icons-react';
import { useMutation, useQuery } from '@tanstack/react-query';
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
  [name: string]: Json | undefined;
}

interface Verdict {
  whole: boolean;
  records: number;
  broken?: { number: number; reason: string };
}

const PAGE = 200;

export function Audit() {
  const [after, setAfter] = useState<number>();
  const audit = useQuery({
    queryKey: ['audit', after],
    queryFn: ({ signal }) => get<{ records: AuditRecord[]; next?: number }>('/audit', { after, limit: PAGE }, signal),
  });
  const verify = useMutation({ mutationFn: () => get<Verdict>('/audit/verify') });
  return (
    <>
      <Head title={t.audit.title} intro={t.audit.intro}>
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
      {audit.error && <Problem error={audit.error} />}
      {audit.isPending && <Wait />}
      {audit.data && (
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
              {audit.data.records.map((record) => (
                <Table.Tr key={record.number}>
                  <Table.Td className="num">{record.number}</Table.Td>
                  <Table.Td className="num" style={{ whiteSpace: 'nowrap' }}>
                    {record.unix_ms === undefined ? '' : day(record.unix_ms)}
                  </Table.Td>
                  <Table.Td>{record.principal || '–'}</Table.Td>
                  <Table.Td>{record.door}</Table.Td>
                  <Table.Td className="wrap">
                    {record.event}
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
      {audit.data?.next !== undefined && (
        <Group justify="center" mt="md">
          <Button variant="default" onClick={() => setAfter(audit.data?.next)}>
            {t.audit.more}
          </Button>
        </Group>
      )}
    </>
  );
}
