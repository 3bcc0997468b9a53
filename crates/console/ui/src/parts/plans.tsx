// The way of every change through the console: planned, shown, agreed to, applied, and taken back with one click.

import { Alert, Button, Checkbox, Group, Modal, Notification, Stack, Text } from '@mantine/core';
import { IconArrowBackUp, IconCheck, IconGitCompare } from '@tabler/icons-react';
import { useQueryClient } from '@tanstack/react-query';
import { useRouter } from '@tanstack/react-router';
import { createContext, useCallback, useContext, useEffect, useMemo, useRef, useState } from 'react';

import { type Applied, type Plan, type PlanRequest, post, Refused } from '../lib/api';
import { t } from '../texts';
import { Problem, Wait } from './Message';
import { PlanView } from './PlanView';

type Done = (applied: Applied) => void;

interface Plans {
  /** Whether one is shown: what is open below keeps still then. */
  shown: boolean;
  /**
   * Plans a change and shows it. A refusal of the plan itself is thrown at the caller, who knows the fields. `lost` is called where somebody was
   * faster and the same wish can't be planned anew, `undone` where what was applied was taken back where it was told of.
   */
  propose: (request: PlanRequest, done?: Done, lost?: () => void, undone?: () => void) => Promise<void>;
  /** Shows a plan that was made already. */
  review: (plan: Plan, done?: Done) => Promise<void>;
  /** The same for taking a change back. */
  undo: (revision: number, done?: Done) => Promise<void>;
}

type State =
  | { at: 'planning' }
  | { at: 'plan'; plan: Plan; stale?: string; error?: unknown }
  | { at: 'applying'; plan: Plan }
  | { at: 'applied'; applied: Applied };

const Context = createContext<Plans | undefined>(undefined);

export const usePlans = () => {
  const plans = useContext(Context);
  if (!plans) throw new Error('plans are made inside of the shell');
  return plans;
};

/** Whether Usher doesn't know a plan any more: it was started anew, or the plan has expired. */
const isForgotten = (error: unknown) => error instanceof Refused && error.cause.code === 'unknown_plan';

