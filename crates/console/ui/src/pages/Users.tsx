// The people who may log in.

import { Badge, Button, Group, Modal, PasswordInput, Select, Stack, Table, Text, TextInput } from '@mantine/core';
import { IconPlus } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useState } from 'react';

import { call, get, type Role, step, type User } from '../lib/api';
import { ago } from '../lib/format';
import { Head, Problem, Wait } from '../parts/Message';
import { useYou } from '../parts/session';
import { FormModal, Unsaved } from '../parts/unsaved';
import { t } from '../texts';

const ROLES: Role[] = ['viewer', 'editor', 'admin'];

export function Users() {
  const users = useQuery({ queryKey: ['users'], queryFn: ({ signal }) => get<{ users: User[] }>('/users', undefined, signal) });
  const [open, setOpen] = useState<User | 'new'>();
  const [gone, setGone] = useState<User>();
  const you = useYou();
  const queries = useQueryClient();
  const remove = useMutation({
    mutationFn: (user: User) => call('DELETE', `/users/${step(user.name)}`),
    onSuccess: () => {
      setGone(undefined);
      return queries.invalidateQueries({ queryKey: ['users'] });
    },
  });
  return (
    <>
      <Head title={t.users.title} intro={t.users.intro}>
        <Button leftSection={<IconPlus size={18} aria-hidden />} onClick={() => setOpen('new')}>
          {t.users.new}
        </Button>
      </Head>
      {users.error && <Problem error={users.error} />}
      {users.isPending && <Wait />}
      {users.data?.users.length === 0 && <Text c="dimmed">{t.users.empty}</Text>}
      {users.data && users.data.users.length > 0 && (
        <div className="card scroll-x" style={{ padding: 0 }}>
          <Table className="rows" verticalSpacing="xs">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t.users.name}</Table.Th>
                <Table.Th>{t.users.role}</Table.Th>
                <Table.Th>{t.users.changed}</Table.Th>
                <Table.Th>
                  <span style={{ position: 'absolute', left: -9999 }}>{t.users.change}</span>
                </Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {users.data.users.map((user) => (
                <Table.Tr key={user.name}>
                  <Table.Td fw={600}>
                    {user.name} {you?.by === 'user' && you.name === user.name && <Badge variant="default">{t.users.you}</Badge>}
                  </Table.Td>
                  <Table.Td>
                    <Badge variant="light">{user.role}</Badge>
                  </Table.Td>
                  <Table.Td>{ago(user.changed_unix_ms)}</Table.Td>
                  <Table.Td>
                    <Group gap="xs" justify="flex-end">
                      <Button size="compact-sm" variant="light" onClick={() => setOpen(user)} aria-label={`${t.users.change} ${user.name}`}>
                        {t.users.change}
                      </Button>
                      <Button size="compact-sm" variant="light" color="red" onClick={() => setGone(user)} aria-label={`${t.delete} ${user.name}`}>
                        {t.delete}
                      </Button>
                    </Group>
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </div>
      )}
      <FormModal opened={open !== undefined} close={() => setOpen(undefined)} title={open === 'new' ? t.users.new : t.users.change}>
        {open && <Form user={open === 'new' ? undefined : open} done={() => setOpen(undefined)} />}
      </FormModal>
      <Modal
        opened={gone !== undefined}
        onClose={() => {
          setGone(undefined);
          remove.reset();
        }}
        title={t.delete} closeButtonProps={{ 'aria-label': t.close }}
      >
        {gone && (
          <Stack>
            <Text>{t.users.deleteSure(gone.name)}</Text>
            {remove.error && <Problem error={remove.error} />}
            <Group justify="flex-end">
              <Button variant="default" onClick={() => setGone(undefined)}>
                {t.cancel}
              </Button>
              <Button color="red" loading={remove.isPending} onClick={() => remove.mutate(gone)}>
                {t.delete}
              </Button>
            </Group>
          </Stack>
        )}
      </Modal>
    </>
  );
}

function Form({ user, done }: { user?: User; done: () => void }) {
  const queries = useQueryClient();
  const [name, setName] = useState('');
  const [role, setRole] = useState<Role>(user?.role ?? 'viewer');
  const [password, setPassword] = useState('');
  const save = useMutation({
    mutationFn: () =>
      user
        ? call('PUT', `/users/${step(user.name)}`, { body: { ...(role === user.role ? {} : { role }), ...(password === '' ? {} : { password }) } })
        : call('POST', '/users', { body: { name: name.trim(), role, password } }),
    onSuccess: async () => {
      await queries.invalidateQueries({ queryKey: ['users'] });
      done();
    },
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    save.mutate();
  };
  return (
    <form onSubmit={submit}>
      <Unsaved dirty={name !== '' || password !== '' || role !== (user?.role ?? 'viewer')} />
      <Stack>
        {!user && <TextInput label={t.users.name} description={t.login.nameHint} value={name} required autoComplete="off" onChange={(event) => setName(event.currentTarget.value)} data-autofocus />}
        <Select label={t.users.role} data={ROLES.map((value) => ({ value, label: t.agents.roles[value] }))} value={role} allowDeselect={false} onChange={(next) => setRole((next ?? 'viewer') as Role)} />
        <PasswordInput
          label={user ? t.users.newPassword : t.users.password}
          description={user ? t.users.keep : t.login.passwordHint}
          value={password}
          required={!user}
          autoComplete="new-password"
          onChange={(event) => setPassword(event.currentTarget.value)}
        />
        {save.error && <Problem error={save.error} />}
        <Button type="submit" loading={save.isPending}>
          {user ? t.save : t.users.make}
        </Button>
      </Stack>
    </form>
  );
}
