// Who is logged in, and what that one may do.

import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useEffect } from 'react';

import type { Role, Session } from '../lib/api';
import { sessionQuery } from '../router';

const POWER: Role[] = ['viewer', 'chat', 'editor', 'admin'];

const WAS = ['session', 'was'];

/** Whoever is logged in, or was until the session ended under an open page: that page stays as it is until one is back. */
export const useYou = () => {
  const queries = useQueryClient();
  return useQuery(sessionQuery).data?.you ?? queries.getQueryData<Session['you']>(WAS);
};

/** For what stands around the pages: remembers who is here, and says whether the session ended meanwhile. */
export const useEnded = (): Session | undefined => {
  const queries = useQueryClient();
  const session = useQuery(sessionQuery).data;
  const you = session?.you;
  useEffect(() => {
    if (you) queries.setQueryData(WAS, you);
  }, [queries, you]);
  useEffect(() => () => queries.removeQueries({ queryKey: WAS }), [queries]);
  return session && !you && queries.getQueryData(WAS) ? session : undefined;
};

/** Whether whoever is here has at least this role. */
export const useMay = (least: Role) => {
  const you = useYou();
  return you !== undefined && POWER.indexOf(you.role) >= POWER.indexOf(least);
};