export function PlanProvider({ children }: { children: React.ReactNode }) {
  const [state, setState] = useState<State>();
  const [done, setDone] = useState<{ call?: Done; lost?: () => void; undone?: () => void; undo?: boolean; again?: () => Promise<void> }>({});
  // What was taken back needs no dialog that says so: the page says it, and the history above it.
  const [said, setSaid] = useState<string>();
  const [failed, setFailed] = useState<unknown>();
  const [read, setRead] = useState(false);
  const [discarded, setDiscarded] = useState(false);
  const queries = useQueryClient();
  const { history } = useRouter();
  const shown = state !== undefined;
  /** Which plan is being made: one that was left is shown nowhere. */
  const making = useRef(0);

  const begin = useCallback(async (plan: Promise<Plan>, then: Omit<typeof done, 'again'>, again?: () => Promise<Plan>) => {
    making.current += 1;
    const own = making.current;
    setRead(false);
    setDiscarded(false);
    setSaid(undefined);
    setFailed(undefined);
    setDone({ ...then, again: again && (() => begin(again(), then, again)) });
    setState({ at: 'planning' });
    try {
      const made = await plan;
      if (making.current === own) setState({ at: 'plan', plan: made });
    } catch (error) {
      if (making.current === own) setState(undefined);
      throw error;
    }
  }, []);
  // A plan belongs to the page it was asked on: whoever leaves that sees no dialog over the next one. What is being applied is told of to its end.
  const now = useRef(state);
  now.current = state;
  useEffect(() => {
    let path = history.location.pathname;
    return history.subscribe(({ location, action }) => {
      if (location.pathname === path) return;
      path = location.pathname;
      const at = now.current?.at;
      if (at === 'planning' || at === 'plan') {
        making.current += 1;
        setState(undefined);
        setDiscarded(true);
      } else {
        setDiscarded(false);
        // The page itself goes on once something was applied; a person goes by the buttons of the browser.
        if (at === 'applied' && ['BACK', 'FORWARD', 'GO'].includes(action.type)) setState(undefined);
      }
    });
  }, [history]);
  const plans = useMemo<Plans>(
    () => ({
      shown,
      propose: (request, call, lost, undone) => {
        const make = () => post<Plan>('/plans', request);
        return begin(make(), { call, lost, undone }, make);
      },
      review: (plan, call) => begin(Promise.resolve(plan), { call }),
      undo: (revision, call) => {
        const make = () => post<Plan>('/undo', { revision });
        return begin(make(), { call, undo: true }, make);
      },
    }),
    [begin, shown],
  );

  const apply = async (plan: Plan) => {
    setState({ at: 'applying', plan });
    try {
      const applied = await post<Applied>(`/plans/${plan.id}/apply`, { in_steps: plan.steps > 1 });
      const isSaid = done.undo && applied.in_force && applied.warnings.length === 0;
      setState(isSaid ? undefined : { at: 'applied', applied });
      if (isSaid) setSaid(t.plan.undone(applied.revision));
      await queries.invalidateQueries();
      done.call?.(applied);
    } catch (error) {
      const fresh = error instanceof Refused ? (error.body.plan as Plan | undefined) : undefined;
      setRead(false);
      if (fresh && error instanceof Refused) setState({ at: 'plan', plan: fresh, stale: error.message });
      else if (done.lost && error instanceof Refused && ['stale', 'conflict'].includes(error.cause.code)) {
        setState(undefined);
        done.lost();
      } else setState({ at: 'plan', plan, error });
      if (error instanceof Refused && error.cause.code === 'not_in_force') await queries.invalidateQueries();
    }
  };
  const close = () => {
    if (state?.at === 'applying') return;
    making.current += 1;
    setState(undefined);
  };

  return (
    <Context.Provider value={plans}>
      {children}
      {failed !== undefined && (
        <div className="notice">
          <Problem error={failed} title={t.plan.refused} />
        </div>
      )}
      {said !== undefined && (
        <Alert color="teal" icon={<IconCheck aria-hidden />} role="status" withCloseButton closeButtonLabel={t.close} onClose={() => setSaid(undefined)} className="notice">
          {said}
        </Alert>
      )}
      {/* Above whatever it was asked from. */}
      <Modal opened={shown} onClose={close} title={t.plan.title} size="xl" zIndex={250} closeButtonProps={{ 'aria-label': t.close }}>
        {state?.at === 'planning' && (
          <>
            <Wait />
            <Text ta="center" c="dimmed">
              {t.plan.planning}
            </Text>
          </>
        )}
        {(state?.at === 'plan' || state?.at === 'applying') && (
          <Stack>
            {state.at === 'plan' && state.stale && (
              <Alert color="orange" icon={<IconGitCompare aria-hidden />} title={t.plan.staleTitle} role="alert">
                {t.plan.staleText}
                <Text size="sm" mt={4} className="wrap">
                  {state.stale}
                </Text>
              </Alert>
            )}
            {state.at === 'plan' && isForgotten(state.error) && done.again ? (
              <Alert color="orange" icon={<IconGitCompare aria-hidden />} title={t.plan.forgotten} role="alert">
                <Text size="sm" mb="xs">
                  {t.plan.forgottenText}
                </Text>
                <Button size="compact-sm" onClick={() => void done.again?.().catch(setFailed)}>
                  {t.plan.reviewAgain}
                </Button>
              </Alert>
            ) : (
              state.at === 'plan' && state.error !== undefined && <Problem error={state.error} title={t.plan.refused} />
            )}
            <PlanView plan={state.plan} />
            {state.plan.risk === 'high' && (
              <Checkbox label={t.plan.agree} checked={read} onChange={(event) => setRead(event.currentTarget.checked)} />
            )}
            <Group justify="space-between" style={{ position: 'sticky', bottom: 0, background: 'var(--mantine-color-body)', paddingBlock: 8 }}>
              <Text size="sm" c="dimmed">
                {state.at === 'applying' ? t.plan.applying : t.plan.nothingYet}
              </Text>
              <Group gap="sm">
                <Button variant="default" onClick={close} disabled={state.at === 'applying'}>
                  {t.cancel}
                </Button>
                <Button
                  color={state.plan.risk === 'high' ? '#c22525' : undefined}
                  loading={state.at === 'applying'}
                  disabled={state.plan.risk === 'high' && !read}
                  onClick={() => void apply(state.plan)}
                >
                  {state.plan.risk === 'high' ? t.plan.applyHigh : state.plan.steps > 1 ? t.plan.applySteps(state.plan.steps) : t.plan.apply}
                </Button>
              </Group>
            </Group>
          </Stack>
        )}
        {state?.at === 'applied' && <Outcome applied={state.applied} close={close} undo={() => void plans.undo(state.applied.revision, done.undone)} />}
      </Modal>
      {discarded && (
        <Notification
          role="status"
          color="yellow"
          title={t.plan.discarded}
          onClose={() => setDiscarded(false)}
          closeButtonProps={{ 'aria-label': t.close }}
          withBorder
          style={{ position: 'fixed', bottom: 16, left: '50%', transform: 'translateX(-50%)', width: 'min(34rem, calc(100vw - 2rem))', zIndex: 240 }}
        >
          {t.plan.discardedText}
        </Notification>
      )}
    </Context.Provider>
  );
}

function Outcome({ applied, close, undo }: { applied: Applied; close: () => void; undo: () => void }) {
  return (
    <Stack>
      <Alert
        color={applied.in_force ? 'teal' : 'yellow'}
        icon={<IconCheck aria-hidden />}
        title={applied.in_force ? t.plan.applied(applied.revision) : t.plan.stored(applied.revision)}
        role="status"
      >
        {applied.in_force ? t.plan.appliedText : t.plan.storedText}
        {applied.warnings.map((warning) => (
          <Text key={warning} size="sm" mt={4} className="wrap">
            {warning}
          </Text>
        ))}
      </Alert>
      <Group justify="flex-end">
        <Button variant="default" leftSection={<IconArrowBackUp size={18} aria-hidden />} onClick={undo}>
          {t.plan.undo}
        </Button>
        <Button onClick={close} data-autofocus>
          {t.close}
        </Button>
      </Group>
    </Stack>
  );
}
