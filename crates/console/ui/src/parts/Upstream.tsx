// Where requests go: nodes of its own, a shared upstream, or those of a service.

import { ActionIcon, Button, Select, Stack, Table, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconPlus, IconTrash } from '@tabler/icons-react';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { useRef, useState } from 'react';

import { get, type Json, type Listed, type Members } from '../lib/api';
import { isByName, nodesLike } from '../lib/kept';
import { type Node, nodesOf, titleOf } from '../lib/kinds';
import { t } from '../texts';
import { NumberField } from './NumberField';

export function NodesField({ value, onChange, error }: { value: Json | undefined; onChange: (value: Json) => void; error?: string }) {
  const nodes = nodesOf(value);
  // The shape in which they were stored, also while two of them have one name on the way to another.
  const named = useRef(false);
  const own = useRef<Json | undefined>(undefined);
  if (own.current === undefined || value !== own.current) named.current = isByName(value);
  const put = (next: Node[]) => {
    own.current = nodesLike(next, named.current);
    onChange(own.current);
  };
  const change = (at: number, part: Partial<Node>) => put(nodes.map((node, index) => (index === at ? { ...node, ...part } : node)));
  return (
    <div role="group" aria-label={t.form.nodes}>
      <Text size="sm" fw={600}>
        {t.form.nodes}
      </Text>
      {nodes.length > 0 && (
        <Table withRowBorders={false} horizontalSpacing={4} verticalSpacing={3}>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>{t.form.nodeHost}</Table.Th>
              <Table.Th w="7rem">{t.form.nodePort}</Table.Th>
              <Table.Th w="6rem">{t.form.nodeWeight}</Table.Th>
              <Table.Th w="2.5rem">
                <span style={{ position: 'absolute', left: -9999 }}>{t.remove}</span>
              </Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {nodes.map((node, at) => (
              // Nodes have no name of their own, and their order is theirs.
              // eslint-disable-next-line
              <Table.Tr key={at} style={{ verticalAlign: 'top' }}>
                <Table.Td>
                  <TextInput aria-label={`${t.form.nodeHost} ${at + 1}`} value={node.host} placeholder="127.0.0.1" onChange={(event) => change(at, { host: event.currentTarget.value })} />
                </Table.Td>
                <Table.Td>
                  <NumberField aria-label={`${t.form.nodePort} ${at + 1}`} value={node.port} placeholder={t.form.usualPort} least={1} most={65535} hideControls required={node.port !== undefined} onChange={(port) => change(at, { port: port ?? null })} />
                </Table.Td>
                <Table.Td>
                  <NumberField aria-label={`${t.form.nodeWeight} ${at + 1}`} value={node.weight} least={0} hideControls required onChange={(weight) => change(at, { weight: weight ?? null })} />
                </Table.Td>
                <Table.Td>
                  <ActionIcon variant="subtle" color="gray" mt={4} aria-label={t.form.removeNode(node.host)} onClick={() => put(nodes.filter((_, index) => index !== at))}>
                    <IconTrash size={16} aria-hidden />
                  </ActionIcon>
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      )}
      {error && (
        <Text size="xs" c="red">
          {error}
        </Text>
      )}
      <Button variant="subtle" size="compact-sm" leftSection={<IconPlus size={14} aria-hidden />} onClick={() => put([...nodes, { host: '', port: 80, weight: 1 }])}>
        {t.form.addNode}
      </Button>
    </div>
  );
}

/** A choice among the objects of a kind, found as one types. */
export function ReferenceField({ kind, label, value, onChange, error }: { kind: string; label: string; value: Json | undefined; onChange: (value: string | undefined) => void; error?: string }) {
  const [text, setText] = useState('');
  const [wanted] = useDebouncedValue(text, 200);
  // What objects are called, so that a choice keeps its name while others are looked for.
  const names = useRef(new Map<string, string>());
  const found = useQuery({
    queryKey: ['reference', kind, wanted],
    queryFn: ({ signal }) => get<Listed>(`/objects/${kind}`, { q: wanted || undefined, limit: 50 }, signal),
    placeholderData: keepPreviousData,
  });
  const chosen = value === undefined || value === null ? null : String(value);
  for (const stored of found.data?.objects ?? []) {
    const title = titleOf(stored);
    names.current.set(stored.id, title === stored.id ? title : `${title} (${stored.id})`);
  }
  const ids = (found.data?.objects ?? []).map((stored) => stored.id);
  if (chosen && !ids.includes(chosen)) ids.unshift(chosen);
  const data = ids.map((id) => ({ value: id, label: names.current.get(id) ?? id }));
  // The field tells of a choice as if it had been typed.
  const typed = (next: string) => {
    if (next !== chosen && ![...names.current.values()].includes(next)) setText(next);
  };
  return (
    <Select label={label} data={data} value={chosen} error={error} searchable clearable onSearchChange={typed} filter={({ options }) => options} onChange={(next) => onChange(next ?? undefined)} maw="26rem" />
  );
}

type How = 'own' | 'ref' | 'service' | 'none';

export function LeadsField({ value, onChange, errors, services }: { value: Members; onChange: (value: Members) => void; errors: Record<string, string>; services: boolean }) {
  const now: How = value.upstream_id !== undefined ? 'ref' : value.upstream !== undefined ? 'own' : value.service_id !== undefined ? 'service' : 'none';
  const [wanted, setWanted] = useState<How>();
  const how = wanted ?? now;
  const turn = (next: How) => {
    setWanted(next);
    const { upstream, upstream_id: _, ...rest } = value;
    if (next === 'own') onChange({ ...rest, upstream: upstream ?? { type: 'roundrobin', nodes: [] } });
    else onChange(rest);
  };
  const upstream = (value.upstream ?? {}) as Members;
  return (
    <Stack gap="sm">
      <Select
        label={t.form.upstreamHow}
        allowDeselect={false}
        maw="26rem"
        value={how}
        onChange={(next) => next && turn(next as How)}
        data={[
          { value: 'own', label: t.form.upstreamOwn },
          { value: 'ref', label: t.form.upstreamRef },
          ...(services ? [{ value: 'service', label: t.form.upstreamService }] : []),
          { value: 'none', label: t.form.upstreamNone },
        ]}
      />
      {how === 'ref' && (
        <ReferenceField
          kind="upstreams"
          label={t.form.upstreamId}
          value={value.upstream_id}
          error={errors['/upstream_id']}
          onChange={(id) => {
            const { upstream_id: _, ...rest } = value;
            onChange(id === undefined ? rest : { ...rest, upstream_id: id });
          }}
        />
      )}
      {how === 'own' && (
        <NodesField value={upstream.nodes} error={errors['/upstream/nodes'] ?? errors['/upstream']} onChange={(nodes) => onChange({ ...value, upstream: { ...upstream, nodes } })} />
      )}
      {services && (how === 'service' || value.service_id !== undefined) && (
        <ReferenceField
          kind="services"
          label={t.form.serviceId}
          value={value.service_id}
          error={errors['/service_id']}
          onChange={(id) => {
            const { service_id: _, ...rest } = value;
            onChange(id === undefined ? rest : { ...rest, service_id: id });
          }}
        />
      )}
    </Stack>
  );
}

