// The chat beside every page: sentences go to Usher, what happens comes back as it happens, and a plan is agreed to where it is shown.

import { ActionIcon, Alert, Badge, Button, Group, Loader, Text, Textarea, Title } from '@mantine/core';
import { IconArrowBackUp, IconCheck, IconPlayerStopFilled, IconPlus, IconSend, IconTool, IconX } from '@tabler/icons-react';
import { useQuery, useQueryClient } from '@tanstack/react-query';
import { useRouterState } from '@tanstack/react-router';
import { type FormEvent, type KeyboardEvent, type UIEvent, useCallback, useEffect, useRef, useState } from 'react';

import { type Agents, get, Refused, type Risk } from '../lib/api';
import { answer, closed, comeBack, fitting, type Item, kept, LONGEST, more, say, stand, stop, told } from '../lib/chat';
import { here } from '../lib/words';
import { t } from '../texts';
import { Problem } from './Message';
import { Spoken } from './Spoken';
import { RiskBadge } from './PlanView';
import { useMay } from './session';

const icon = { size: 18, stroke: 1.7, 'aria-hidden': true } as const;
/** So near to its end a conversation is scrolled on by itself, in pixels. */
const NEAR = 60;
/** Why a sentence is stopped that nobody shall hear of any more. */
const FORGOTTEN = 'forgotten';

const failure = (error: unknown): Item => ({
  is: 'failed',
  message: error instanceof Error ? error.message : String(error),
  next: error instanceof Refused ? (error.cause.code === 'away' ? t.chat.awayNext : error.cause.next) : undefined,
});

/** A conversation that goes on until somebody begins anew or logs out: a page that is loaded anew comes back to it. */
function useConversation() {
  const [items, setItems] = useState<Item[]>([]);
  const [busy, setBusy] = useState(false);
  const id = useRef<string>(undefined);
  const stopping = useRef<AbortController>(undefined);
  const queries = useQueryClient();
  // Nobody listens any more once the page is left.
  useEffect(() => () => stopping.current?.abort(FORGOTTEN), []);
  const name = useCallback((conversation: string | undefined) => {
    id.current = conversation;
    kept.set(conversation);
  }, []);
  useEffect(() => {
    const before = kept.get();
    if (!before || id.current) return;
    const control = new AbortController();
    stopping.current = control;
    id.current = before;
    setBusy(true);
    const back = async () => {
      try {
        await comeBack(before, control.signal, (event) => {
          setItems((now) => told(now, event));
          if (event.event === 'applied') void queries.invalidateQueries();
        });
      } catch (error) {
        if (control.signal.aborted) {
          if (control.signal.reason !== FORGOTTEN) setItems((now) => more(closed(now), { is: 'note', text: t.chat.stopped }));
          return;
        }
        if (error instanceof Refused && error.status === 404) {
          name(undefined);
          setItems((now) => more(now, { is: 'note', text: t.chat.forgotten }));
        } else setItems((now) => more(now, failure(error)));
      } finally {
        if (stopping.current === control) {
          stopping.current = undefined;
          setBusy(false);
        }
      }
    };
    void back();
    return () => {
      control.abort(FORGOTTEN);
      id.current = undefined;
    };
  }, [name, queries]);

  const speak = useCallback(
    async (sentence: string) => {
      const control = new AbortController();
      stopping.current = control;
      setBusy(true);
      setItems((now) => more(now, { is: 'you', text: sentence }));
      const once = () =>
        say(sentence, id.current, control.signal, (event) => {
          if (event.event === 'conversation') name(event.id);
          setItems((now) => told(now, event));
          if (event.event === 'applied') void queries.invalidateQueries();
        });
      try {
        try {
          await once();
        } catch (error) {
          // Usher forgets a conversation after some hours, or when it starts anew.
          if (!(error instanceof Refused && error.status === 404 && error.cause.field === '/conversation')) throw error;
          name(undefined);
          setItems((now) => more(now, { is: 'note', text: t.chat.anew }));
          await once();
        }
      } catch (error) {
        if (control.signal.reason === FORGOTTEN) return;
        setItems((now) => more(closed(now), control.signal.aborted ? { is: 'note', text: t.chat.stopped } : failure(error)));
      } finally {
        if (stopping.current === control) {
          stopping.current = undefined;
          setBusy(false);
        }
        // A sentence may have applied something that it could not tell of any more.
        void queries.invalidateQueries({ queryKey: ['history'] });
      }
    },
    [name, queries],
  );
  const settle = useCallback(async (question: string, agree: boolean) => {
    setItems((now) => stand(now, question, 'sent'));
    try {
      const { agreed } = await answer(question, agree);
      setItems((now) => stand(now, question, agreed ? 'agreed' : 'declined'));
    } catch (error) {
      const open = error instanceof Refused && error.status !== 404;
      setItems((now) => more(stand(now, question, open ? 'open' : 'over'), failure(error)));
    }
  }, []);
  const end = useCallback((why?: string) => {
    // Without its word a sentence goes on for a while, as for a page that is loaded anew. Where it has ended already there is nothing to stop.
    if (stopping.current && id.current) void stop(id.current).catch(() => {});
    stopping.current?.abort(why);
  }, []);
  const forget = useCallback(() => {
    end(FORGOTTEN);
    stopping.current = undefined;
    setBusy(false);
    name(undefined);
    setItems([]);
  }, [end, name]);
  return { items, busy, speak, settle, end, forget };
}

