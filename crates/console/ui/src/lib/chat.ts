// A conversation with the built-in chat: what was said, as a list that events add to, and the stream that they come by.

import { ask, call, post, Refused, step } from './api';
import { t } from '../texts';

export type Event =
  | { event: 'conversation'; id: string }
  | { event: 'asked'; text: string }
  | { event: 'said'; text: string }
  | { event: 'plan'; text: string }
  | { event: 'question'; id: string; text: string }
  | { event: 'answered'; id: string; agree: boolean }
  | { event: 'applied'; revision: number }
  | { event: 'tool'; name: string }
  | { event: 'ended'; done: boolean; error?: string };

/** How a question stands; `shown` is a plan that is asked about further below. */
export type Standing = 'open' | 'sent' | 'agreed' | 'declined' | 'over' | 'shown';

export type Item =
  | { is: 'you' | 'usher' | 'note'; text: string }
  | { is: 'tool'; name: string; times: number }
  | { is: 'plan'; text: string; question?: { id: string; text: string }; standing: Standing }
  | { is: 'applied'; revision: number }
  | { is: 'failed'; message: string; next?: string };

/** Characters of a sentence, as Usher bounds them. */
export const LONGEST = 4_000;
/** Things that a conversation shows; older ones go. */
const MOST = 400;
/** How often a conversation that is still at work is asked again, and after how many milliseconds. */
const AGAIN = 6;
const PAUSE = 400;
/** Characters of one event that are waited for. */
const MOST_WAITING = 4_000_000;

/** The question about a plan, as Usher asks it. */
const APPLIES = /^Apply this plan/;

/** The items after one more event. */
export function told(items: Item[], event: Event): Item[] {
  const last = items[items.length - 1];
  switch (event.event) {
    case 'asked':
      return more(items, { is: 'you', text: event.text });
    case 'answered':
      return stand(items, event.id, event.agree ? 'agreed' : 'declined');
    case 'said':
      return event.text.trim() ? more(items, { is: 'usher', text: event.text }) : items;
    case 'plan':
      return more(items, { is: 'plan', text: event.text, standing: 'open' });
    case 'question': {
      const question = { id: event.id, text: event.text };
      if (last?.is === 'plan' && !last.question) return [...items.slice(0, -1), { ...last, question }];
      // A model may do other things between its plan and the question about it; the plan is shown again where it is asked about.
      const at = APPLIES.test(event.text) ? items.findLastIndex((item) => item.is === 'plan' && !item.question && item.standing === 'open') : -1;
      const plan = items[at];
      if (plan?.is === 'plan') return more(items.with(at, { ...plan, standing: 'shown' }), { ...plan, question });
      // A question without a plan is one about a request that a model wants to send.
      return more(items, { is: 'plan', text: '', question, standing: 'open' });
    }
    case 'applied':
      return more(items, { is: 'applied', revision: event.revision });
    case 'tool':
      if (last?.is === 'tool' && last.name === event.name) return [...items.slice(0, -1), { ...last, times: last.times + 1 }];
      return more(items, { is: 'tool', name: event.name, times: 1 });
    case 'ended':
      return event.error ? more(closed(items), { is: 'failed', message: event.error }) : closed(items);
    default:
      return items;
  }
}

export const more = (items: Item[], item: Item): Item[] => [...items.slice(-MOST), item];

/** The same, with no question open: nobody waits for an answer any more. */
export const closed = (items: Item[]): Item[] =>
  items.map((item) => (item.is === 'plan' && (item.standing === 'open' || item.standing === 'sent') ? { ...item, standing: 'over' } : item));

export const stand = (items: Item[], id: string, standing: Standing): Item[] =>
  items.map((item) => (item.is === 'plan' && item.question?.id === id ? { ...item, standing } : item));

export const answer = (question: string, agree: boolean) => post<{ agreed: boolean }>('/chat/answers', { question, agree });

/** Says a sentence; `hear` is called with each event. It returns at the end of the stream, and throws where that came too early. */
export async function say(sentence: string, conversation: string | undefined, signal: AbortSignal, hear: (event: Event) => void): Promise<void> {
  await follow(await open(sentence, conversation, signal), signal, hear);
}

