// Secrets made here: in the browser, by its own source of randomness, so that nobody else has seen one before it is shown.

import type { Json, Members } from './api';
import type { Shape } from './schema';

/** 192 random bits in 32 letters, digits, - and _. */
export const random = () => {
  const bytes = crypto.getRandomValues(new Uint8Array(24));
  return btoa(String.fromCharCode(...bytes)).replace(/\+/g, '-').replace(/\//g, '_');
};

/** What somebody has to copy now. */
export interface Written {
  plugin: string;
  values: [string, string][];
  revision: number;
}

/** The members of a shape that are secrets. */
export const secretsIn = (shape: Shape): string[] => (shape.members ?? []).filter(([, inner]) => inner.secret).map(([name]) => name);

/** Secrets in the plugins of an object that are other than before, by plugin, with what one shows beside them; nothing where there is none. */
export const secretsPut = (value: Members, before: Members, shapeFor: (plugin: string) => Shape | undefined, revision: number): Written[] | undefined => {
  const settings = (of: Members) => (of.plugins ?? {}) as Record<string, Members>;
  const found: Written[] = [];
  for (const [plugin, now] of Object.entries(settings(value))) {
    const shape = shapeFor(plugin);
    const was = settings(before)[plugin] ?? {};
    const secrets = (shape ? secretsIn(shape) : []).filter((name) => typeof now[name] === 'string' && now[name] !== '' && now[name] !== was[name]);
    if (!shape || secrets.length === 0) continue;
    const shown = (shape.members ?? []).filter(([name, , required]) => secrets.includes(name) || (required && typeof now[name] === 'string' && !secretsIn(shape).includes(name)));
    found.push({ plugin, values: shown.map(([name]) => [name, String(now[name])]), revision });
  }
  return found.length > 0 ? found : undefined;
};

/** What a new credential of a plugin begins with: secrets made, names taken from the consumer. */
export const begun = (shape: Shape, plugin: string, consumer: string, nth: number): Members => {
  const name = nth > 1 ? `${consumer}-${nth}` : consumer;
  const value: Record<string, Json> = {};
  for (const [member, inner, required] of shape.members ?? []) {
    // The secret of a JWT isn't required, because some are signed by keys; it is what one begins with.
    if (inner.secret && (required || plugin === 'jwt-auth')) value[member] = random();
    else if (required && inner.kind === 'text') value[member] = name;
  }
  return value;
};
