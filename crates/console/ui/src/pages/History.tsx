// What was changed, by whom and why, with each difference; and the way back.

import { Badge, Button, Collapse, Group, Stack, Text, TextInput } from '@mantine/core';
import { useDebouncedCallback, useDisclosure } from '@mantine/hooks';
import { IconArrowBackUp } from '@tabler/icons-react';
import { useInfiniteQuery } from '@tanstack/react-query';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { useState } from 'react';

import { type Entry, get } from '../lib/api';
import { summary } from '../lib/change';
import { ago, day } from '../lib/format';
import { Diff } from '../parts/Diff';
import { Head, Problem, Wait } from '../parts/Message';
import { RiskBadge } from '../parts/PlanView';
import { usePlans } from '../parts/plans';
import { useMay } from '../parts/session';
import { t } from '../texts';

const PAGE = 20;

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
            <One entry={entry} />
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

function One({ entry }: { entry: Entry }) {
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
            <Diff changes={entry.changes} links />
          </div>
        )}
      </Collapse>
    </article>
  );
}
