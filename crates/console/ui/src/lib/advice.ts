// What a schema says of an object as text, while it is written: which members and values fit at a place, and which don't. It only advises; what is
// right, Usher decides.

import { isMap, isPair, isScalar, isSeq, parseDocument } from 'yaml';

import type { Json, Members } from './api';
import { bare, members, type Schema, typeOf } from './schema';
import type { Language } from './source';

export interface Sources {
  schema: Schema;
  /** The names of all plugins. */
  plugins: { name: string; summary: string }[];
  /** The schema of a plugin's settings, where it is known already. */
  plugin: (name: string) => Schema | undefined;
}

export interface Offer {
  from: number;
  to: number;
  options: { label: string; detail?: string; info?: string; apply: string; type: 'property' | 'enum' }[];
}

type Path = (string | number)[];

/** One way in which a value may be written, with the document that its references are in. */
interface Form {
  schema: Schema;
  root: Schema;
}

/** Alternatives that are looked at, at one place. */
const MOST_FORMS = 24;
/** Remarks on one text. */
const MOST_REMARKS = 20;
const LONGEST_TEXT = 100_000;

const formsOf = ({ schema, root }: Form): Form[] => {
  const here = bare(schema, root);
  const several = [here.anyOf, here.oneOf].find(Array.isArray);
  const others = (several ?? []).map((one) => ({ schema: bare(members(one), root), root })).filter((form) => form.schema.type !== undefined || form.schema.properties !== undefined || form.schema.enum !== undefined);
  return [{ schema: here, root }, ...others].slice(0, MOST_FORMS);
};

const formsAt = (path: Path, sources: Sources): Form[] => {
  let forms = formsOf({ schema: sources.schema, root: sources.schema });
  for (const [at, step] of path.entries()) {
    const above = path[at - 1];
    if (at === 1 && above === 'plugins' && typeof step === 'string') {
      const found = sources.plugin(step);
      forms = found ? formsOf({ schema: found, root: found }) : [];
      continue;
    }
    forms = forms
      .flatMap(({ schema, root }): Form[] => {
        if (typeof step === 'number') return [{ schema: members(schema.items), root }];
        const named = members(schema.properties)[step];
        const rest = named ?? Object.values(members(schema.patternProperties))[0] ?? schema.additionalProperties;
        return rest && typeof rest === 'object' ? [{ schema: members(rest), root }] : [];
      })
      .flatMap(formsOf)
      .slice(0, MOST_FORMS);
  }
  return forms;
};

// ---- what fits at a place

const MARK = 'uSHErHere';

/** Where the mark stands in a text: the members above it, and whether it is a name itself. */
const placeOfMark = (text: string): { path: Path; key: boolean; siblings: string[] } | undefined => {
  const look = (node: unknown, path: Path): { path: Path; key: boolean; siblings: string[] } | undefined => {
    if (isScalar(node)) return node.value === MARK ? { path, key: false, siblings: [] } : undefined;
    if (isSeq(node)) {
      for (const [at, item] of node.items.entries()) {
        const found = look(item, [...path, at]);
        if (found) return found;
      }
    }
    if (isMap(node)) {
      const names = node.items.map((pair) => (isScalar(pair.key) ? String(pair.key.value) : ''));
      for (const pair of node.items) {
        if (!isPair(pair) || !isScalar(pair.key)) continue;
        const name = String(pair.key.value);
        if (name === MARK) return { path, key: true, siblings: names };
        const found = look(pair.value, [...path, name]);
        if (found) return found;
      }
    }
    return undefined;
  };
  return look(parseDocument(text, { maxAliasCount: 0 } as never).contents, []);
};

