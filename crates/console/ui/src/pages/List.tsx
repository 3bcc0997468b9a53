// The objects of a kind: a page at a time, however many there are, with search and filters that Usher itself applies.

import { Autocomplete, Badge, Button, Checkbox, Group, Popover, Stack, Table, Text, TextInput } from '@mantine/core';
import { useDebouncedCallback } from '@mantine/hooks';
import { IconChevronLeft, IconChevronRight, IconFilter, IconPlus, IconSearch, IconX } from '@tabler/icons-react';
import { keepPreviousData, useQuery } from '@tanstack/react-query';
import { Link, useNavigate, useParams, useSearch } from '@tanstack/react-router';
import { useEffect, useState } from 'react';

import { get, type Listed, type Stored } from '../lib/api';
import { endOf } from '../lib/certificate';
import { ago, day } from '../lib/format';
import { type Column, hostsOf, type Kind, kindOf, labelsOf, leadsTo, namesOf, pathsOf, placesOf, pluginsOf, titleOf } from '../lib/kinds';
import { Bulk } from '../parts/Bulk';
import { Head, Missing, Problem, Wait } from '../parts/Message';
import { pluginsQuery } from '../parts/PluginsField';
import { useMay } from '../parts/session';
import { t } from '../texts';

const PAGE = 50;
/** Objects that can be chosen at once, which a browser holds with ease, and how many are read at a time for that. */
const MOST = 100_000;
const READ = 1_000;

const few = (texts: string[], most = 2) => {
  const shown = texts.slice(0, most).join(', ');
  return texts.length > most ? `${shown} +${texts.length - most}` : shown;
};

function Cell({ column, stored, kind }: { column: Column; stored: Stored; kind: Kind }) {
  const { value } = stored;
  switch (column) {
    case 'name':
      return (
        <>
          <ObjectTitle stored={stored} kind={kind} />
          {value.status === 0 && (
            <Badge size="xs" variant="light" color="gray" ml={6}>
              {t.list.off}
            </Badge>
          )}
          {titleOf(stored) !== stored.id && (
            <Text size="xs" c="dimmed" className="mono wrap">
              {stored.id}
            </Text>
          )}
        </>
      );
    case 'id':
      return <ObjectTitle stored={stored} kind={kind} plain />;
    case 'path':
      return <span className="mono clipped">{few(pathsOf(value))}</span>;
    case 'host':
      return <span className="clipped">{few(hostsOf(value))}</span>;
    case 'upstream':
      return <span className="clipped">{leadsTo(value)}</span>;
    case 'nodes':
      return <span className="clipped">{few(placesOf(value), 3)}</span>;
    case 'type':
      return <>{String(value.type ?? 'roundrobin')}</>;
    case 'plugins':
      return (
        <Group gap={4}>
          {pluginsOf(value).slice(0, 3).map((name) => (
            <Badge key={name} variant="light" size="sm" tt="none">
              {name}
            </Badge>
          ))}
          {pluginsOf(value).length > 3 && <Text size="xs">+{pluginsOf(value).length - 3}</Text>}
        </Group>
      );
    case 'labels':
      return (
        <Group gap={4}>
          {labelsOf(value).slice(0, 3).map(([name, text]) => (
            <Badge key={name} variant="default" size="sm" tt="none" fw={500} component={Link} to={`/objects/${kind.many}?${new URLSearchParams({ label: `${name}=${text}` })}`} className="plain" style={{ cursor: 'pointer' }}>
              {name}={text}
            </Badge>
          ))}
        </Group>
      );
    case 'snis':
      return <span className="wrap">{few(namesOf(value), 3)}</span>;
    case 'ends': {
      const end = endOf(value.cert);
      if (end === undefined) return null;
      const soon = end - Date.now() < 30 * 86_400_000;
      return (
        <Text size="sm" c={soon ? 'red' : undefined} title={day(end)}>
          {ago(end)}
        </Text>
      );
    }
    case 'port':
      return <>{String(value.server_port ?? '')}</>;
    case 'group':
      return <>{String(value.group_id ?? '')}</>;
    case 'desc':
      return <span className="wrap">{typeof value.desc === 'string' ? value.desc.slice(0, 100) : ''}</span>;
  }
}

