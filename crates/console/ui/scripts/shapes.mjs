// Makes the types of what Usher asks for and answers of its OpenAPI document, so that a page can't expect a member that there isn't.
// `npm run shapes` writes src/lib/shapes.ts; `npm run shapes -- --check` only says whether it is as the document wants it. It is written here
// because the generators that there are need an older TypeScript beside the one that checks the console.

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

import { parse } from 'yaml';

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const FROM = here('../../../../docs/openapi/usher-v1.yaml');
const TO = here('../src/lib/shapes.ts');

const { components } = parse(readFileSync(FROM, 'utf8'), { maxAliasCount: -1 });

const name = (text) => (/^[A-Za-z_$][\w$]*$/.test(text) ? text : JSON.stringify(text));
const union = (types) => [...new Set(types)].join(' | ') || 'never';
const wrapped = (type) => (/[|&]/.test(type) ? `(${type})` : type);

/** The type of a schema, written at a depth. */
const typeOf = (schema, depth) => {
  if (schema === true || schema === undefined) return 'Json';
  if (schema.$ref) return schema.$ref.split('/').pop();
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return union(schema.enum.map((value) => JSON.stringify(value)));
  for (const word of ['anyOf', 'oneOf']) if (schema[word]) return union(schema[word].map((one) => typeOf(one, depth)));
  if (schema.allOf) return schema.allOf.map((one) => wrapped(typeOf(one, depth))).join(' & ');
  if (Array.isArray(schema.type)) return union(schema.type.map((type) => typeOf({ ...schema, type }, depth)));
  switch (schema.type) {
    case 'string':
      return 'string';
    case 'integer':
    case 'number':
      return 'number';
    case 'boolean':
      return 'boolean';
    case 'null':
      return 'null';
    case 'array':
      if (schema.prefixItems) return `[${schema.prefixItems.map((item) => typeOf(item, depth)).join(', ')}]`;
      return `${wrapped(typeOf(schema.items, depth))}[]`;
    case 'object':
      if (schema.properties) return members(schema, depth);
      return `Record<string, ${schema.additionalProperties ? typeOf(schema.additionalProperties, depth) : 'Json'}>`;
    default:
      return 'Json';
  }
};

const said = (text, indent) => (text ? `${indent}/** ${text.replace(/\s*\n\s*/g, ' ').replace(/\*\//g, '*')} */\n` : '');

const members = (schema, depth) => {
  const indent = '  '.repeat(depth + 1);
  const lines = Object.entries(schema.properties).map(([key, one]) => {
    const optional = (schema.required ?? []).includes(key) ? '' : '?';
    return `${said(one.description, indent)}${indent}${name(key)}${optional}: ${typeOf(one, depth + 1)};\n`;
  });
  return `{\n${lines.join('')}${'  '.repeat(depth)}}`;
};

const shapes = Object.entries(components.schemas)
  .map(([key, schema]) => `${said(schema.description, '')}export type ${key} = ${typeOf(schema, 0)};\n`)
  .join('\n');
const text = `// Made of docs/openapi/usher-v1.yaml by \`npm run shapes\`; not written by hand.\n\nimport type { Json } from './api';\n\n${shapes}`;

if (process.argv.includes('--check')) {
  if (readFileSync(TO, 'utf8') !== text) {
    console.error('src/lib/shapes.ts is old: npm run shapes in crates/console/ui');
    process.exit(1);
  }
} else writeFileSync(TO, text);
