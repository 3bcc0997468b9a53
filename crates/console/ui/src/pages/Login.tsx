// The way in: a user, an admin key, or the one-time code where nobody is known yet.

import { Alert, Anchor, Button, Divider, List, Loader, Modal, PasswordInput, SegmentedControl, Stack, Text, TextInput, Title } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useRouter, useRouterState, useSearch } from '@tanstack/react-router';
import { type FormEvent, type ReactNode, useEffect, useState } from 'react';

import { post, type Session } from '../lib/api';
import { showBack } from '../lib/back';
import { Logo } from '../parts/Logo';
import { Problem } from '../parts/Message';
import { sessionQuery } from '../router';
import { t } from '../texts';

/** What follows once somebody is known. */
type Entered = (session: Session) => unknown;

export function Login() {
  const { to } = useSearch({ from: '/login' });
  const session = useQuery(sessionQuery).data;
  const inside = useInside();
  return (
    <Frame>
      <Ways session={session} to={to} entered={(session) => inside(session, to)} />
    </Frame>
  );
}

/** The login over a page whose session ended: nothing shows through it, and all that was written below is there again behind it. */
export function Again({ session: ended }: { session: Session }) {
  const queries = useQueryClient();
  const { href } = useRouterState({ select: (state) => state.location });
  const entered = (session: Session) => {
    queries.setQueryData(sessionQuery.queryKey, session);
    // What was asked in between was refused.
    void queries.refetchQueries({ type: 'active', predicate: ({ state }) => state.status === 'error' || state.fetchFailureCount > 0 });
  };
  return (
    <Modal.Root opened onClose={() => {}} fullScreen closeOnEscape={false} zIndex={400} padding={0} transitionProps={{ duration: 0 }}>
      <Modal.Content aria-label={t.login.title}>
        <Modal.Body>
          <Frame over>
            <Ways session={ended} to={href} entered={entered} />
          </Frame>
        </Modal.Body>
      </Modal.Content>
    </Modal.Root>
  );
}

/** Somebody whom a provider sent back is shown to Usher, and is inside or stands before the login with the reason. */
export function Back() {
  const inside = useInside();
  const [problem, setProblem] = useState<unknown>();
  useEffect(() => {
    const shown = showBack();
    if (shown) shown.then((session) => inside(session, session.to), setProblem);
    else void inside(undefined, '/');
  }, [inside]);
  if (problem !== undefined) return <NotIn problem={problem} />;
  return (
    <Frame>
      <Title order={1} size="h3">
        {t.login.cameBack}
      </Title>
      <Loader aria-label={t.loading} />
    </Frame>
  );
}

/** Somebody whom a provider sent, and whom Usher doesn't let in. */
function NotIn({ problem }: { problem: unknown }) {
  const session = useQuery(sessionQuery).data;
  const inside = useInside();
  return (
    <Frame>
      <Ways session={session} problem={problem} entered={(session) => inside(session, '/')} />
    </Frame>
  );
}

/** The ways in that there are. */
function Ways({ session, to, problem, entered }: { session?: Session; to?: string; problem?: unknown; entered: Entered }) {
  // Whom a provider sent doesn't look for the one-time code.
  const [instead, setInstead] = useState(problem !== undefined);
  const setup = session?.setup === true && !instead;
  const { provider, provider_log_out: leave } = session ?? {};
  return (
    <>
      {leave && provider && (
        <Alert color="blue" variant="light" role="status">
          <Text size="sm">{t.login.leftHere}</Text>
          <Anchor href={leave} size="sm">
            {t.login.leaveProvider(provider)}
          </Anchor>
        </Alert>
      )}
      {problem !== undefined && <Problem error={problem} />}
      {session?.ended && problem === undefined && (
        <Alert color="yellow" variant="light" role="status" title={t.login.expired}>
          <Text size="sm">
            {sentence(session.ended)} {to && to !== '/' && t.login.comeBack}
          </Text>
        </Alert>
      )}
      {setup ? <Setup entered={entered} beside={provider !== undefined} /> : <Enter entered={entered} />}
      {provider && <Provider name={provider} to={to} />}
      {session?.setup && (
        <Anchor component="button" type="button" size="sm" onClick={() => setInstead(!instead)}>
          {instead ? t.login.back : t.login.instead}
        </Anchor>
      )}
    </>
  );
}

/** A sentence of Usher, as a page begins and ends one. */
const sentence = (text: string) => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;