export default function ChatPanel({ opened, close }: { opened: boolean; close: () => void }) {
  const { items, busy, speak, settle, end, forget } = useConversation();
  const [text, setText] = useState('');
  const panel = useRef<HTMLDivElement>(null);
  const input = useRef<HTMLTextAreaElement>(null);
  const log = useRef<HTMLDivElement>(null);
  const path = useRouterState({ select: (state) => state.location.pathname });
  const changes = useMay('chat');
  const agents = useQuery({ queryKey: ['agents'], queryFn: ({ signal }) => get<Agents>('/agents', undefined, signal), enabled: opened });
  const asked = items.find((item) => item.is === 'plan' && item.standing === 'open' && item.question);
  const question = asked?.is === 'plan' ? asked.question?.id : undefined;

  useEffect(() => {
    if (opened) input.current?.focus();
  }, [opened]);
  // Whoever has scrolled up to read stays there.
  const follows = useRef(true);
  useEffect(() => {
    const place = log.current;
    if (place && follows.current) place.scrollTop = place.scrollHeight;
  }, [items, busy, opened]);
  // Whoever waits at the field for an answer is led to the question, and back when it is settled.
  const led = useRef(false);
  useEffect(() => {
    const here = panel.current?.contains(document.activeElement) ?? false;
    if (question && here && input.current?.value === '') {
      panel.current?.querySelector<HTMLElement>('[data-question]')?.focus();
      led.current = true;
    } else if (!question && led.current) {
      led.current = false;
      if (here || document.activeElement === document.body) input.current?.focus();
    }
  }, [question]);

  const send = (sentence: string) => {
    const said = sentence.trim();
    if (!said || busy) return;
    setText('');
    input.current?.focus();
    follows.current = true;
    void speak(said);
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    send(text);
  };
  const keys = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.nativeEvent.isComposing) {
      event.preventDefault();
      send(text);
    }
  };
  const scrolled = (event: UIEvent<HTMLDivElement>) => {
    const { scrollHeight, scrollTop, clientHeight } = event.currentTarget;
    follows.current = scrollHeight - scrollTop - clientHeight < NEAR;
  };
  const ideas = fitting(path);
  return (
    <div
      ref={panel}
      className="chat"
      hidden={!opened}
      onKeyDown={(event) => {
        if (event.key === 'Escape' && !event.nativeEvent.isComposing) close();
      }}
    >
      <Group justify="space-between" wrap="nowrap" className="chat-head">
        <Title order={2} size="h5">
          {t.chat.title}
        </Title>
        <Group gap={4} wrap="nowrap">
          {items.length > 0 && (
            <Button size="compact-sm" variant="subtle" color="gray" leftSection={<IconPlus size={16} aria-hidden />} onClick={() => { forget(); input.current?.focus(); }}>
              {t.chat.fresh}
            </Button>
          )}
          <ActionIcon variant="subtle" color="gray" size="lg" onClick={close} aria-label={t.chat.close}>
            <IconX {...icon} />
          </ActionIcon>
        </Group>
      </Group>
      <div ref={log} className="chat-log" role="log" aria-live="polite" aria-label={t.chat.said} tabIndex={0} onScroll={scrolled}>
        {items.length === 0 && (
          <div className="said said-usher">{changes ? t.chat.hello : t.chat.helloViewer}</div>
        )}
        {agents.data?.on === false && changes && (
          <Alert color="orange" variant="light">
            {t.chat.off}
          </Alert>
        )}
        {items.map((item, at) => (
          // Nothing is taken out of the middle, so that the place is the name.
          <Said key={at} item={item} settle={settle} undo={busy ? undefined : send} />
        ))}
        {busy && !question && (
          <Group gap="xs" className="chat-wait">
            <Loader size="xs" aria-hidden />
            <Text size="sm" c="dimmed">
              {t.chat.thinking}
            </Text>
          </Group>
        )}
      </div>
      {!busy && (
        <Group gap={6} className="chat-ideas" role="group" aria-label={t.chat.ideas}>
          {ideas.map((idea) => (
            <Button key={idea} size="compact-xs" variant="light" className="chat-idea" onClick={() => send(idea)}>
              {idea}
            </Button>
          ))}
        </Group>
      )}
      <form className="chat-form" onSubmit={submit}>
        <Textarea
          ref={input}
          className="chat-field"
          aria-label={t.chat.field}
          placeholder={t.chat.placeholder}
          rows={2}
          maxLength={LONGEST}
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
          onKeyDown={keys}
        />
        {busy ? (
          // Each its own button: one that turned into the other under the click would send what is being written.
          <ActionIcon key="stop" type="button" size="xl" variant="light" color="red" onClick={() => { end(); input.current?.focus(); }} aria-label={t.chat.stop}>
            <IconPlayerStopFilled {...icon} />
          </ActionIcon>
        ) : (
          <ActionIcon key="send" type="submit" size="xl" aria-label={t.chat.send}>
            <IconSend {...icon} />
          </ActionIcon>
        )}
      </form>
    </div>
  );
}

