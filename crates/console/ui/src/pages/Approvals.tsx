// Plans of agents and other clients that wait for a person: all of them, or the one that an address leads to.

import { Alert, Anchor, Button, Checkbox, Group, Stack, Text } from '@mantine/core';
import { IconCheck, IconGitCompare, IconX } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { useEffect, useState } from 'react';

import { type Applied, get, type Plan, post, Refused, step, type Waiting } from '../lib/api';
import { ago } from '../lib/format';
import { Head, Problem, Wait } from '../parts/Message';
import { PlanView } from '../parts/PlanView';
import { usePlans } from '../parts/plans';
import { t } from '../texts';

/** How often it is looked whether a plan still waits, in milliseconds. */
const LOOK = 5_000;
/** How long plans wait, in milliseconds: that is how long a start of Usher may have taken some away. */
const WAITS = 15 * 60_000;

const isSettled = (error: unknown): error is Refused => error instanceof Refused && error.status === 404;

export function Approvals() {
  const waiting = useQuery({
    queryKey: ['approvals'],
    queryFn: ({ signal }) => get<{ plans: Waiting[]; total: number; since_unix_ms: number }>('/approvals', undefined, signal),
    refetchInterval: LOOK,
  });
  // What was shown stays until it is put away: whoever reads it is told what became of it.
  const [seen, setSeen] = useState<Waiting[]>([]);
  useEffect(() => {
    const plans = waiting.data?.plans;
    if (!plans) return;
    setSeen((before) => [
      ...before.map((one) => plans.find(({ plan }) => plan.id === one.plan.id) ?? one),
      ...plans.filter(({ plan }) => !before.some((one) => one.plan.id === plan.id)),
    ]);
  }, [waiting.data]);
  const here = new Set(waiting.data?.plans.map(({ plan }) => plan.id));
  const since = waiting.data?.since_unix_ms ?? 0;
  return (
    <>
      <Head title={t.approvals.title} intro={t.approvals.intro} />
      {waiting.error && <Problem error={waiting.error} />}
      {waiting.isPending && <Wait />}
      {Date.now() - since < WAITS && (
        <Text size="sm" c="dimmed" mb="sm">
          {t.approvals.since(ago(since))}
        </Text>
      )}
      {waiting.data && seen.length === 0 && waiting.data.plans.length === 0 && <Text c="dimmed">{t.approvals.empty}</Text>}
      <Stack>
        {seen.map((one) => (
          <Decision key={one.plan.id} waiting={one} here={here.has(one.plan.id)} putAway={() => setSeen((before) => before.filter((other) => other !== one))} />
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
    refetchInterval: ({ state }) => (isSettled(state.error) ? false : LOOK),
  });
  const gone = isSettled(waiting.error);
  return (
    <>
      <Head title={t.approvals.title}>
        <Button component={Link} to="/approvals" variant="subtle">
          {t.approvals.all}
        </Button>
      </Head>
      {!waiting.data && isSettled(waiting.error) && <Gone error={waiting.error} />}
      {waiting.error && !gone && <Problem error={waiting.error} />}
      {waiting.isPending && <Wait />}
      {waiting.data && <Decision key={plan} waiting={waiting.data} here={!gone} />}
    </>
  );
}

/** What became of a plan that waits no longer, and what to do now. */
function Gone({ error, putAway }: { error: Refused; putAway?: () => void }) {
  return (
    <Alert color="yellow" title={t.approvals.gone} role="alert">
      <Text size="sm" className="wrap">
        {error.message}
      </Text>
      {error.cause.next && (
        <Text size="sm" mt={4} className="wrap">
          {t.nextStep} {error.cause.next}
        </Text>
      )}
      {putAway && (
        <Button mt="xs" size="compact-sm" variant="default" onClick={putAway}>
          {t.approvals.dismiss}
        </Button>
      )}
    </Alert>
  );
}

function Decision({ waiting, here, putAway }: { waiting: Waiting; here: boolean; putAway?: () => void }) {
  const [read, setRead] = useState(false);
  const queries = useQueryClient();
  const plans = usePlans();
  const { id, risk } = waiting.plan;
  const decide = useMutation({
    mutationFn: (agree: boolean) => post<{ applied?: Applied }>(`/approvals/${step(id)}`, { agree }),
    onSettled: () => queries.invalidateQueries(),
  });
  const gone = !here && decide.isIdle;
  const became = useQuery({
    queryKey: ['became', id],
    queryFn: ({ signal }) => get<Waiting>(`/approvals/${step(id)}`, undefined, signal),
    enabled: gone,
  });
  const settled = isSettled(decide.error) ? decide.error : gone && isSettled(became.error) ? became.error : undefined;
  const fresh = decide.error instanceof Refused ? (decide.error.body.plan as Plan | undefined) : undefined;
  const high = risk === 'high';
  const applied = decide.data?.applied;
  return (
    <article className="card" aria-label={t.approvals.wants(waiting.by, waiting.door)}>
      <Text fw={600} mb="xs" className="wrap">
        {t.approvals.wants(waiting.by, waiting.door)}
      </Text>
      {decide.isSuccess ? (
        <Alert color={applied ? 'teal' : 'gray'} icon={applied ? <IconCheck aria-hidden /> : <IconX aria-hidden />} role="status">
          {applied ? (applied.in_force ? t.plan.applied(applied.revision) : t.plan.stored(applied.revision)) : t.approvals.declined}
          {applied?.warnings.map((warning) => (
            <Text key={warning} size="sm" mt={4} className="wrap">
              {warning}
            </Text>
          ))}
          <Group mt="xs">
            {applied && (
              <Button size="compact-sm" variant="default" onClick={() => void plans.undo(applied.revision)}>
                {t.plan.undo}
              </Button>
            )}
            {putAway && (
              <Button size="compact-sm" variant="subtle" onClick={putAway}>
                {t.approvals.dismiss}
              </Button>
            )}
          </Group>
        </Alert>
      ) : settled ? (
        <Gone error={settled} putAway={putAway} />
      ) : fresh ? (
        <Alert color="orange" icon={<IconGitCompare aria-hidden />} title={t.approvals.stale} role="alert">
          <Text size="sm" className="wrap">
            {decide.error?.message}
          </Text>
          <Group mt="xs">
            <Anchor component={Link} to={`/approve/${fresh.id}`} size="sm">
              {t.approvals.fresh}
            </Anchor>
            {putAway && (
              <Button size="compact-sm" variant="default" onClick={putAway}>
                {t.approvals.dismiss}
              </Button>
            )}
          </Group>
        </Alert>
      ) : (
        <Stack>
          {decide.error && <Problem error={decide.error} title={t.plan.refused} />}
          {waiting.stale && (
            <Alert color="orange" icon={<IconGitCompare aria-hidden />} title={t.approvals.stale} role="alert">
              <Text size="sm" className="wrap">
                {waiting.stale}
              </Text>
              <Text size="sm" mt={4}>
                {t.nextStep} {t.approvals.staleNext(waiting.by)}
              </Text>
            </Alert>
          )}
          <PlanView plan={waiting.plan} />
          {high && !waiting.stale && <Checkbox label={t.plan.agree} checked={read} onChange={(event) => setRead(event.currentTarget.checked)} />}
          <Group justify="flex-end">
            <Button variant="default" loading={decide.isPending} onClick={() => decide.mutate(false)}>
              {t.approvals.decline}
            </Button>
            <Button color={high ? 'red' : undefined} disabled={(high && !read) || waiting.stale !== undefined} loading={decide.isPending} onClick={() => decide.mutate(true)}>
              {t.approvals.approve}
            </Button>
          </Group>
        </Stack>
      )}
    </article>
  );
}
