// What stands around every page: where one can go, who one is, and the chat beside.

import { ActionIcon, AppShell, Badge, Burger, Button, Group, Menu, NavLink, ScrollArea, Text, Tooltip, useComputedColorScheme, useMantineColorScheme } from '@mantine/core';
import { useDisclosure, useHotkeys, useMediaQuery } from '@mantine/hooks';
import {
  IconActivity, IconBolt, IconCertificate, IconClipboardCheck, IconHistory, IconHome, IconListDetails, IconLogout, IconMessage, IconMoon, IconPackageImport, IconPlug, IconRobot, IconRoute, IconSearch, IconServer2, IconShieldCheck, IconSparkles, IconStack2, IconSun, IconUser, IconUsers, IconWorldSearch,
} from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { Link, Outlet, useRouter, useRouterState } from '@tanstack/react-router';
import { lazy, Suspense, useEffect, useRef, useState } from 'react';

import { call, get, type Session, type Waiting } from '../lib/api';
import { kept, opened } from '../lib/chat';
import { KINDS } from '../lib/kinds';
import { sessionQuery } from '../router';
import { t } from '../texts';
import { Logo } from './Logo';
import { NotYours, Wait } from './Message';
import { PlanProvider } from './plans';
import { useEnded, useMay, useYou } from './session';

const Finder = lazy(() => import('./Finder'));
const ChatPanel = lazy(() => import('./ChatPanel'));
const Again = lazy(() => import('../pages/Login').then(({ Again }) => ({ default: Again })));

interface Place {
  to: string;
  label: string;
  icon: typeof IconHome;
  count?: number;
}

const size = { size: 18, stroke: 1.7, 'aria-hidden': true } as const;
const ICONS: Record<string, typeof IconHome> = {
  routes: IconRoute, services: IconStack2, upstreams: IconServer2, consumers: IconUsers, ssls: IconCertificate,
};
const FIRST = ['routes', 'services', 'upstreams', 'consumers', 'ssls'];

/** Pages that only an administrator has; others come there by a link. */
const FOR_ADMINS = ['/agents', '/users', '/model', '/audit'];

function Entry({ place, close }: { place: Place; close: () => void }) {
  const path = useRouterState({ select: (state) => state.location.pathname });
  const here = place.to === '/' ? path === '/' : path.startsWith(place.to) || path.replace('/new/', '/objects/').startsWith(place.to);
  const Icon = place.icon;
  return (
    <NavLink
      className="nav-link"
      renderRoot={(props) => <Link to={place.to} {...props} />}
      label={place.label}
      active={here}
      aria-current={here ? 'page' : undefined}
      leftSection={<Icon {...size} />}
      rightSection={place.count ? <Badge size="sm" circle={place.count < 10}>{place.count}</Badge> : undefined}
      onClick={close}
    />
  );
}

function Places({ close }: { close: () => void }) {
  const editor = useMay('editor');
  const admin = useMay('admin');
  const waiting = useQuery({
    queryKey: ['approvals'],
    queryFn: ({ signal }) => get<{ plans: Waiting[]; total: number }>('/approvals', undefined, signal),
    enabled: editor,
    refetchInterval: 5_000,
  });
  const groups: [string, Place[]][] = [
    ['', [{ to: '/', label: t.nav.overview, icon: IconHome }]],
    [
      t.nav.traffic,
      [
        ...KINDS.filter((kind) => FIRST.includes(kind.many)).map((kind) => ({
          to: `/objects/${kind.many}`,
          label: kind.title,
          icon: ICONS[kind.many] ?? IconListDetails,
        })),
        { to: '/plugins', label: t.nav.plugins, icon: IconPlug },
      ],
    ],
    [
      t.nav.watch,
      [
        { to: '/requests', label: t.nav.requests, icon: IconActivity },
        { to: '/explain', label: t.nav.explain, icon: IconWorldSearch },
      ],
    ],
    [
      t.nav.changes,
      [
        { to: '/history', label: t.nav.history, icon: IconHistory },
        ...(editor ? [{ to: '/approvals', label: t.nav.approvals, icon: IconClipboardCheck, count: waiting.data?.total }] : []),
        { to: '/import', label: t.nav.document, icon: IconPackageImport },
      ],
    ],
    ...(admin
      ? ([
          [
            t.nav.access,
            [
              { to: '/agents', label: t.nav.agents, icon: IconRobot },
              { to: '/users', label: t.nav.users, icon: IconUser },
              { to: '/model', label: t.nav.model, icon: IconSparkles },
              { to: '/audit', label: t.nav.audit, icon: IconShieldCheck },
            ],
          ],
        ] as [string, Place[]][])
      : []),
    [
      t.nav.more,
      KINDS.filter((kind) => !FIRST.includes(kind.many)).map((kind) => ({
        to: `/objects/${kind.many}`,
        label: kind.title,
        icon: IconListDetails,
      })),
    ],
  ];
  return (
    <ScrollArea h="100%" type="hover" scrollbarSize={6} offsetScrollbars="y" viewportProps={{ tabIndex: 0, 'aria-label': t.nav.main, role: 'group' }}>
      {groups.map(([title, places]) => (
        <div key={title || 'first'}>
          {title && <div className="nav-group">{title}</div>}
          {places.map((place) => (
            <Entry key={place.to} place={place} close={close} />
          ))}
        </div>
      ))}
    </ScrollArea>
  );
}

