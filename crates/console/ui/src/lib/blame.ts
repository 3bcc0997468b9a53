// Which field a refusal is about: its own pointer, and behind that the properties that its sentence walks through.

import type { Refused } from './api';
import type { Shape } from './schema';

const STEP = /^(?:property "((?:[^"\\]|\\.)*)" validation failed: |failed to validate item (\d+): )/;

/** The path in a sentence such as `property "a" validation failed: property "b" validation failed: …`; empty where it walks nowhere. */
export const walked = (sentence: string): string => {
  const start = sentence.search(/property "|failed to validate item \d/);
  let rest = start < 0 ? '' : sentence.slice(start);
  let path = '';
  for (let step = STEP.exec(rest); step; step = STEP.exec(rest)) {
    // Items are counted from 1 there, and from 0 in a pointer.
    path += step[1] === undefined ? `/${Number(step[2]) - 1}` : `/${step[1].replace(/~/g, '~0').replace(/\//g, '~1')}`;
    rest = rest.slice(step[0].length);
  }
  return path;
};

/** The place of a refusal inside of an object, as a JSON pointer; nothing where it names none. */
export const placeIn = (refused: Refused): string | undefined => {
  const field = refused.cause.field?.replace(/^\/changes\/\d+/, '').replace(/^\/value/, '');
  if (field === undefined) return undefined;
  // What lies inside of a plugin's settings is named by Usher itself.
  if (/^\/plugins\/[^/]+\/./.test(field)) return field;
  const path = walked(refused.message);
  // What the pointer names already isn't named twice.
  const already = field.length > 0 && `${path}/`.startsWith(`${field}/`);
  const rest = already ? path.slice(field.length) : /^\/(plugins|credential_schema|metadata)\b/.test(field) || field === '' ? path : '';
  return field + rest;
};

/** What is said at that place: the hint, where the sentence speaks of the whole. */
export const saidThere = (refused: Refused): string => refused.cause.hint ?? refused.message;

/** The member of a form that a sentence speaks of, where no place below it is named. */
export const spokenOf = (errors: Record<string, string>, shape: Shape): Record<string, string> => {
  const whole = errors[''];
  if (whole === undefined) return errors;
  const said = (shape.members ?? []).map(([name]) => name).find((name) => new RegExp(`(^|[^\\w.-])${name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}([^\\w-]|$)`).test(whole.replace(/^.*? err: /, '')));
  return said === undefined ? errors : { ...errors, [`/${said}`]: whole };
};