const namesFor = (path: Path, siblings: string[], sources: Sources) => {
  if (path.length === 1 && path[0] === 'plugins') {
    return sources.plugins.filter(({ name }) => !siblings.includes(name)).map(({ name, summary }) => ({ label: name, info: summary, detail: '' }));
  }
  const seen = new Map<string, { label: string; info?: string; detail: string }>();
  for (const { schema, root } of formsAt(path, sources)) {
    const needed = Array.isArray(schema.required) ? schema.required : [];
    for (const [name, one] of Object.entries(members(schema.properties))) {
      if (siblings.includes(name) || seen.has(name)) continue;
      const here = bare(members(one), root);
      const detail = [needed.includes(name) ? 'required' : '', typeOf(here) ?? ''].filter(Boolean).join(', ');
      seen.set(name, { label: name, info: typeof here.description === 'string' ? here.description : undefined, detail });
    }
  }
  return [...seen.values()];
};

const valuesFor = (path: Path, sources: Sources): Json[] => {
  const found = formsAt(path, sources).flatMap(({ schema }): Json[] => {
    if (Array.isArray(schema.enum)) return schema.enum;
    if (schema.const !== undefined) return [schema.const];
    if (typeOf(schema) === 'boolean') return [true, false];
    return schema.default !== undefined && schema.default !== null && typeof schema.default !== 'object' ? [schema.default] : [];
  });
  return [...new Set(found)];
};

