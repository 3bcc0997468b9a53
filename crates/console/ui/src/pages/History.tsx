// What was changed, by whom and why, with each difference; and the way back.

import { Badge, Button, Collapse, Group, Stack, Text, TextInput } from '@mantine/core';
import { useDebouncedCallback, useDisclosure } from '@mantine/hooks';
import { IconArrowBackUp } from '@tabler/icons-react';
import { useInfiniteQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useState } from 'react';

import { type Entry, type EntryPage, get } from '../lib/api';
import { summary } from '../lib/change';
import { ago, day } from '../lib/format';
import { Diff } from '../parts/Diff';
import { Head, Problem, Wait } from '../parts/Message';
import { RiskBadge } from '../parts/PlanView';
import { usePlans } from '../parts/plans';
import { useMay } from '../parts/session';
import { t } from '../texts';

const PAGE = 20;
/** Objects of one change that are shown at a time. */
const PART = 50;

export function History() {
  const { key } = useSearch({ from: '/inside/history' });
  const navigate = useNavigate();
  const good = key && /^[\w-]+\/.+/.test(key) ? key : undefined;
  const history = useInfiniteQuery({
    queryKey: ['history', good],
    queryFn: ({ pageParam, signal }) => get<{ entries: Entry[] }>('/history', { key: good, before: pageParam, limit: PAGE }, signal),
    initialPageParam: undefined as number | undefined,
    getNextPageParam: (last) => (last.entries.length === PAGE ? last.entries.at(-1)?.revision : undefined),
  });
  const look = useDebouncedCallback((text: string) => void navigate({ to: '/history', search: text ? { key: text } : {}, replace: true }), 300);
  const entries = history.data?.pages.flatMap((page) => page.entries) ?? [];
  return (
    <>
      <Head title={t.history.title} intro={t.history.intro}>
        <TextInput aria-label={t.history.object} placeholder={`${t.history.object}, ${t.history.objectHint}`} defaultValue={key ?? ''} onChange={(event) => look(event.currentTarget.value)} w="19rem" maw="100%" />
      </Head>
      {history.error && <Problem error={history.error} again={() => void history.refetch()} />}
      {history.isPending && <Wait />}
      {history.data && entries.length === 0 && <Text c="dimmed">{t.history.empty}</Text>}
      <Stack gap="sm" component="ol" style={{ listStyle: 'none', padding: 0, margin: 0 }}>
        {entries.map((entry) => (
          <li key={entry.revision}>
            <One entry={entry} only={good} />
          </li>
        ))}
      </Stack>
      {history.hasNextPage && (
        <Group justify="center" mt="md">
          <Button variant="default" loading={history.isFetchingNextPage} onClick={() => void history.fetchNextPage()}>
            {t.history.older}
          </Button>
        </Group>
      )}
    </>
  );
}

/** What an entry changed: a page at a time, as a change may be of a hundred thousand objects. */
function Changes({ revision, of, only }: { revision: number; of: number; only?: string }) {
  const pages = useInfiniteQuery({
    queryKey: ['history', 'changes', revision, only],
    queryFn: ({ pageParam, signal }) => get<EntryPage>(`/history/${revision}`, { key: only, after: pageParam, limit: PART }, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (last) => last.next,
    // What was applied never changes.
    staleTime: Infinity,
  });
  if (pages.error) return <Problem error={pages.error} again={() => void pages.refetch()} />;
  if (pages.isPending) return <Wait />;
  const changes = pages.data.pages.flatMap((page) => page.changes);
  return (
    <>
      {only && of > 1 && (
        <Text size="sm" c="dimmed" mb="xs">
          {t.history.only(only, of)}
        </Text>
      )}
      <Diff changes={changes} links all />
      {pages.hasNextPage && (
        <Button size="compact-sm" variant="default" loading={pages.isFetchingNextPage} onClick={() => void pages.fetchNextPage()}>
          {t.plan.next(Math.min(PART, of - changes.length), of - changes.length)}
        </Button>
      )}
    </>
  );
}

function One({ entry, only }: { entry: Entry; only?: string }) {
  const [open, { toggle }] = useDisclosure();
  const [error, setError] = useState<unknown>();
  const plans = usePlans();
  const editor = useMay('chat');
  const undo = async () => {
    setError(undefined);
    try {
      await plans.undo(entry.revision);
    } catch (refused) {
      setError(refused);
    }
  };
  return (
    <article className="card" aria-label={t.history.revision(entry.revision)}>
      <Group justify="space-between" align="flex-start" gap="sm">
        <div style={{ flex: '1 1 16rem', minWidth: 0 }}>
          <Group gap="xs">
            <Text fw={600} className="wrap">
              {entry.intent || summary(entry)}
            </Text>
            <RiskBadge risk={entry.risk} />
            {entry.undoes !== undefined && <Badge variant="default">{t.history.undoes(entry.undoes)}</Badge>}
          </Group>
          <Text size="sm" c="dimmed" className="wrap" title={day(entry.unix_ms)}>
            {t.history.revision(entry.revision)} · {ago(entry.unix_ms)} · {t.history.by} <b>{entry.principal}</b> ({entry.role}) {t.history.through} {entry.door}
            {entry.approval.startsWith('person') && ` · ${t.history.agreed} ${entry.approval.replace(/^person:\s*/, '')}`}
            {entry.intent ? ` · ${summary(entry)}` : ''}
          </Text>
        </div>
        <Group gap="xs">
          <Button size="compact-sm" variant="subtle" onClick={toggle} aria-expanded={open}>
            {open ? t.history.hide : t.history.show}
          </Button>
          {editor && (
            <Button size="compact-sm" variant="light" leftSection={<IconArrowBackUp size={14} aria-hidden />} onClick={() => void undo()}>
              {t.history.undo}
            </Button>
          )}
        </Group>
      </Group>
      {error !== undefined && <Problem error={error} />}
      <Collapse expanded={open}>
        {open && (
          <div style={{ marginTop: '0.75rem' }}>
            <Changes revision={entry.revision} of={entry.total} only={only} />
          </div>
        )}
      </Collapse>
    </article>
  );
}