interface Acts {
  settle: (question: string, agree: boolean) => Promise<void>;
  undo?: (sentence: string) => void;
}

function Said({ item, settle, undo }: { item: Item } & Acts) {
  switch (item.is) {
    case 'you':
      return (
        <div className="said said-you">
          <span className="unseen">{t.chat.youSaid} </span>
          {item.text}
        </div>
      );
    case 'usher':
      return (
        <div className="said said-usher">
          <span className="unseen">{t.chat.usherSaid} </span>
          <Spoken text={here(item.text)} />
        </div>
      );
    case 'note':
      return (
        <Text size="sm" c="dimmed" ta="center">
          {item.text}
        </Text>
      );
    case 'tool':
      return (
        <div className="chat-tool">
          <IconTool size={15} aria-hidden />
          <span className="wrap">{t.chat.tool(item.name, item.times)}</span>
        </div>
      );
    case 'plan':
      return <PlanCard item={item} settle={settle} />;
    case 'applied':
      return (
        <div className="chat-tool chat-applied">
          <IconCheck size={16} aria-hidden />
          <span className="chat-grow">{t.plan.applied(item.revision)}</span>
          {undo && (
            <Button size="compact-xs" variant="subtle" leftSection={<IconArrowBackUp size={14} aria-hidden />} onClick={() => undo(`undo revision ${item.revision}`)} aria-label={t.chat.undo(item.revision)}>
              {t.plan.undo}
            </Button>
          )}
        </div>
      );
    case 'failed':
      return <Problem error={item.next ? new Refused(0, { code: 'chat', message: item.message, next: item.next }, {}) : new Error(item.message)} title={t.chat.failed} />;
  }
}

const RISK = /^plan [0-9a-f]+ +risk (low|medium|high)$/;

function PlanCard({ item, settle }: { item: Extract<Item, { is: 'plan' }> } & Pick<Acts, 'settle'>) {
  const { question, standing } = item;
  const [first = '', ...rest] = item.text.split('\n');
  const risk = RISK.exec(first)?.[1] as Risk | undefined;
  const lines = risk ? rest : item.text ? [first, ...rest] : [];
  const ask = question?.text ?? t.chat.plan;
  const sent = standing === 'sent';
  return (
    <div className="card chat-plan" role="group" aria-label={`${t.chat.plan}: ${ask}`} tabIndex={-1} data-question={question && standing === 'open' ? question.id : undefined}>
      <Group justify="space-between" gap="xs" mb={lines.length ? 6 : 0}>
        <Text fw={600} size="sm">
          {risk ? t.chat.plan : ''}
        </Text>
        {risk && <RiskBadge risk={risk} />}
      </Group>
      {lines.length > 0 && (
        <div className="chat-diff mono">
          {coloured(lines).map(([line, colour], at) => (
            <div key={at} className={colour}>
              {line}
            </div>
          ))}
        </div>
      )}
      {question && (
        <Text size="sm" mt="xs" className="wrap">
          {question.text}
        </Text>
      )}
      {question && (standing === 'open' || sent) && (
        <Group gap="xs" mt="xs">
          <Button size="xs" color={risk === 'high' ? '#c22525' : undefined} loading={sent} onClick={() => void settle(question.id, true)}>
            {risk === 'high' ? t.plan.applyHigh : t.chat.approve}
          </Button>
          <Button size="xs" variant="default" disabled={sent} onClick={() => void settle(question.id, false)}>
            {t.chat.decline}
          </Button>
        </Group>
      )}
      {standing === 'agreed' && <Badge mt="xs" color="teal" variant="light">{t.chat.agreed}</Badge>}
      {standing === 'declined' && <Badge mt="xs" color="gray" variant="light">{t.chat.declined}</Badge>}
      {standing === 'over' && <Badge mt="xs" color="gray" variant="light">{t.chat.over}</Badge>}
    </div>
  );
}

const SIGNS: Record<string, string> = { '+ ': 'is', '- ': 'was', '~ ': 'chat-object' };

/** The lines of a plan with what each is about: its own sign says it, or that of its object where that is new or goes as a whole. */
function coloured(lines: string[]): [string, string | undefined][] {
  let whole: string | undefined;
  return lines.map((line) => {
    if (line.startsWith('warning:')) return [line, 'chat-warning'];
    const own = SIGNS[line.trimStart().slice(0, 2)];
    if (!line.startsWith(' ')) whole = own === 'chat-object' ? undefined : own;
    return [line, own ?? whole];
  });
}
