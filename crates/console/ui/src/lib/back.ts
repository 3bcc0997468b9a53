// What a provider sent the browser back with: taken out of the address before anything else reads or keeps it.

import { post, type Session } from './api';

const BACK = '/ui/oidc';

export type Brought = { state: string; code?: string; iss?: string; error?: string; error_description?: string };

const take = (): Brought | undefined => {
  if (window.location.pathname !== BACK) return undefined;
  const found = new URLSearchParams(window.location.search);
  // A code is good once; what stays in the history would only be tried again.
  window.history.replaceState(window.history.state, '', BACK);
  const text = (name: string) => found.get(name) ?? undefined;
  const state = text('state');
  if (state === undefined) return undefined;
  return { state, code: text('code'), iss: text('iss'), error: text('error'), error_description: text('error_description') };
};

const brought = take();

let answer: Promise<Session> | undefined;

/** Shows Usher what was brought back, once; `undefined` where there is nothing to show. */
export const showBack = (): Promise<Session> | undefined => {
  if (brought) answer ??= post<Session>('/session/oidc/back', brought);
  return answer;
};