/** All that Usher remembers of a conversation, and what happens further in it. */
export async function comeBack(conversation: string, signal: AbortSignal, hear: (event: Event) => void): Promise<void> {
  await follow(await ask('GET', `/chat/conversations/${step(conversation)}`, { signal }), signal, hear, true);
}

/** Ends the sentence that is worked on; what is asked is a no. */
export const stop = (conversation: string) => call('DELETE', `/chat/conversations/${step(conversation)}`);

/** The events of an answer; `idle`: it may have none that ends it, where nothing is worked on. */
async function follow(response: Response, signal: AbortSignal, hear: (event: Event) => void, idle = false): Promise<void> {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) throw new Refused(0, { code: 'broke_off', message: t.chat.brokeOff, next: t.chat.brokeOffNext }, {});
  let waiting = '';
  let ended = false;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done || waiting.length > MOST_WAITING) break;
      const events = (waiting + value).split('\n\n');
      waiting = events.pop() ?? '';
      for (const event of events.map(read)) {
        if (!event) continue;
        ended ||= event.event === 'ended';
        hear(event);
      }
    }
  } catch (error) {
    // What breaks off is said below, unless it was stopped.
    if (signal.aborted) throw error;
  }
  if (!ended && !idle) throw new Refused(0, { code: 'broke_off', message: t.chat.brokeOff, next: t.chat.brokeOffNext }, {});
}

async function open(sentence: string, conversation: string | undefined, signal: AbortSignal): Promise<Response> {
  for (let tries = 1; ; tries += 1) {
    try {
      return await ask('POST', '/chat', { body: conversation ? { sentence, conversation } : { sentence }, signal });
    } catch (error) {
      // A sentence that was stopped takes a moment to end.
      const busy = error instanceof Refused && error.status === 409;
      if (!busy || tries === AGAIN) throw error;
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
      signal.throwIfAborted();
    }
  }
}

function read(text: string): Event | undefined {
  const data = text
    .split('\n')
    .filter((line) => line.startsWith('data:'))
    .map((line) => line.slice(5).trimStart())
    .join('\n');
  try {
    return data ? (JSON.parse(data) as Event) : undefined;
  } catch {
    return undefined;
  }
}

/** Which conversation this tab is in: its name alone, for as long as the tab is there. What was said stays with Usher, who tells it to nobody else. */
const PLACE = 'usher-conversation';
export const kept = {
  get: () => sessionStorage.getItem(PLACE) ?? undefined,
  set: (conversation: string | undefined) => (conversation ? sessionStorage.setItem(PLACE, conversation) : sessionStorage.removeItem(PLACE)),
};

/** Whether the chat stands open in this tab. */
const OPEN = 'usher-chat-open';
export const opened = {
  get: () => sessionStorage.getItem(OPEN) === '1',
  set: (is: boolean) => (is ? sessionStorage.setItem(OPEN, '1') : sessionStorage.removeItem(OPEN)),
};

/** What one may want to ask on a page, in sentences that need no model. */
export function fitting(path: string): string[] {
  const [, first, kind, id] = path.split('/').map(decodeURIComponent);
  if (first === 'objects' && id && WORDS[kind ?? '']) return [`describe ${WORDS[kind ?? '']} ${id}`, ...(kind === 'routes' ? [`show the last 20 requests of route ${id}`] : [])];
  if (first === 'objects' && kind === 'routes') return ['show all routes', 'which routes need a key?'];
  if (first === 'objects' && kind === 'upstreams') return ['list upstreams', 'which backends are down, and what depends on them?'];
  if (first === 'objects' && kind === 'consumers') return ['show consumers', 'who is rate limited?'];
  if (first === 'requests') return ['show the last failed requests', 'what is slow?'];
  if (first === 'history') return ['what changed?', 'undo that'];
  if (first === 'plugins') return [kind ? `help ${kind}` : 'show plugins'];
  return ['show all routes', 'how is the gateway?', 'what changed?', 'help'];
}

const WORDS: Record<string, string> = { routes: 'route', services: 'service', upstreams: 'upstream', consumers: 'consumer' };
