// An object as text, in JSON or YAML, and the place of a field in it.

import { isMap, isNode, isScalar, LineCounter, parseDocument, stringify } from 'yaml';

import type { Members } from './api';

export type Language = 'json' | 'yaml';

export const written = (value: Members, language: Language) =>
  language === 'json' ? `${JSON.stringify(value, null, 2)}\n` : stringify(value, { lineWidth: 0 });

export interface Read {
  value?: Members;
  problem?: { message: string; from: number; to: number };
}

/** Reads a text; JSON is read by YAML's reader too, which says where it stopped understanding. */
export const readText = (text: string, language: Language): Read => {
  if (language === 'json') {
    try {
      return member(JSON.parse(text), text);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      const at = /position (\d+)/.exec(message);
      const from = at ? Number(at[1]) : 0;
      return { problem: { message, from, to: Math.min(from + 1, text.length) } };
    }
  }
  const document = parseDocument(text, { lineCounter: new LineCounter(), maxAliasCount: 100 } as never);
  const error = document.errors[0];
  if (error) return { problem: { message: error.message, from: error.pos[0], to: error.pos[1] } };
  try {
    return member(document.toJS({ maxAliasCount: 100 }), text);
  } catch (failure) {
    return { problem: { message: String(failure), from: 0, to: text.length } };
  }
};

const member = (value: unknown, text: string): Read =>
  value !== null && typeof value === 'object' && !Array.isArray(value)
    ? { value: value as Members }
    : { problem: { message: 'an object is wanted here: members by their names', from: 0, to: text.length } };

/** Where in a text a field stands that is named by a JSON pointer. */
export const placeOf = (text: string, pointer: string): { from: number; to: number } => {
  const steps = pointer
    .split('/')
    .filter((step) => step !== '')
    .map((step) => step.replace(/~1/g, '/').replace(/~0/g, '~'));
  const document = parseDocument(text);
  let node: unknown = document.contents;
  let range: readonly number[] | null | undefined;
  for (const step of steps) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === step);
      if (!pair) break;
      if (isScalar(pair.key)) range = pair.key.range;
      node = pair.value;
    } else if (isNode(node) && 'items' in node) {
      node = (node as { items: unknown[] }).items[Number(step)];
      if (isNode(node)) range = node.range;
    } else break;
  }
  return range ? { from: range[0] ?? 0, to: Math.max(range[1] ?? 0, (range[0] ?? 0) + 1) } : { from: 0, to: Math.min(1, text.length) };
};