/** What may stand where one types; nothing where that isn't known. */
export const offer = (text: string, at: number, language: Language, sources: Sources): Offer | undefined => {
  if (text.length > LONGEST_TEXT) return undefined;
  const word = /[\w.-]*$/.exec(text.slice(0, at))?.[0] ?? '';
  const json = language === 'json';
  const quoted = text[at - word.length - 1] === '"';
  // What is typed is matched without the quote before it.
  const from = at - word.length;
  const to = quoted && text[at] === '"' ? at + 1 : at;
  const before = text.slice(0, quoted ? from - 1 : from);
  const open = (written: string) => (quoted ? written.slice(1) : written);
  const after = text.slice(to);
  const line = before.slice(before.lastIndexOf('\n') + 1);
  const last = before.trimEnd().slice(-1);
  const flow = json || /[{[,]\s*$/.test(line);
  const isName = flow ? last === '{' || last === ',' : /^\s*(- +)*$/.test(line);
  const comma = flow && /^\s*["\w]/.test(after) ? ',' : '';
  if (isName) {
    const place = placeOfMark(`${before}${json ? `"${MARK}"` : MARK}: null${comma}${after}`);
    const names = place?.key ? namesFor(place.path, place.siblings, sources) : [];
    const tail = /^\s*:/.test(after) ? '' : ': ';
    if (names.length > 0) {
      return { from, to, options: names.map(({ label, info, detail }) => ({ label, info, detail, type: 'property', apply: `${json || quoted ? open(`"${label}"`) : label}${tail}` })) };
    }
  }
  const place = placeOfMark(`${before}${json ? `"${MARK}"` : MARK}${comma}${after}`);
  const fitting = place && !place.key ? valuesFor(place.path, sources) : [];
  const values = quoted ? fitting.filter((value) => typeof value === 'string') : fitting;
  if (values.length === 0) return undefined;
  return { from, to, options: values.map((value) => ({ label: String(value), type: 'enum', apply: json || quoted ? open(JSON.stringify(value)) : String(value) })) };
};

// ---- what doesn't fit

export interface Remark {
  /** As a JSON pointer. */
  place: string;
  message: string;
}

const WORDS: Record<string, string> = { string: 'text', integer: 'a whole number', number: 'a number', boolean: 'true or false', array: 'a list', object: 'members by their names' };

const is = (value: Json, type: string) => {
  switch (type) {
    case 'integer':
      return Number.isInteger(value);
    case 'array':
      return Array.isArray(value);
    case 'null':
      return value === null;
    case 'object':
      return value !== null && typeof value === 'object' && !Array.isArray(value);
    default:
      return typeof value === type;
  }
};

const shown = (value: Json) => {
  const text = JSON.stringify(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
};

const within = (place: string, name: string | number) => `${place}/${String(name).replace(/~/g, '~0').replace(/\//g, '~1')}`;

function walk(value: Json, schema: Schema, root: Schema, place: string, told: Remark[]): void {
  if (told.length >= MOST_REMARKS) return;
  const here = bare(schema, root);
  // What may be written in several ways, or is kept secret, isn't judged here.
  if (here['x-secret'] === true || (here.properties === undefined && (Array.isArray(here.anyOf) || Array.isArray(here.oneOf)))) return;
  const say = (message: string, at = place) => told.push({ place: at, message });
  const types = (Array.isArray(here.type) ? here.type : here.type === undefined ? [] : [here.type]).map(String);
  if (types.length > 0 && !types.some((type) => is(value, type))) {
    say(`${types.filter((type) => type !== 'null').map((type) => WORDS[type] ?? type).join(' or ')} is wanted here, not ${shown(value)}`);
    return;
  }
  if (Array.isArray(here.enum) && !here.enum.some((one) => JSON.stringify(one) === JSON.stringify(value))) {
    say(`one of ${here.enum.map((one) => String(one)).join(', ')} is wanted here, not ${shown(value)}`);
    return;
  }
  if (typeof value === 'number') {
    if (typeof here.minimum === 'number' && value < here.minimum) say(`at least ${here.minimum} is wanted here`);
    if (typeof here.exclusiveMinimum === 'number' && value <= here.exclusiveMinimum) say(`more than ${here.exclusiveMinimum} is wanted here`);
    if (typeof here.maximum === 'number' && value > here.maximum) say(`at most ${here.maximum} is wanted here`);
  } else if (typeof value === 'string') {
    if (typeof here.minLength === 'number' && value.length < here.minLength) say(here.minLength === 1 ? 'it may not be empty' : `at least ${here.minLength} characters are wanted here`);
    if (typeof here.maxLength === 'number' && value.length > here.maxLength) say(`at most ${here.maxLength} characters are wanted here`);
  } else if (Array.isArray(value)) {
    if (typeof here.minItems === 'number' && value.length < here.minItems) say(`at least ${here.minItems} ${here.minItems === 1 ? 'entry is' : 'entries are'} wanted here`);
    value.forEach((one, at) => walk(one, members(here.items), root, within(place, at), told));
  } else if (value !== null && typeof value === 'object') {
    const properties = members(here.properties);
    for (const name of Array.isArray(here.required) ? here.required : []) {
      if (value[String(name)] === undefined) say(`the member ${String(name)} is missing`);
    }
    for (const [name, one] of Object.entries(value)) {
      const known = properties[name];
      const other = Object.values(members(here.patternProperties))[0] ?? here.additionalProperties;
      if (known) walk(one, members(known), root, within(place, name), told);
      else if (other === false) say(`the member ${name} is not known here`, within(place, name));
      else if (other && typeof other === 'object') walk(one, members(other), root, within(place, name), told);
    }
  }
}

/** What of a value doesn't fit its schema, as far as that is certain. */
export const remarks = (value: Members, sources: Sources): Remark[] => {
  const told: Remark[] = [];
  const { plugins, ...rest } = value;
  walk(rest, sources.schema, sources.schema, '', told);
  // Plugins are judged by their own schemas; that they aren't here doesn't mean that they are missing.
  const found = told.filter((remark) => !(remark.place === '' && remark.message === 'the member plugins is missing' && plugins !== undefined));
  for (const [name, settings] of Object.entries(members(plugins))) {
    const place = within('/plugins', name);
    const schema = sources.plugin(name);
    if (!sources.plugins.some((plugin) => plugin.name === name)) found.push({ place, message: `there is no plugin ${name}` });
    else if (schema) walk(members(settings)._meta === undefined ? settings : without(members(settings)), schema, schema, place, found);
  }
  return found.slice(0, MOST_REMARKS);
};

const without = ({ _meta, ...rest }: Members): Members => rest;
