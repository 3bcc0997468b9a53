// What an OpenAPI document says, as far as one looks at it before it is planned. What becomes of it, Usher decides.

import { parseDocument } from 'yaml';

import type { Members } from './api';

export interface Api {
  title: string;
  version: string;
  /** The first server that has a host. */
  server?: string;
  paths: number;
  operations: number;
}

export type Read = { api: Api } | { problem: string };

const METHODS = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'];

const members = (value: unknown): Members => (value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as Members) : {});

const serverOf = (document: Members): string | undefined => {
  if (typeof document.host === 'string') return `${Array.isArray(document.schemes) ? String(document.schemes[0]) : 'http'}://${document.host}${typeof document.basePath === 'string' ? document.basePath : ''}`;
  const urls = (Array.isArray(document.servers) ? document.servers : []).map((server) => members(server).url);
  return urls.find((url): url is string => typeof url === 'string' && /^https?:\/\//.test(url));
};

/** Reads a document in JSON or YAML. */
export const readApi = (text: string): Read => {
  let document: Members;
  try {
    const parsed = parseDocument(text, { maxAliasCount: 100 } as never);
    const [error] = parsed.errors;
    if (error) return { problem: error.message };
    document = members(parsed.toJS({ maxAliasCount: 100 }));
  } catch (failure) {
    return { problem: String(failure) };
  }
  const info = members(document.info);
  const items = Object.entries(members(document.paths)).filter(([path]) => path.startsWith('/'));
  return {
    api: {
      title: typeof info.title === 'string' ? info.title : '',
      version: info.version === undefined ? '' : String(info.version),
      server: serverOf(document),
      paths: items.length,
      operations: items.reduce((sum, [, item]) => sum + METHODS.filter((method) => members(item)[method] !== undefined).length, 0),
    },
  };
};
