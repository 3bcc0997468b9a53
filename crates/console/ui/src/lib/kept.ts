// A form writes back what was changed in it, in the shape in which it was stored: a path stays `uri`, and nodes by their names stay that.

import type { Json, Members } from './api';
import type { Node } from './kinds';

/** Members that are written as one text or as a list of them; the form shows the list. */
const ONE_OR_SEVERAL = [['uri', 'uris'], ['host', 'hosts']] as const;

/** An object as the form shows it: a single path or host in the field for several. */
export const asShown = (value: Members, fields: string[]): Members => {
  let next = value;
  for (const [one, several] of ONE_OR_SEVERAL) {
    if (fields.includes(several) && typeof next[one] === 'string' && next[several] === undefined) {
      next = renamed(next, one, several, [next[one]]);
    }
  }
  return next;
};

/** The way back: what the form made of `stored`, where a single path or host is written as it was. */
export const asStored = (shown: Members, stored: Members, fields: string[]): Members => {
  let next = shown;
  for (const [one, several] of ONE_OR_SEVERAL) {
    if (!fields.includes(several) || typeof stored[one] !== 'string' || stored[several] !== undefined) continue;
    const list = next[several];
    if (Array.isArray(list) && list.length === 1 && typeof list[0] === 'string') next = renamed(next, several, one, list[0]);
  }
  return next;
};

/** The same members in the same order, one of them by another name and value. */
const renamed = (value: Members, from: string, to: string, put: Json): Members => Object.fromEntries(Object.entries(value).map(([name, one]) => (name === from ? [to, put] : [name, one])));

export const isByName = (nodes: Json | undefined) => nodes !== null && typeof nodes === 'object' && !Array.isArray(nodes);

/** Nodes as `{"host:port": weight}`; none where that can't say what they are. */
const byName = (nodes: Node[]): Json | undefined => {
  const found: Members = {};
  for (const { host, port, weight, ...more } of nodes) {
    const name = port === undefined ? host : `${host}:${port ?? ''}`;
    // A name of digits alone would change its place among the others.
    if (name in found || /^\d+$/.test(name) || Object.values(more).some((one) => one !== undefined)) return undefined;
    found[name] = weight;
  }
  return found;
};

/** Nodes in the shape that they had, as long as it can say what they are. */
export const nodesLike = (nodes: Node[], named: boolean): Json => (named ? byName(nodes) : undefined) ?? (nodes as unknown as Json);