/** Over a page the page's own main part stays the main part. */
function Frame({ children, over }: { children: ReactNode; over?: boolean }) {
  const Part = over ? 'div' : 'main';
  return (
    <Part className="login">
      <div className="login-left">
        <Logo size={56} />
        <Text fz="clamp(1.4rem, 3vw, 2.1rem)" fw={650} mt="md" lh={1.2}>
          {t.login.pitch}
        </Text>
        <List mt="lg" spacing="xs" c="#f0f4ff">
          {t.login.points.map((point) => (
            <List.Item key={point}>{point}</List.Item>
          ))}
        </List>
      </div>
      <div className="login-right">
        <Stack w="100%" maw="24rem">
          {children}
        </Stack>
      </div>
    </Part>
  );
}

/** Takes whoever is logged in to the place that was wanted. */
function useInside() {
  const queries = useQueryClient();
  const router = useRouter();
  const [inside] = useState(() => async (session: Session | undefined, to: string | undefined) => {
    if (session) queries.setQueryData(sessionQuery.queryKey, session);
    // Only a place of the console: what stands in an address may come from anybody.
    const place = to?.startsWith('/') && !to.startsWith('//') ? to.replace(/^\/ui(?=\/|$)/, '') || '/' : '/';
    await router.navigate({ href: `/ui${place}`, replace: true });
  });
  return inside;
}

const useEnter = (path: '/session' | '/setup', entered: Entered) => useMutation({ mutationFn: (body: unknown) => post<Session>(path, body), onSuccess: entered });

function Provider({ name, to }: { name: string; to?: string }) {
  const begin = useMutation({
    mutationFn: () => post<{ location: string }>('/session/oidc', { to }),
    onSuccess: ({ location }) => window.location.assign(location),
  });
  return (
    <>
      <Divider label={t.login.or} />
      <Button variant="default" fullWidth loading={begin.isPending} onClick={() => begin.mutate()}>
        {t.login.provider(name)}
      </Button>
      {begin.error && <Problem error={begin.error} />}
    </>
  );
}

function Enter({ entered }: { entered: Entered }) {
  const [by, setBy] = useState('user');
  const [user, setUser] = useState('');
  const [secret, setSecret] = useState('');
  const enter = useEnter('/session', entered);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    enter.mutate(by === 'user' ? { user: user.trim(), password: secret } : { key: secret.trim() });
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <Title order={1} size="h3">
          {t.login.title}
        </Title>
        <SegmentedControl
          aria-label={t.login.title}
          value={by}
          onChange={(value) => {
            setBy(value);
            setSecret('');
            enter.reset();
          }}
          data={[
            { value: 'user', label: t.login.byUser },
            { value: 'key', label: t.login.byKey },
          ]}
        />
        {by === 'user' && (
          <TextInput label={t.login.user} value={user} onChange={(event) => setUser(event.currentTarget.value)} autoComplete="username" required withAsterisk={false} />
        )}
        <PasswordInput
          label={by === 'user' ? t.login.password : t.login.key}
          description={by === 'user' ? undefined : t.login.keyHint}
          value={secret}
          onChange={(event) => setSecret(event.currentTarget.value)}
          autoComplete={by === 'user' ? 'current-password' : 'off'}
          required
          withAsterisk={false}
        />
        {enter.error && <Problem error={enter.error} />}
        <Button type="submit" loading={enter.isPending} fullWidth>
          {t.login.submit}
        </Button>
      </Stack>
    </form>
  );
}

function Setup({ entered, beside }: { entered: Entered; beside: boolean }) {
  const [code, setCode] = useState('');
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const enter = useEnter('/setup', entered);
  const submit = (event: FormEvent) => {
    event.preventDefault();
    enter.mutate({ code, name: name.trim(), password });
  };
  return (
    <form onSubmit={submit}>
      <Stack>
        <Title order={1} size="h3">
          {t.login.setupTitle}
        </Title>
        <Text size="sm" c="dimmed">
          {beside ? t.login.setupBeside : t.login.setupText}
        </Text>
        <TextInput label={t.login.code} description={t.login.codeHint} placeholder="XXXX-XXXX-XXXX-XXXX" value={code} onChange={(event) => setCode(event.currentTarget.value)} autoComplete="one-time-code" required withAsterisk={false} />
        <TextInput label={t.login.name} description={t.login.nameHint} value={name} onChange={(event) => setName(event.currentTarget.value)} autoComplete="username" required withAsterisk={false} />
        <PasswordInput label={t.login.newPassword} description={t.login.passwordHint} value={password} onChange={(event) => setPassword(event.currentTarget.value)} autoComplete="new-password" required withAsterisk={false} minLength={10} />
        {enter.error && <Problem error={enter.error} />}
        <Button type="submit" loading={enter.isPending} fullWidth>
          {t.login.create}
        </Button>
      </Stack>
    </form>
  );
}