function ObjectTitle({ stored, kind, plain }: { stored: Stored; kind: Kind; plain?: boolean }) {
  return (
    <Link to="/objects/$kind/$id" params={{ kind: kind.many, id: stored.id }} className="wrap" style={{ fontWeight: 600 }}>
      {plain ? stored.id : titleOf(stored)}
    </Link>
  );
}

export function List() {
  const { kind: word } = useParams({ from: '/inside/objects/$kind' });
  const kind = kindOf(word);
  return kind ? <OfKind key={kind.many} kind={kind} /> : <Missing />;
}

function OfKind({ kind }: { kind: Kind }) {
  const search = useSearch({ from: '/inside/objects/$kind' });
  const navigate = useNavigate();
  const editor = useMay('chat');
  const [before, setBefore] = useState<(string | undefined)[]>([undefined]);
  const [chosen, setChosen] = useState<Map<string, Stored>>(new Map());
  const after = before[before.length - 1];
  const conditions = JSON.stringify(search);
  useEffect(() => {
    setBefore([undefined]);
    setChosen(new Map());
  }, [conditions]);
  const listed = useQuery({
    queryKey: ['objects', kind.many, search, after],
    queryFn: ({ signal }) => get<Listed>(`/objects/${kind.many}`, { ...search, after, limit: PAGE }, signal),
    placeholderData: keepPreviousData,
  });
  const look = (part: Partial<typeof search>) => {
    const next = Object.fromEntries(Object.entries({ ...search, ...part }).filter(([, value]) => value));
    void navigate({ to: '/objects/$kind', params: { kind: kind.many }, search: next, replace: true });
  };
  const type = useDebouncedCallback((q: string) => look({ q }), 200);
  const filters = [search.label, search.host, search.plugin].filter(Boolean).length;
  const objects = listed.data?.objects ?? [];
  const all = objects.length > 0 && objects.every((stored) => chosen.has(stored.id));
  const turn = (stored: Stored[], on: boolean) => {
    const next = new Map(chosen);
    for (const one of stored) on ? next.set(one.id, one) : next.delete(one.id);
    setChosen(next);
  };
  const [gathering, setGathering] = useState(false);
  const [gathered, setGathered] = useState<unknown>();
  /** Chooses everything that fits, on other pages too. */
  const gather = async () => {
    setGathering(true);
    setGathered(undefined);
    try {
      const found = new Map<string, Stored>();
      let from: string | undefined;
      do {
        const page: Listed = await get<Listed>(`/objects/${kind.many}`, { ...search, after: from, limit: READ });
        for (const stored of page.objects) if (found.size < MOST) found.set(stored.id, stored);
        from = page.next;
      } while (from !== undefined && found.size < MOST);
      setChosen(found);
    } catch (error) {
      setGathered(error);
    } finally {
      setGathering(false);
    }
  };
  return (
    <>
      <Head title={kind.title} intro={kind.about}>
        {editor && (
          <Button component={Link} to={`/new/${kind.many}`} leftSection={<IconPlus size={18} aria-hidden />}>
            {t.list.new(kind.word)}
          </Button>
        )}
      </Head>
      <Group mb="sm" gap="sm">
        <TextInput key={kind.many} defaultValue={search.q ?? ''} onChange={(event) => type(event.currentTarget.value)} aria-label={t.list.search} placeholder={t.list.searchHint} leftSection={<IconSearch size={16} aria-hidden />} style={{ flex: '1 1 14rem' }} maw="28rem" />
        <Filters search={search} look={look} count={filters} />
        <Text size="sm" c="dimmed" className="num" aria-live="polite">
          {listed.data && t.list.total(objects.length, listed.data.total)}
        </Text>
      </Group>
      {filters > 0 && (
        <Group gap="xs" mb="sm" role="group" aria-label={t.list.filter}>
          {(['label', 'host', 'plugin'] as const).map(
            (name) =>
              search[name] && (
                <Button key={name} size="compact-sm" variant="light" rightSection={<IconX size={14} aria-hidden />} aria-label={t.list.drop(t.list[name], search[name])} onClick={() => look({ [name]: undefined })}>
                  {t.list[name]}: {search[name]}
                </Button>
              ),
          )}
        </Group>
      )}
      {chosen.size > 0 && listed.data && all && chosen.size < Math.min(listed.data.total, MOST) && (
        <Group mb="xs" gap="xs">
          <Button size="compact-sm" variant="subtle" loading={gathering} onClick={() => void gather()}>
            {t.list.selectFitting(Math.min(listed.data.total, MOST), listed.data.total)}
          </Button>
        </Group>
      )}
      {gathered !== undefined && <Problem error={gathered} />}
      {chosen.size > 0 && <Bulk kind={kind} chosen={[...chosen.values()]} done={() => setChosen(new Map())} />}
      {listed.error && <Problem error={listed.error} again={() => void listed.refetch()} />}
      {listed.isPending && <Wait />}
      {listed.data && objects.length === 0 && (
        <Text c="dimmed" ta="center" py="xl">
          {search.q || filters > 0 ? t.list.nothing : t.list.empty(kind.title.toLowerCase())}
        </Text>
      )}
      {objects.length > 0 && (
        <div className="card scroll-x" style={{ padding: 0 }}>
          <Table className="rows" highlightOnHover verticalSpacing="xs" style={{ opacity: listed.isPlaceholderData ? 0.6 : 1 }}>
            <Table.Thead>
              <Table.Tr>
                {editor && (
                  <Table.Th w="2.5rem">
                    <Checkbox aria-label={t.list.selectAll} checked={all} indeterminate={!all && chosen.size > 0} onChange={(event) => turn(objects, event.currentTarget.checked)} />
                  </Table.Th>
                )}
                {kind.columns.map((column) => (
                  <Table.Th key={column}>{t.list.columns[column]}</Table.Th>
                ))}
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {objects.map((stored) => (
                <Table.Tr key={stored.id}>
                  {editor && (
                    <Table.Td>
                      <Checkbox aria-label={`${t.list.select} ${titleOf(stored)}`} checked={chosen.has(stored.id)} onChange={(event) => turn([stored], event.currentTarget.checked)} />
                    </Table.Td>
                  )}
                  {kind.columns.map((column) => (
                    <Table.Td key={column} maw="22rem">
                      <Cell column={column} stored={stored} kind={kind} />
                    </Table.Td>
                  ))}
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        </div>
      )}
      {(before.length > 1 || listed.data?.next) && (
        <Group justify="center" mt="md">
          <Button variant="default" leftSection={<IconChevronLeft size={16} aria-hidden />} disabled={before.length === 1} onClick={() => setBefore(before.slice(0, -1))}>
            {t.previous}
          </Button>
          <Button variant="default" rightSection={<IconChevronRight size={16} aria-hidden />} disabled={!listed.data?.next || listed.isPlaceholderData} onClick={() => setBefore([...before, listed.data?.next])}>
            {t.next}
          </Button>
        </Group>
      )}
    </>
  );
}

function Filters({ search, look, count }: { search: { label?: string; host?: string; plugin?: string }; look: (part: Record<string, string | undefined>) => void; count: number }) {
  const type = useDebouncedCallback((part: Record<string, string | undefined>) => look(part), 250);
  const known = useQuery(pluginsQuery);
  return (
    <Popover position="bottom-start" width="18rem" trapFocus withinPortal>
      <Popover.Target>
        <Button variant="default" leftSection={<IconFilter size={16} aria-hidden />}>
          {t.list.filter}
          {count > 0 && ` (${count})`}
        </Button>
      </Popover.Target>
      <Popover.Dropdown aria-label={t.list.filter}>
        <Stack gap="xs">
          <TextInput label={t.list.label} description={t.list.labelHint} defaultValue={search.label ?? ''} onChange={(event) => type({ label: event.currentTarget.value })} />
          <TextInput label={t.list.host} defaultValue={search.host ?? ''} onChange={(event) => type({ host: event.currentTarget.value })} />
          <Autocomplete label={t.list.plugin} data={(known.data?.plugins ?? []).map((line) => line.name).sort()} limit={8} comboboxProps={{ withinPortal: false }} defaultValue={search.plugin ?? ''} onChange={(plugin) => type({ plugin })} />
          <Button variant="subtle" size="compact-sm" onClick={() => look({ label: undefined, host: undefined, plugin: undefined })}>
            {t.list.clear}
          </Button>
        </Stack>
      </Popover.Dropdown>
    </Popover>
  );
}
