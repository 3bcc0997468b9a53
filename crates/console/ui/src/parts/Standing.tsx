// What waits for somebody at the store: a change of it that is held back, and plans of which not all steps were applied.

import { Alert, Button, Group, Text } from '@mantine/core';
import { useMutation, useQueryClient } from '@tanstack/react-query';

import { call, post, type Status, step } from '../lib/api';
import { ago } from '../lib/format';
import { t } from '../texts';
import { Problem } from './Message';

/** A change of the store that waits for an administrator. */
export function Held({ what, admin }: { what: string; admin: boolean }) {
  const queries = useQueryClient();
  const accept = useMutation({ mutationFn: () => post('/status/accept', {}), onSuccess: () => queries.invalidateQueries() });
  return (
    <>
      <Problem error={new Error(what)} title={admin ? t.overview.held : t.overview.heldForAdmins} />
      {admin && (
        <Button size="compact-sm" color="#c22525" my="xs" loading={accept.isPending} onClick={() => accept.mutate()}>
          {t.overview.accept}
        </Button>
      )}
      {accept.error && <Problem error={accept.error} />}
    </>
  );
}

/** A plan that stopped between two of its steps. */
export function Unfinished({ plan, mine, admin }: { plan: Status['unfinished'][number]; mine: boolean; admin: boolean }) {
  const queries = useQueryClient();
  const onSuccess = () => queries.invalidateQueries();
  const resume = useMutation({ mutationFn: () => post(`/plans/${step(plan.plan)}/apply`, { in_steps: true }), onSuccess });
  const giveUp = useMutation({ mutationFn: () => call('DELETE', `/unfinished/${step(plan.plan)}`), onSuccess });
  const error = resume.error ?? giveUp.error;
  return (
    <Alert color="orange" mb="md" title={t.overview.unfinished(plan.done, plan.of)}>
      <Text size="sm" className="wrap">
        {t.overview.unfinishedBy(plan.plan, plan.principal, ago(plan.begun_unix_ms))}
      </Text>
      {(mine || admin) && (
        <Group gap="xs" mt="xs">
          {mine && (
            <Button size="compact-sm" loading={resume.isPending} onClick={() => resume.mutate()}>
              {t.overview.resume}
            </Button>
          )}
          <Button size="compact-sm" variant="default" loading={giveUp.isPending} onClick={() => giveUp.mutate()}>
            {t.overview.giveUp}
          </Button>
        </Group>
      )}
      {error && <Problem error={error} />}
    </Alert>
  );
}
