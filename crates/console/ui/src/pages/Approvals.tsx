// Plans of agents and other clients that wait for a person: all of them, or the one that an address leads to.

import { Alert, Button, Checkbox, Group, Stack, Text } from '@mantine/core';
import { IconCheck, IconX } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { useState } from 'react';

import { type Applied, get, post, Refused, step, type Waiting } from '../lib/api';
import { Head, Problem, Wait } from '../parts/Message';
import { PlanView } from '../parts/PlanView';
import { usePlans } from '../parts/plans';
import { t } from '../texts';

export function Approvals() {
  const waiting = useQuery({
    queryKey: ['approvals'],
    queryFn: ({ signal }) => get<{ plans: Waiting[]; total: number }>('/approvals', undefined, signal),
    refetchInterval: 5_000,
  });
  return (
    <>
      <Head title={t.approvals.title} intro={t.approvals.intro} />
      {waiting.error && <Problem error={waiting.error} />}
      {waiting.isPending && <Wait />}
      {waiting.data?.plans.length === 0 && <Text c="dimmed">{t.approvals.empty}</Text>}
      <Stack>
        {waiting.data?.plans.map((one) => (
          <Decision key={one.plan.id} waiting={one} />
        ))}
      </Stack>
    </>
  );
}

export function Approve() {
  const { plan } = useParams({ from: '/inside/approve/$plan' });
  const waiting = useQuery({
    queryKey: ['approvals', plan],
    queryFn: ({ signal }) => get<Waiting>(`/approvals/${step(plan)}`, undefined, signal),
    refetchOnWindowFocus: false,
    staleTime: Number.POSITIVE_INFINITY,
  });
  const gone = waiting.error instanceof Refused && waiting.error.status === 404;
  return (
    <>
      <Head title={t.approvals.title}>
        <Button component={Link} to="/approvals" variant="subtle">
          {t.approvals.all}
        </Button>
      </Head>
      {gone && (
        <Alert color="yellow" title={t.approvals.gone}>
          {t.approvals.goneText}
        </Alert>
      )}
      {waiting.error && !gone && <Problem error={waiting.error} />}
      {waiting.isPending && <Wait />}
      {waiting.data && <Decision waiting={waiting.data} />}
    </>
  );
}

function Decision({ waiting }: { waiting: Waiting }) {
  const [read, setRead] = useState(false);
  const queries = useQueryClient();
  const plans = usePlans();
  const decide = useMutation({
    mutationFn: (agree: boolean) => post<{ applied?: Applied }>(`/approvals/${step(waiting.plan.id)}`, { agree }),
    onSuccess: () => queries.invalidateQueries({ predicate: (query) => !(query.queryKey[0] === 'approvals' && query.queryKey.length === 2) }),
  });
  const high = waiting.plan.risk === 'high';
  const applied = decide.data?.applied;
  return (
    <article className="card" aria-label={t.approvals.wants(waiting.by, waiting.door)}>
      <Text fw={600} mb="xs" className="wrap">
        {t.approvals.wants(waiting.by, waiting.door)}
      </Text>
      {decide.isSuccess ? (
        <Alert color={applied ? 'teal' : 'gray'} icon={applied ? <IconCheck aria-hidden /> : <IconX aria-hidden />} role="status">
          {applied ? t.plan.applied(applied.revision) : t.approvals.declined}
          {applied && (
            <Group mt="xs">
              <Button size="compact-sm" variant="default" onClick={() => void plans.undo(applied.revision)}>
                {t.plan.undo}
              </Button>
            </Group>
          )}
        </Alert>
      ) : (
        <Stack>
          <PlanView plan={waiting.plan} />
          {decide.error && <Problem error={decide.error} title={t.plan.refused} />}
          {high && <Checkbox label={t.plan.agree} checked={read} onChange={(event) => setRead(event.currentTarget.checked)} />}
          <Group justify="flex-end">
            <Button variant="default" loading={decide.isPending} onClick={() => decide.mutate(false)}>
              {t.approvals.decline}
            </Button>
            <Button color={high ? 'red' : undefined} disabled={high && !read} loading={decide.isPending} onClick={() => decide.mutate(true)}>
              {t.approvals.approve}
            </Button>
          </Group>
        </Stack>
      )}
    </article>
  );
}
