// The kinds of objects: how they are called, which columns a list shows, and which fields of a form come first.

import type { Members, Stored } from './api';

export interface Kind {
  /** As the API spells several of them. */
  many: string;
  /** As the API spells one. */
  one: string;
  /** For people. */
  title: string;
  /** One of them, in a sentence. */
  word: string;
  columns: Column[];
  /** Fields that a form shows first, in this order. */
  fields: string[];
  /** Whether it carries plugins. */
  plugins: boolean;
  /** Whether it leads to an upstream. */
  leads?: boolean;
  /** What a new one begins with. */
  fresh: Members;
  /** Whether one chooses its id; otherwise one is proposed. */
  named?: string;
  /** What it is, in a sentence. */
  about: string;
}

export type Column =
  | 'id' | 'name' | 'path' | 'host' | 'upstream' | 'plugins' | 'labels' | 'nodes' | 'type' | 'snis' | 'ends' | 'desc' | 'port' | 'group';

const kind = (
  many: string,
  one: string,
  title: string,
  word: string,
  about: string,
  columns: Column[],
  fields: string[],
  rest: Partial<Kind> = {},
): Kind => ({ many, one, title, word, about, columns, fields, plugins: false, fresh: {}, ...rest });

export const KINDS: Kind[] = [
  kind('routes', 'route', 'Routes', 'route', 'Which requests are taken, what happens to them, and where they go.',
    ['name', 'path', 'host', 'upstream', 'plugins', 'labels'],
    ['name', 'uris', 'hosts', 'methods', 'desc', 'labels', 'status', 'priority'],
    { plugins: true, leads: true, fresh: { uris: [] } }),
  kind('services', 'service', 'Services', 'service', 'What several routes have in common: plugins, hosts, and where they lead.',
    ['name', 'host', 'upstream', 'plugins', 'labels'], ['name', 'hosts', 'desc', 'labels'],
    { plugins: true, leads: true, fresh: {} }),
  kind('upstreams', 'upstream', 'Upstreams', 'upstream', 'The servers behind the gateway, and how one is chosen.',
    ['name', 'nodes', 'type', 'labels'], ['name', 'nodes', 'type', 'scheme', 'pass_host', 'retries', 'timeout', 'desc', 'labels'],
    { fresh: { type: 'roundrobin', nodes: [] } }),
  kind('consumers', 'consumer', 'Consumers', 'consumer', 'Who calls: a name, credentials, and plugins of their own.',
    ['id', 'plugins', 'group', 'labels', 'desc'], ['username', 'desc', 'group_id', 'labels'],
    { plugins: true, named: 'username', fresh: {} }),
  kind('ssls', 'ssl', 'Certificates', 'certificate', 'What the gateway shows to clients that come over TLS.',
    ['id', 'snis', 'ends', 'labels'], ['snis', 'cert', 'key', 'status', 'labels'], { fresh: { snis: [] } }),
  kind('global_rules', 'global_rule', 'Global rules', 'global rule', 'Plugins that every request meets.',
    ['id', 'plugins'], [], { plugins: true, fresh: { plugins: {} } }),
  kind('plugin_configs', 'plugin_config', 'Plugin configs', 'plugin config', 'A set of plugins that several routes share.',
    ['id', 'plugins', 'labels', 'desc'], ['desc', 'labels'], { plugins: true, fresh: { plugins: {} } }),
  kind('consumer_groups', 'consumer_group', 'Consumer groups', 'consumer group', 'Plugins that several consumers share.',
    ['id', 'plugins', 'labels', 'desc'], ['desc', 'labels'], { plugins: true, fresh: { plugins: {} } }),
  kind('credentials', 'credential', 'Credentials', 'credential', 'What consumers show to come in. The id is consumer/id.',
    ['id', 'plugins', 'labels'], ['desc', 'labels'], { plugins: true, fresh: { plugins: {} } }),
  kind('stream_routes', 'stream_route', 'Stream routes', 'stream route', 'Connections of TCP and UDP, and where they go.',
    ['id', 'port', 'upstream', 'plugins'], ['server_addr', 'server_port', 'sni', 'remote_addr', 'desc', 'labels'],
    { plugins: true, leads: true, fresh: {} }),
  kind('protos', 'proto', 'Protos', 'proto', 'Protocol buffers, for gRPC.', ['id', 'desc'], ['content', 'desc', 'labels'],
    { fresh: {} }),
  kind('secrets', 'secret', 'Secret managers', 'secret manager', 'Where secrets are looked up that are kept elsewhere. The id is manager/id.',
    ['id', 'desc'], [], {}),
  kind('plugin_metadata', 'plugin_metadata', 'Plugin metadata', 'plugin metadata', 'Settings of a plugin for the whole gateway. The id is the name of the plugin.',
    ['id'], [], {}),
];

/** A kind by either of its words. */
export const kindOf = (word: string): Kind | undefined => KINDS.find((known) => known.many === word || known.one === word);

/** What an object is called. */
export const titleOf = (stored: Stored): string => {
  const name = stored.value.name;
  return typeof name === 'string' && name ? name : stored.id;
};

const texts = (value: unknown): string[] =>
  (Array.isArray(value) ? value : [value]).filter((one): one is string => typeof one === 'string' && one !== '');

export const pathsOf = (value: Members) => [...texts(value.uri), ...texts(value.uris)];
export const hostsOf = (value: Members) => [...texts(value.host), ...texts(value.hosts)];
export const namesOf = (value: Members) => [...texts(value.sni), ...texts(value.snis)];
export const labelsOf = (value: Members): [string, string][] =>
  Object.entries((value.labels ?? {}) as Members).map(([name, text]) => [name, String(text)]);
export const pluginsOf = (value: Members) => Object.keys((value.plugins ?? {}) as Members);

/** A node; null stands for a number that was taken out of its field and is wanted there. */
export interface Node {
  host: string;
  port?: number | string | null;
  weight: number | string | null;
  priority?: number;
}

/** The nodes of an upstream, whichever of the two ways they are written. */
export const nodesOf = (nodes: unknown): Node[] => {
  if (Array.isArray(nodes)) return nodes as Node[];
  return Object.entries((nodes ?? {}) as Record<string, number>).map(([place, weight]) => {
    const [, host = place, port] = /^(.*?)(?::(\d*))?$/.exec(place) ?? [];
    return { host, ...(port === undefined ? {} : { port: port === '' ? null : Number(port) }), weight };
  });
};

const places = (nodes: unknown) => nodesOf(nodes).map((node) => (node.port ? `${node.host}:${node.port}` : node.host));

/** Where an object leads, in few words. */
export const leadsTo = (value: Members): string => {
  if (value.upstream_id !== undefined) return `upstream ${String(value.upstream_id)}`;
  const upstream = value.upstream as Members | undefined;
  if (upstream?.service_name) return String(upstream.service_name);
  if (upstream) return places(upstream.nodes).join(', ');
  if (value.service_id !== undefined) return `service ${String(value.service_id)}`;
  return '';
};

export const placesOf = (value: Members) => (value.service_name ? [String(value.service_name)] : places(value.nodes));
