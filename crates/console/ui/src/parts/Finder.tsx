// Go anywhere by typing: pages at once, objects as Usher finds them.

import { Loader, Modal, NavLink, Text, TextInput } from '@mantine/core';
import { useDebouncedValue } from '@mantine/hooks';
import { IconArrowRight, IconSearch } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { useNavigate } from '@tanstack/react-router';
import { useState } from 'react';

import { get, type Listed } from '../lib/api';
import { KINDS, titleOf } from '../lib/kinds';
import { t } from '../texts';

const LOOKED_AT = ['routes', 'services', 'upstreams', 'consumers', 'ssls'];
const EACH = 5;

export default function Finder({ close }: { close: () => void }) {
  const [text, setText] = useState('');
  const [wanted] = useDebouncedValue(text.trim(), 150);
  const [at, setAt] = useState(0);
  const navigate = useNavigate();
  const found = useQuery({
    queryKey: ['finder', wanted],
    enabled: wanted !== '',
    queryFn: async ({ signal }) => {
      const lists = LOOKED_AT.map(async (kind) => {
        const listed = await get<Listed>(`/objects/${kind}`, { q: wanted, limit: EACH }, signal);
        return listed.objects.map((stored) => ({
          label: titleOf(stored),
          about: KINDS.find((known) => known.many === kind)?.word ?? kind,
          to: `/objects/${kind}/${encodeURIComponent(stored.id)}`,
        }));
      });
      return (await Promise.all(lists)).flat();
    },
  });
  const places = [
    ['/', t.nav.overview], ['/requests', t.nav.requests], ['/explain', t.nav.explain], ['/history', t.nav.history], ['/approvals', t.nav.approvals], ['/plugins', t.nav.plugins], ['/import', t.nav.document], ['/agents', t.nav.agents], ['/users', t.nav.users], ['/model', t.nav.model], ['/audit', t.nav.audit],
    ...KINDS.map((kind) => [`/objects/${kind.many}`, kind.title]),
  ]
    .filter(([, label]) => (label ?? '').toLowerCase().includes(text.trim().toLowerCase()))
    .map(([to, label]) => ({ to: to ?? '/', label: label ?? '', about: '' }));
  const all = [...(found.data ?? []), ...places].slice(0, 20);
  const go = (to: string) => {
    close();
    void navigate({ href: `/ui${to}` });
  };
  return (
    <Modal opened onClose={close} title={t.nav.go} size="lg" yOffset="10vh">
      <TextInput
        data-autofocus
        aria-label={t.nav.goPlaceholder}
        placeholder={t.nav.goPlaceholder}
        leftSection={<IconSearch size={18} aria-hidden />}
        rightSection={found.isFetching ? <Loader size="xs" /> : undefined}
        value={text}
        onChange={(event) => {
          setText(event.currentTarget.value);
          setAt(0);
        }}
        onKeyDown={(event) => {
          if (event.key === 'ArrowDown') setAt(Math.min(at + 1, all.length - 1));
          else if (event.key === 'ArrowUp') setAt(Math.max(at - 1, 0));
          else if (event.key === 'Enter' && all[at]) go(all[at].to);
          else return;
          event.preventDefault();
        }}
      />
      <div role="listbox" aria-label={t.nav.go} style={{ marginTop: 8 }}>
        {all.map((one, index) => (
          <NavLink
            key={one.to}
            component="button"
            role="option"
            aria-selected={index === at}
            active={index === at}
            label={one.label}
            description={one.about || undefined}
            rightSection={<IconArrowRight size={14} aria-hidden />}
            onClick={() => go(one.to)}
          />
        ))}
      </div>
      {all.length === 0 && !found.isFetching && <Text c="dimmed">{t.nav.goNothing}</Text>}
    </Modal>
  );
}
