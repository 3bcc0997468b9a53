// The pages and their addresses. Each page is loaded when it is first opened.

import type { QueryClient } from '@tanstack/react-query';
import {
  createRootRouteWithContext,
  createRoute,
  createRouter,
  lazyRouteComponent,
  Outlet,
  redirect,
} from '@tanstack/react-router';

import { get, type Session, whenLeft } from './lib/api';
import { Broken, Missing } from './parts/Message';
import { Shell } from './parts/Shell';

interface Context {
  queries: QueryClient;
}

export interface ListSearch {
  q?: string;
  label?: string;
  host?: string;
  plugin?: string;
}

export interface ObjectSearch {
  new?: boolean;
}

const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : typeof value === 'number' ? String(value) : undefined);

export const sessionQuery = {
  queryKey: ['session'],
  queryFn: ({ signal }: { signal: AbortSignal }) => get<Session>('/session', undefined, signal),
  staleTime: 60_000,
};

const root = createRootRouteWithContext<Context>()({ component: Outlet, notFoundComponent: Missing, errorComponent: Broken });

const login = createRoute({
  getParentRoute: () => root,
  path: '/login',
  component: lazyRouteComponent(() => import('./pages/Login'), 'Login'),
  validateSearch: (search: Record<string, unknown>): { to?: string } => ({ to: text(search.to) }),
});

/** Where a provider sends the browser back to; what it brought is in `lib/back`. */
const back = createRoute({
  getParentRoute: () => root,
  path: '/oidc',
  component: lazyRouteComponent(() => import('./pages/Login'), 'Back'),
});

const inside = createRoute({
  getParentRoute: () => root,
  id: 'inside',
  component: Shell,
  beforeLoad: async ({ context, location }) => {
    const session = await context.queries.ensureQueryData(sessionQuery);
    if (!session.you) throw redirect({ to: '/login', search: { to: location.href } });
  },
});

const page = <Path extends string>(path: Path, load: () => Promise<Record<string, unknown>>, name: string) =>
  createRoute({
    getParentRoute: () => inside,
    path,
    component: lazyRouteComponent(load as () => Promise<Record<string, React.ComponentType>>, name),
  });

const overview = page('/', () => import('./pages/Overview'), 'Overview');
const history = createRoute({
  getParentRoute: () => inside,
  path: '/history',
  component: lazyRouteComponent(() => import('./pages/History'), 'History'),
  validateSearch: (search: Record<string, unknown>): { key?: string } => ({ key: text(search.key) }),
});
const approvals = page('/approvals', () => import('./pages/Approvals'), 'Approvals');
const approve = page('/approve/$plan', () => import('./pages/Approvals'), 'Approve');
const audit = page('/audit', () => import('./pages/Audit'), 'Audit');
const requests = createRoute({
  getParentRoute: () => inside,
  path: '/requests',
  component: lazyRouteComponent(() => import('./pages/Requests'), 'Requests'),
  validateSearch: (search: Record<string, unknown>): { route?: string; consumer?: string; cause?: string; status?: string; path?: string } => ({
    route: text(search.route),
    consumer: text(search.consumer),
    cause: text(search.cause),
    status: text(search.status),
    path: text(search.path),
  }),
});
const explain = createRoute({
  getParentRoute: () => inside,
  path: '/explain',
  component: lazyRouteComponent(() => import('./pages/Explain'), 'Explain'),
  validateSearch: (search: Record<string, unknown>): { method?: string; host?: string; target?: string } => ({
    method: text(search.method),
    host: text(search.host),
    target: text(search.target),
  }),
});
const agents = page('/agents', () => import('./pages/Agents'), 'Agents');
const model = page('/model', () => import('./pages/Model'), 'Model');
const users = page('/users', () => import('./pages/Users'), 'Users');
const plugins = page('/plugins', () => import('./pages/Plugins'), 'Plugins');
const plugin = page('/plugins/$name', () => import('./pages/Plugins'), 'OnePlugin');
const document = createRoute({
  getParentRoute: () => inside,
  path: '/import',
  component: lazyRouteComponent(() => import('./pages/Document'), 'Document'),
  validateSearch: (search: Record<string, unknown>): { of?: 'openapi' } => ({ of: search.of === 'openapi' ? 'openapi' : undefined }),
});
const list = createRoute({
  getParentRoute: () => inside,
  path: '/objects/$kind',
  component: lazyRouteComponent(() => import('./pages/List'), 'List'),
  validateSearch: (search: Record<string, unknown>): ListSearch => ({
    q: text(search.q),
    label: text(search.label),
    host: text(search.host),
    plugin: text(search.plugin),
  }),
});
const object = createRoute({
  getParentRoute: () => inside,
  path: '/objects/$kind/$id',
  component: lazyRouteComponent(() => import('./pages/Object'), 'ObjectPage'),
});
const fresh = createRoute({
  getParentRoute: () => inside,
  path: '/new/$kind',
  component: lazyRouteComponent(() => import('./pages/Object'), 'NewObject'),
  validateSearch: (search: Record<string, unknown>): { id?: string } => ({ id: text(search.id) }),
});

const tree = root.addChildren([
  login,
  back,
  inside.addChildren([
    overview, history, approvals, approve, audit, requests, explain, agents, users, model, plugins, plugin, document, list, object, fresh,
  ]),
]);

export const makeRouter = (queries: QueryClient) => {
  const router = createRouter({
    routeTree: tree,
    basepath: '/ui',
    context: { queries },
    defaultPreload: 'intent',
    scrollRestoration: true,
  });
  // Asked anew, the session says why it ended; what stands around the pages then asks who one is, over the page and all that was written in it.
  whenLeft(() => void queries.invalidateQueries({ queryKey: sessionQuery.queryKey }));
  return router;
};

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof makeRouter>;
  }
}
