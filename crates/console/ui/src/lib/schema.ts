// A JSON schema as a form needs it: one shape for each member, references followed, null left out.

import type { Json, Members } from './api';

export type Schema = Members;

export interface Shape {
  kind: 'text' | 'number' | 'whole' | 'truth' | 'choice' | 'texts' | 'pairs' | 'members' | 'any';
  title?: string;
  about?: string;
  usual?: Json;
  choices?: string[];
  least?: number;
  most?: number;
  secret?: boolean;
  /** A number is taken too, and is one where only digits are written. */
  counts?: boolean;
  long?: boolean;
  members?: [string, Shape, boolean][];
}

const DEEP = 4;

export const members = (value: unknown): Members => (value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as Members) : {});

const follow = (schema: Schema, root: Schema): Schema => {
  let here = schema;
  for (let step = 0; step < 8 && typeof here.$ref === 'string'; step += 1) {
    let found: unknown = root;
    for (const name of here.$ref.replace(/^#\/?/, '').split('/').filter(Boolean)) found = members(found)[name];
    const { $ref: _, ...rest } = here;
    here = { ...members(found), ...rest };
  }
  return here;
};

/** A schema without the null that an optional member may be. */
export const bare = (schema: Schema, root: Schema): Schema => {
  const here = follow(schema, root);
  // Where members are named, the rest says how they go together.
  if (here.properties !== undefined) return here;
  for (const word of ['anyOf', 'oneOf'] as const) {
    const several = here[word];
    if (!Array.isArray(several)) continue;
    const real = several.map((one) => follow(members(one), root)).filter((one) => one.type !== 'null');
    const [only] = real;
    if (real.length === 1 && only) {
      const { [word]: _, ...rest } = here;
      return bare({ ...only, ...rest }, root);
    }
    // Each a constant: a choice whose values are described.
    if (real.length > 0 && real.every((one) => typeof one.const === 'string' || (Array.isArray(one.enum) && one.enum.every((value) => typeof value === 'string')))) {
      const values = real.flatMap((one) => (typeof one.const === 'string' ? [one.const] : (one.enum as Json[])));
      const { [word]: _, ...rest } = here;
      return { ...rest, enum: values, type: 'string' };
    }
  }
  if (Array.isArray(here.allOf) && here.allOf.length === 1 && here.type === undefined) {
    const { allOf, ...rest } = here;
    return bare({ ...members((allOf as Json[])[0]), ...rest }, root);
  }
  return here;
};

export const typeOf = (schema: Schema): string | undefined => {
  if (typeof schema.type === 'string') return schema.type;
  if (Array.isArray(schema.type)) {
    const real = schema.type.filter((type) => type !== 'null');
    return real.length === 1 ? String(real[0]) : undefined;
  }
  return undefined;
};

const number = (value: unknown) => (typeof value === 'number' ? value : undefined);

export const shapeOf = (schema: Schema, root: Schema, depth = 0): Shape => {
  const here = bare(schema, root);
  const shape: Shape = {
    kind: 'any',
    title: typeof here.title === 'string' ? here.title : undefined,
    about: typeof here.description === 'string' ? here.description : undefined,
    usual: here.default,
  };
  const type = typeOf(here);
  if (Array.isArray(here.enum) && here.enum.every((value) => typeof value === 'string')) {
    return { ...shape, kind: 'choice', choices: here.enum as string[] };
  }
  const several = here.anyOf ?? here.oneOf;
  if (here.properties === undefined && Array.isArray(several)) {
    // An id may be a number; it is written as text all the same.
    const types = several.map((one) => typeOf(follow(members(one), root)));
    const plain = types.every((type) => ['string', 'integer', 'number', 'null'].includes(String(type)));
    const counts = types.some((type) => type === 'integer' || type === 'number');
    return plain ? { ...shape, kind: 'text', counts } : shape;
  }
  if (here.enum !== undefined) return shape;
  switch (type) {
    case 'string':
      return { ...shape, kind: 'text', secret: here['x-secret'] === true, long: /pem|script|template/i.test(`${shape.about ?? ''}`) };
    case 'boolean':
      return { ...shape, kind: 'truth' };
    case 'integer':
      return { ...shape, kind: 'whole', least: number(here.minimum), most: number(here.maximum) };
    case 'number':
      return { ...shape, kind: 'number', least: number(here.minimum), most: number(here.maximum) };
    case 'array': {
      const item = bare(members(here.items), root);
      const plain = typeOf(item) === 'string' && item['x-secret'] !== true;
      return plain ? { ...shape, kind: 'texts', choices: Array.isArray(item.enum) ? (item.enum as string[]) : undefined } : shape;
    }
    case 'object':
    case undefined: {
      const properties = Object.entries(members(here.properties)).filter(([name]) => name !== '_meta');
      if (properties.length > 0 && depth < DEEP) {
        const required = Array.isArray(here.required) ? here.required : [];
        return {
          ...shape,
          kind: 'members',
          members: properties.map(([name, one]) => [name, shapeOf(members(one), root, depth + 1), required.includes(name)]),
        };
      }
      const values = here.additionalProperties ?? Object.values(members(here.patternProperties))[0];
      if (type === 'object' && values && typeOf(bare(members(values), root)) === 'string') return { ...shape, kind: 'pairs' };
      return shape;
    }
    default:
      return shape;
  }
};
