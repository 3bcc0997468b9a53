// Everything that the console asks of Usher: one function for all requests, and the shapes of the answers.
// The session is a cookie that no script sees; the header says that a page of the console asks.

import type * as Usher from './shapes';

const BASE = '/usher/v1';

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };
export type Members = { [name: string]: Json };

export interface Cause {
  code: string;
  message: string;
  field?: string;
  /** What is wrong at the field, where the message speaks of the whole. */
  hint?: string;
  next?: string;
}

/** What Usher said no to. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly cause: Cause,
    readonly body: Record<string, unknown>,
  ) {
    super(cause.message);
  }
}

/** Called when nobody is logged in any more. */
let onLeft: () => void = () => {};
export const whenLeft = (then: () => void) => {
  onLeft = then;
};

interface Options {
  query?: Record<string, string | number | boolean | undefined>;
  body?: unknown;
  signal?: AbortSignal;
}

export const address = (path: string, query: Options['query'] = {}) => {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== '');
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return BASE + path + (text ? `?${text}` : '');
};

export async function ask(method: string, path: string, options: Options = {}): Promise<Response> {
  const { query, body, signal } = options;
  const headers: Record<string, string> = { 'X-Usher-Console': '1', Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let response: Response;
  try {
    response = await fetch(address(path, query), {
      method,
      headers,
      signal,
      credentials: 'same-origin',
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Refused(0, { code: 'away', message: 'Usher does not answer', next: 'is it running? The page tries again by itself' }, {});
  }
  if (response.ok) return response;
  const text = await response.text();
  let answer: Record<string, unknown> = {};
  try {
    answer = JSON.parse(text);
  } catch {
    // An answer that isn't ours, such as that of a proxy in between.
  }
  const cause = (answer.error as Cause | undefined) ?? {
    code: 'unexpected',
    message: `Usher answered with ${response.status}`,
  };
  if (typeof cause === 'string') throw new Refused(response.status, { code: 'unexpected', message: cause }, answer);
  if (response.status === 401 && !path.startsWith('/session') && path !== '/setup') onLeft();
  throw new Refused(response.status, cause, answer);
}

export async function call<T>(method: string, path: string, options: Options = {}): Promise<T> {
  const response = await ask(method, path, options);
  return (await response.json()) as T;
}

export const get = <T>(path: string, query?: Options['query'], signal?: AbortSignal) =>
  call<T>('GET', path, { query, signal });
export const post = <T>(path: string, body: unknown, query?: Options['query']) => call<T>('POST', path, { body, query });

/** An id as a step of a path: the slash of `jack/c1` is part of it. */
export const step = (id: string) => encodeURIComponent(id);

// ---- What Usher answers, by its own OpenAPI document; what that says in words alone, such as which roles there are, is said more exactly here.

/** Members that may be missing are there all the same, null where there is nothing. */
type Whole<T> = { [Name in keyof T]-?: T[Name] };
/** Members that may be missing are left out, and never null. */
type Sparse<T> = { [Name in keyof T]: undefined extends T[Name] ? Exclude<T[Name], null> : T[Name] };
/** Some members said more exactly; none that there isn't. */
type With<T, M extends { [Name in keyof M]: Name extends keyof T ? unknown : never }> = Omit<T, keyof M> & M;

export type Role = 'viewer' | 'chat' | 'editor' | 'admin';
export type Risk = 'low' | 'medium' | 'high';

export type Session = With<Sparse<Usher.Session>, { you?: With<Sparse<Usher.Person>, { role: Role; by: 'user' | 'key' | 'oidc' | 'keyless' }> }>;
export type Status = With<Whole<Usher.Status>, { you: With<Usher.You, { role: Role }>; store: Whole<Usher.StoreStatus> }>;

export type Stored = With<Usher.Object, { value: Members }>;
export type Listed = With<Sparse<Usher.Objects>, { objects: Stored[] }>;

export type Field = Usher.Field;
export type Changed = With<Usher.Change, { op: 'create' | 'update' | 'delete' }>;
export type Plan = With<Sparse<Usher.Plan>, { risk: Risk; changes: Changed[] }>;
export type Applied = Usher.Applied;
export type Entry = With<Sparse<Usher.Entry>, { role: Role; risk: Risk; objects: With<Sparse<Usher.Touched>, { op: Changed['op'] }>[] }>;
/** An entry of the history with a page of what it changed. */
export type EntryPage = With<Sparse<Usher.EntryPage>, { entry: Entry; changes: Changed[] }>;
export type Waiting = With<Sparse<Usher.Waiting>, { role: Role; plan: Plan }>;

export type Wish = With<Usher.WantedChange, { value?: Members }>;
export type PlanRequest = With<Usher.PlanRequest, { changes?: Wish[]; document?: string | Members }>;

/** Whether chats and agents may act, or only look. */
export type Agents = Whole<Usher.Agents>;
export type Token = With<Whole<Usher.Token>, { role: Role; scope: Whole<Usher.Scope> }>;
export type User = With<Usher.User, { role: Role }>;

export type ChatModel = With<Whole<Usher.ChatModel>, { model: Whole<Usher.Model> | null }>;
export type Heard = Usher.TriedModel;

export type Served = Whole<Usher.Request>;
export type Requests = With<Usher.Requests, { requests: Served[] }>;
/** What came back of a request that was sent through the gateway, and which way it went. */
export type Tried = With<Whole<Usher.Tried>, { way: With<Whole<Usher.Way>, { request: Served; plugins: Whole<Usher.Ran>[] }> | null }>;

export type PluginLine = Usher.PluginLine;
export type Plugin = With<Sparse<Usher.Plugin>, { schema: Members; credential_schema?: Members; metadata_schema?: Members }>;
export type Health = Usher.Health;
