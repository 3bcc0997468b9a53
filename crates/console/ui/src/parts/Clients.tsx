// Who of the agents is there: programs that called lately, and plans that wait for a person.

import { Anchor, Stack, Table, Text } from '@mantine/core';
import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';

import { get, type Waiting } from '../lib/api';
import { ago, count } from '../lib/format';
import type * as Usher from '../lib/shapes';
import { t } from '../texts';
import { Card, Problem } from './Message';

export function Clients() {
  const clients = useQuery({
    queryKey: ['clients'],
    queryFn: ({ signal }) => get<Usher.Clients>('/agents/clients', undefined, signal),
    refetchInterval: 10_000,
  });
  return (
    <Card title={t.clients.title}>
      {clients.error && <Problem error={clients.error} />}
      {clients.data?.clients.length === 0 && (
        <Text size="sm" c="dimmed">
          {t.clients.none}
        </Text>
      )}
      {clients.data && clients.data.clients.length > 0 && (
        <div className="scroll-x" tabIndex={0} role="group" aria-label={t.clients.title}>
          <Table className="rows" verticalSpacing="xs">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t.clients.name}</Table.Th>
                <Table.Th>{t.clients.as}</Table.Th>
                <Table.Th>{t.clients.door}</Table.Th>
                <Table.Th>{t.clients.last}</Table.Th>
                <Table.Th className="num">{t.clients.calls}</Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {clients.data.clients.map((client) => (
                <Table.Tr key={`${client.name} ${client.version} ${client.principal} ${client.door}`}>
                  <Table.Td className="wrap">
                    {client.name} <Text span size="xs" c="dimmed">{client.version}</Text>
                  </Table.Td>
                  <Table.Td className="wrap">{client.principal}</Table.Td>
                  <Table.Td>{client.door}</Table.Td>
                  <Table.Td>{ago(client.last_unix_ms)}</Table.Td>
                  <Table.Td className="num">{count(client.calls)}</Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </div>
      )}
    </Card>
  );
}

export function WaitingPlans() {
  const waiting = useQuery({
    queryKey: ['approvals'],
    queryFn: ({ signal }) => get<{ plans: Waiting[]; total: number }>('/approvals', undefined, signal),
    refetchInterval: 10_000,
  });
  return (
    <Card title={t.clients.waiting}>
      {waiting.error && <Problem error={waiting.error} />}
      {waiting.data?.total === 0 && (
        <Text size="sm" c="dimmed">
          {t.clients.noneWaits}
        </Text>
      )}
      <Stack gap={6}>
        {waiting.data?.plans.map(({ plan, by }) => (
          <Text key={plan.id} size="sm" className="wrap">
            <Anchor component={Link} to={`/approve/${plan.id}`}>
              {t.clients.wants(by)}
            </Anchor>{' '}
            <Text span c="dimmed" size="xs">
              {plan.intent || plan.changes.slice(0, 3).map((change) => `${t.plan.op[change.op]}: ${change.kind} ${change.id}`).join(', ')}
            </Text>
          </Text>
        ))}
      </Stack>
    </Card>
  );
}
