// Tokens for programs and agents: what each may do and see, made here, shown once, and ended with one click.

import { Alert, Badge, Button, Code, CopyButton, Group, Modal, Select, Stack, Table, TagsInput, Text, TextInput } from '@mantine/core';
import { IconCopy, IconPlus } from '@tabler/icons-react';
import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { type FormEvent, useRef, useState } from 'react';

import { type Agents as Standing, call, get, post, type Role, step, type Token } from '../lib/api';
import { ago } from '../lib/format';
import { Clients, WaitingPlans } from '../parts/Clients';
import { Connect } from '../parts/Connect';
import { Card, Head, Problem, Wait } from '../parts/Message';
import { NumberField } from '../parts/NumberField';
import { FormModal, Unsaved } from '../parts/unsaved';
import { t } from '../texts';

const ROLES: Role[] = ['viewer', 'chat', 'editor', 'admin'];
/** The longest life of a token, in days. */
const MOST_DAYS = 3_650;

export function Agents() {
  const tokens = useQuery({ queryKey: ['tokens'], queryFn: ({ signal }) => get<{ tokens: Token[] }>('/tokens', undefined, signal) });
  const [making, setMaking] = useState(false);
  const [revoking, setRevoking] = useState<Token>();
  const queries = useQueryClient();
  const revoke = useMutation({
    mutationFn: (token: Token) => call('DELETE', `/tokens/${step(token.id)}`),
    onSuccess: () => {
      setRevoking(undefined);
      return queries.invalidateQueries({ queryKey: ['tokens'] });
    },
  });
  const ended = (token: Token) => token.expires_unix_ms !== null && token.expires_unix_ms < Date.now();
  return (
    <>
      <Head title={t.agents.title} intro={t.agents.intro}>
        <Button leftSection={<IconPlus size={18} aria-hidden />} onClick={() => setMaking(true)}>
          {t.agents.new}
        </Button>
      </Head>
      {tokens.error && <Problem error={tokens.error} />}
      {tokens.isPending && <Wait />}
      {tokens.data?.tokens.length === 0 && <Text c="dimmed">{t.agents.empty}</Text>}
      {tokens.data && tokens.data.tokens.length > 0 && (
        <div className="card scroll-x" style={{ padding: 0 }}>
          <Table className="rows" verticalSpacing="xs">
            <Table.Thead>
              <Table.Tr>
                <Table.Th>{t.agents.name}</Table.Th>
                <Table.Th>{t.agents.role}</Table.Th>
                <Table.Th>{t.agents.scope}</Table.Th>
                <Table.Th>{t.agents.by}</Table.Th>
                <Table.Th>{t.agents.ends}</Table.Th>
                <Table.Th>
                  <span style={{ position: 'absolute', left: -9999 }}>{t.agents.revoke}</span>
                </Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {tokens.data.tokens.map((token) => {
                const scope = [...token.scope.labels, ...token.scope.hosts, ...token.scope.paths];
                return (
                  <Table.Tr key={token.id}>
                    <Table.Td fw={600}>{token.name}</Table.Td>
                    <Table.Td>
                      <Badge variant="light">{token.role}</Badge>
                    </Table.Td>
                    <Table.Td className="wrap">{scope.join(', ') || t.agents.everything}</Table.Td>
                    <Table.Td>
                      {token.created_by}, {ago(token.created_unix_ms)}
                    </Table.Td>
                    <Table.Td>{ended(token) ? <Badge variant="light" color="gray">{t.agents.ended}</Badge> : token.expires_unix_ms === null ? t.agents.never : ago(token.expires_unix_ms)}</Table.Td>
                    <Table.Td>
                      <Button size="compact-sm" variant="light" color="red" onClick={() => setRevoking(token)} aria-label={`${t.agents.revoke} ${token.name}`}>
                        {t.agents.revoke}
                      </Button>
                    </Table.Td>
                  </Table.Tr>
                );
              })}
            </Table.Tbody>
          </Table>
        </div>
      )}
      <div className="grid-wide" style={{ marginTop: '1.25rem' }}>
        <WaitingPlans />
        <Clients />
      </div>
      <Switch />
      <Connect />
      <Modal opened={revoking !== undefined} onClose={() => setRevoking(undefined)} title={t.agents.revoke} closeButtonProps={{ 'aria-label': t.close }}>
        {revoking && (
          <Stack>
            <Text>{t.agents.revokeSure(revoking.name)}</Text>
            {revoke.error && <Problem error={revoke.error} />}
            <Group justify="flex-end">
              <Button variant="default" onClick={() => setRevoking(undefined)}>
                {t.cancel}
              </Button>
              <Button color="red" loading={revoke.isPending} onClick={() => revoke.mutate(revoking)}>
                {t.agents.revoke}
              </Button>
            </Group>
          </Stack>
        )}
      </Modal>
      <FormModal opened={making} close={() => setMaking(false)} title={t.agents.new} size="lg">
        {making && <Make />}
      </FormModal>
    </>
  );
}

