// The way in: a user, an admin key, or the one-time code where nobody is known yet.

import { Anchor, Button, List, PasswordInput, SegmentedControl, Stack, Text, TextInput, Title } from '@mantine/core';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useRouter, useSearch } from '@tanstack/react-router';
import { type FormEvent, useState } from 'react';

import { post, type Session } from '../lib/api';
import { Logo } from '../parts/Logo';
import { Problem } from '../parts/Message';
import { sessionQuery } from '../router';
import { t } from '../texts';

export function Login() {
  const session = useQuery(sessionQuery);
  const [instead, setInstead] = useState(false);
  const setup = session.data?.setup === true && !instead;
  return (
    <main className="login">
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
          {setup ? <Setup /> : <Enter />}
          {session.data?.setup && (
            <Anchor component="button" type="button" size="sm" onClick={() => setInstead(!instead)}>
              {instead ? t.login.back : t.login.instead}
            </Anchor>
          )}
        </Stack>
      </div>
    </main>
  );
}

function useEnter(path: '/session' | '/setup') {
  const queries = useQueryClient();
  const router = useRouter();
  const { to } = useSearch({ from: '/login' });
  return useMutation({
    mutationFn: (body: unknown) => post<Session>(path, body),
    onSuccess: async (session) => {
      queries.setQueryData(sessionQuery.queryKey, session);
      // Only a place of the console: what stands in an address may come from anybody.
      const place = to?.startsWith('/') && !to.startsWith('//') ? to.replace(/^\/ui(?=\/|$)/, '') || '/' : '/';
      await router.navigate({ href: `/ui${place}`, replace: true });
    },
  });
}

function Enter() {
  const [by, setBy] = useState('user');
  const [user, setUser] = useState('');
  const [secret, setSecret] = useState('');
  const enter = useEnter('/session');
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

function Setup() {
  const [code, setCode] = useState('');
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const enter = useEnter('/setup');
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
          {t.login.setupText}
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
