// A question to Usher that a person can stop, and that ends by itself: whoever waits always has a way out.

import { useMutation } from '@tanstack/react-query';
import { useEffect, useRef } from 'react';

import { call, Refused } from '../lib/api';
import { t } from '../texts';

/** Asks by POST; Usher bounds its own part, so that `secs` counts only where no answer comes at all. */
export function useStoppable<Answer>(path: string, secs: number) {
  const control = useRef<AbortController>(undefined);
  // Nobody waits any more once the page is left.
  useEffect(() => () => control.current?.abort(), []);
  const asked = useMutation({
    mutationFn: async (body: unknown) => {
      const own = new AbortController();
      control.current = own;
      const late = AbortSignal.timeout(secs * 1000);
      try {
        return await call<Answer>('POST', path, { body, signal: AbortSignal.any([own.signal, late]) });
      } catch (error) {
        if (own.signal.aborted) throw new Refused(0, { code: 'stopped', message: t.stoppable.stopped }, {});
        if (late.aborted) throw new Refused(0, { code: 'late', message: t.stoppable.late(secs), next: t.stoppable.lateNext }, {});
        throw error;
      }
    },
  });
  const stop = () => control.current?.abort();
  return { asked, stop };
}

/** Whether it was stopped, which is no failure. */
export const isStopped = (error: unknown) => error instanceof Refused && error.cause.code === 'stopped';