function Person() {
  const you = useYou();
  const queries = useQueryClient();
  const router = useRouter();
  const leave = async () => {
    const left = await call<Session>('DELETE', '/session');
    kept.set(undefined);
    queries.clear();
    // The login page says where one leaves the provider too.
    queries.setQueryData(sessionQuery.queryKey, left);
    await router.navigate({ to: '/login', search: {}, ignoreBlocker: true });
  };
  if (!you) return null;
  return (
    <Menu position="bottom-end" width="14rem">
      <Menu.Target>
        <Button variant="subtle" color="gray" size="compact-sm" leftSection={<IconUser {...size} />} aria-label={`${t.you} ${you.name}`}>
          <span className="hide-small">{you.name}</span>
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>
          {t.you} <b>{you.name}</b> ({you.role})
        </Menu.Label>
        {you.by !== 'keyless' && (
          <Menu.Item leftSection={<IconLogout {...size} />} onClick={() => void leave()}>
            {t.logOut}
          </Menu.Item>
        )}
      </Menu.Dropdown>
    </Menu>
  );
}

function Colours() {
  const { setColorScheme } = useMantineColorScheme();
  const dark = useComputedColorScheme('light') === 'dark';
  const label = dark ? t.light : t.dark;
  return (
    <Tooltip label={label}>
      <ActionIcon variant="subtle" color="gray" size="lg" aria-label={label} onClick={() => setColorScheme(dark ? 'light' : 'dark')}>
        {dark ? <IconSun {...size} /> : <IconMoon {...size} />}
      </ActionIcon>
    </Tooltip>
  );
}

export function Shell() {
  const [menu, { toggle: toggleMenu, close: closeMenu }] = useDisclosure();
  const [finder, { open: openFinder, close: closeFinder }] = useDisclosure();
  const you = useYou();
  const router = useRouter();
  // A page that is loaded anew in the middle of a conversation shows it again.
  const [chat, setChat] = useState(() => kept.get() !== undefined && opened.get());
  // Once opened it stays, so that a conversation goes on from page to page and while it is closed.
  const [begun, setBegun] = useState(chat);
  const chatButton = useRef<HTMLButtonElement>(null);
  const narrow = useMediaQuery('(max-width: 62em)') ?? false;
  const toggleChat = () => {
    setBegun(true);
    setChat(!chat);
    opened.set(!chat);
    if (chat) chatButton.current?.focus();
    else closeMenu();
  };
  useHotkeys([['mod+K', openFinder], ['/', openFinder]]);
  useHotkeys([['mod+J', toggleChat]], [], true);
  const ended = useEnded();
  const admin = useMay('admin');
  const path = useRouterState({ select: (state) => state.location.pathname });
  const mine = admin || !FOR_ADMINS.some((page) => path.startsWith(page));
  useEffect(() => {
    if (!you) void router.invalidate();
  }, [you, router]);
  return (
    <PlanProvider>
      <a className="skip" href="#content">
        {t.skip}
      </a>
      <AppShell
        header={{ height: 56 }}
        navbar={{ width: 232, breakpoint: 'sm', collapsed: { mobile: !menu } }}
        aside={{ width: 400, breakpoint: 'md', collapsed: { desktop: !chat, mobile: !chat } }}
        padding="lg"
      >
        <AppShell.Header px="md">
          <Group h="100%" justify="space-between" wrap="nowrap">
            <Group gap="sm" wrap="nowrap">
              <Burger opened={menu} onClick={toggleMenu} hiddenFrom="sm" size="sm" aria-label={t.menu} aria-expanded={menu} />
              <Link to="/" className="plain" aria-label={`${t.name}: ${t.nav.overview}`} style={{ display: 'flex', gap: 10, alignItems: 'center' }}>
                <Logo size={28} />
                <Text fw={700} fz="lg" className="hide-small">
                  {t.name}
                </Text>
              </Link>
            </Group>
            <Button variant="default" size="sm" color="gray" onClick={openFinder} leftSection={<IconSearch {...size} />} maw="22rem" style={{ flex: '1 1 auto' }} justify="flex-start" fw={400} c="dimmed">
              {t.nav.go} …
            </Button>
            <Group gap={4} wrap="nowrap">
              <Tooltip label={`${chat ? t.chat.close : t.chat.open} (${t.chat.keys})`}>
                <Button ref={chatButton} variant={chat ? 'light' : 'subtle'} color={chat ? undefined : 'gray'} size="compact-sm" onClick={toggleChat} aria-expanded={chat} aria-label={chat ? t.chat.close : t.chat.open} leftSection={<IconMessage {...size} />} className="icon-small">
                  <span className="hide-small">{t.chat.title}</span>
                </Button>
              </Tooltip>
              <Colours />
              <Person />
            </Group>
          </Group>
        </AppShell.Header>
        <AppShell.Navbar p="sm" className="side" aria-label={t.nav.main}>
          <Places close={closeMenu} />
        </AppShell.Navbar>
        <AppShell.Main id="content" tabIndex={-1} inert={chat && narrow}>
          <div style={{ maxWidth: '84rem', margin: '0 auto' }}>
            {you?.role === 'viewer' && (
              <Text size="sm" c="dimmed" mb="xs">
                <IconBolt size={14} aria-hidden /> {t.readOnly}
              </Text>
            )}
            <Suspense fallback={<Wait />}>
              {mine ? <Outlet /> : <NotYours />}
            </Suspense>
          </div>
        </AppShell.Main>
        <AppShell.Aside aria-label={t.chat.title} inert={!chat}>
          {begun && (
            <Suspense fallback={<Wait />}>
              <ChatPanel opened={chat} close={toggleChat} />
            </Suspense>
          )}
        </AppShell.Aside>
      </AppShell>
      {finder && (
        <Suspense fallback={null}>
          <Finder close={closeFinder} />
        </Suspense>
      )}
      {ended && (
        <Suspense fallback={null}>
          <Again session={ended} />
        </Suspense>
      )}
    </PlanProvider>
  );
}
