// Who is logged in, and what that one may do.

import { useQuery } from '@tanstack/react-query';

import type { Role } from '../lib/api';
import { sessionQuery } from '../router';

const POWER: Role[] = ['viewer', 'chat', 'editor', 'admin'];

export const useYou = () => useQuery(sessionQuery).data?.you;

/** Whether whoever is here has at least this role. */
export const useMay = (least: Role) => {
  const you = useYou();
  return you !== undefined && POWER.indexOf(you.role) >= POWER.indexOf(least);
};