/** The switch that leaves all agents nothing but looking. */
function Switch() {
  const queries = useQueryClient();
  const agents = useQuery({ queryKey: ['agents'], queryFn: ({ signal }) => get<Standing>('/agents', undefined, signal) });
  const [why, setWhy] = useState('');
  const set = useMutation({
    mutationFn: (on: boolean) => call<Standing>('PUT', '/agents', { body: { on, ...(why.trim() ? { why: why.trim() } : {}) } }),
    onSuccess: (now) => {
      setWhy('');
      queries.setQueryData(['agents'], now);
    },
  });
  if (!agents.data) return agents.error ? <Problem error={agents.error} /> : null;
  const { on, by, since_unix_ms: since, why: because } = agents.data;
  return (
    <div style={{ marginTop: '1.25rem' }}>
      <Card title={t.agents.switchTitle} beside={<Badge color={on ? 'teal' : '#c22525'} variant={on ? 'light' : 'filled'}>{on ? t.agents.switchedOn : t.agents.switchedOff}</Badge>}>
        <div role="status">
          <Text size="sm">{on ? t.agents.switchOn : t.agents.switchOff}</Text>
          {by && since !== null && (
            <Text size="sm" c="dimmed" className="wrap">
              {t.agents.switchedBy(by, ago(since))} {because}
            </Text>
          )}
        </div>
        <form
          onSubmit={(event) => {
            event.preventDefault();
            set.mutate(!on);
          }}
        >
          <Group mt="sm" align="flex-end">
            <TextInput label={t.agents.why} description={t.agents.whyHint} value={why} maxLength={300} onChange={(event) => setWhy(event.currentTarget.value)} style={{ flex: '1 1 14rem' }} />
            <Button type="submit" color={on ? '#c22525' : undefined} loading={set.isPending}>
              {on ? t.agents.turnOff : t.agents.turnOn}
            </Button>
          </Group>
        </form>
        {set.error && <Problem error={set.error} />}
      </Card>
    </div>
  );
}

function Make() {
  const queries = useQueryClient();
  const [name, setName] = useState('');
  const [role, setRole] = useState<Role>('chat');
  const [labels, setLabels] = useState<string[]>([]);
  const [hosts, setHosts] = useState<string[]>([]);
  const [paths, setPaths] = useState<string[]>([]);
  const [days, setDays] = useState<number | string | undefined>(30);
  const badDays = days !== undefined && !(Number.isInteger(Number(days)) && Number(days) >= 1 && Number(days) <= MOST_DAYS);
  const daysField = useRef<HTMLDivElement>(null);
  const make = useMutation({
    mutationFn: (body: unknown) => post<Token & { token: string }>('/tokens', body),
    onSuccess: () => queries.invalidateQueries({ queryKey: ['tokens'] }),
  });
  const submit = (event: FormEvent) => {
    event.preventDefault();
    if (badDays) {
      daysField.current?.querySelector('input')?.focus();
      return;
    }
    make.mutate({ name: name.trim(), role, scope: { labels, hosts, paths }, ...(days === undefined ? {} : { expires_in_secs: Number(days) * 86_400 }) });
  };
  if (make.data) return <Once text={make.data.token} />;
  return (
    <form onSubmit={submit}>
      <Unsaved dirty={name !== '' || labels.length + hosts.length + paths.length > 0} />
      <Stack>
        <TextInput label={t.agents.name} description={t.agents.nameHint} value={name} required onChange={(event) => setName(event.currentTarget.value)} data-autofocus />
        <Select label={t.agents.role} data={ROLES.map((value) => ({ value, label: t.agents.roles[value] }))} value={role} allowDeselect={false} onChange={(next) => setRole((next ?? 'chat') as Role)} />
        <TagsInput label={t.agents.labels} placeholder="team=pay" value={labels} onChange={setLabels} acceptValueOnBlur />
        <TagsInput label={t.agents.hosts} placeholder="api.example.com" value={hosts} onChange={setHosts} acceptValueOnBlur />
        <TagsInput label={t.agents.paths} placeholder="/pay" value={paths} onChange={setPaths} acceptValueOnBlur />
        <div ref={daysField}>
          <NumberField label={`${t.agents.expires} (${t.agents.expiresDays})`} value={days} least={1} most={MOST_DAYS} placeholder={t.agents.never} onChange={setDays} maw="16rem" />
        </div>
        {make.error && <Problem error={make.error} />}
        <Button type="submit" loading={make.isPending}>
          {t.agents.make}
        </Button>
      </Stack>
    </form>
  );
}

export function Once({ text }: { text: string }) {
  return (
    <Alert color="teal" title={t.agents.made} role="status">
      <Group gap="xs" wrap="nowrap">
        <Code block className="wrap" style={{ flex: 1 }}>
          {text}
        </Code>
        <CopyButton value={text}>
          {({ copied, copy }) => (
            <Button variant="light" leftSection={<IconCopy size={16} aria-hidden />} onClick={copy}>
              {copied ? t.copied : t.copy}
            </Button>
          )}
        </CopyButton>
      </Group>
    </Alert>
  );
}
