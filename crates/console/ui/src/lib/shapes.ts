// Made of docs/openapi/usher-v1.yaml by `npm run shapes`; not written by hand.

import type { Json } from './api';

/** What came of a confirmation. */
export type Accepted = {
  /** What was held and comes into force within some seconds; null where nothing was. */
  accepted?: string | null;
};

/** How the switch stands. */
export type Agents = {
  /** Whether agents may act. */
  on: boolean;
  /** Who set it last; null where nobody did. */
  by?: string | null;
  /** When, in milliseconds since 1970. */
  since_unix_ms?: number | null;
  /** Why. */
  why?: string | null;
};

/** An answer to a question. */
export type Answered = {
  /** The question's id, from the event `question`. */
  question: string;
  /** Whether the person agrees. */
  agree: boolean;
};

/** What came of a plan. */
export type Applied = {
  /** The revision that it made. */
  revision: number;
  /** Whether every worker serves by it. */
  in_force: boolean;
  /** How many objects changed in all. */
  total: number;
  /** How many it created, updated and deleted; of more than 10,000, of those that matter most. */
  counts: Counts;
  /** The objects, the first thousand of them. */
  objects: Name[];
  /** What did not go as wished. */
  warnings: string[];
};

/** How a plan is applied. */
export type ApplyRequest = {
  /** Who agreed. Default `client`. */
  approval?: Approval;
  /** Several transactions where the store can't take it in one; journaled, resumable and reversible. Default false. */
  in_steps?: boolean;
};

/** Who agreed to a plan. */
export type Approval = "client" | {
  person: string;
};

/** Plans that wait. */
export type Approvals = {
  /** The plans, oldest first; the first hundred. */
  plans: Waiting[];
  /** How many wait in all. */
  total: number;
  /** When this gateway was started, in milliseconds since 1970: plans that were made before are forgotten. */
  since_unix_ms: number;
};

/** Records, in the order asked for. */
export type Audit = {
  /** Records as they are stored; the digests are made of exactly these members. */
  records: Json[];
  /** Where the next page begins: give it as `after`. There may be fewer records than asked for, or none, where many were read in vain. */
  next?: number | null;
  /** How many records were read for this page; at most 20000. */
  read: number;
};

/** Where the provider asks who one is. */
export type Away = {
  /** The address that the browser has to go to. */
  location: string;
};

/** What the provider sent the browser back with, as it stands in the address. */
export type BackRequest = {
  /** What the login was begun with. */
  state: string;
  /** The code. */
  code?: string | null;
  /** Who the provider says it is. */
  iss?: string | null;
  /** Why the provider said no. */
  error?: string | null;
  /** The same in a sentence. */
  error_description?: string | null;
};

/** Where to go on. */
export type Begin = {
  /** The `next` of the answer before; nothing for the first part. */
  after?: string | null;
};

/** What a login shall lead to. */
export type BeginRequest = {
  /** The place of the console that is wanted afterwards, such as `/ui/history`. */
  to?: string | null;
};

/** A record that isn't as it was written. */
export type Broken = {
  /** Its number. */
  number: number;
  /** What is wrong with it. */
  reason: string;
};

/** Calls, oldest first. */
export type Calls = {
  /** Records as they are kept; the digests are made of exactly these members. What a tool was called with is in them as a keyed digest alone. */
  records: Json[];
  /** Where the next page begins: give it as `after`. */
  next?: number | null;
};

/** What went wrong. */
export type Cause = {
  /** One word for programs, such as `invalid`, `stale`, `forbidden` or `store_away`. */
  code: string;
  /** The sentence for people. */
  message: string;
  /** Where in the request, as a JSON pointer or a parameter's name. */
  field?: string | null;
  /** What is wrong at that field, where the sentence speaks of the whole: of the forms that a schema offers, the one that fits best is meant. */
  hint?: string | null;
  /** What to do next. */
  next?: string | null;
  /** The page of the manual that says more, by its place in the project, such as `docs/changes.md#agree`. */
  help?: string | null;
};

/** One object before and after, field by field. Secrets are masked. */
export type Change = {
  /** `create`, `update` or `delete`. */
  op: string;
  /** The object's kind, such as `route`. */
  kind: string;
  /** Its id. */
  id: string;
  /** The fields that differ. */
  fields: Field[];
};

/** Which model leads the chat. */
export type ChatModel = {
  /** What names the model where it isn't a choice: `chat.model of the settings` or `USHER_MODEL_URL of the environment`. A choice doesn't hold as long as it does; null: a choice holds. */
  fixed_by?: string | null;
  /** The model; null: the chat understands plain sentences. */
  model?: Model | null;
};

/** A node with checks. */
export type CheckedNode = {
  /** `address:port`. */
  address: string;
  /** The name that probes go by. */
  host: string;
  /** `healthy`, `mostly_healthy`, `mostly_unhealthy` or `unhealthy`. */
  status: string;
  /** Whether it gets requests. */
  up: boolean;
};

/** An upstream with checks. */
export type CheckedUpstream = {
  /** The object it is written in, such as `/apisix/upstreams/1`. */
  name: string;
  /** How it is checked: `http`, `https` or `tcp`. */
  check: string;
  /** Its nodes. */
  nodes: CheckedNode[];
};

/** A program of an agent's that called lately. */
export type Client = {
  /** What it calls itself, which decides nothing. */
  name: string;
  /** Which version of it. */
  version: string;
  /** As whom it comes: a token's name, or `local-agent` on loopback without one. */
  principal: string;
  /** Through which door. */
  door: string;
  /** When it called first, in milliseconds since 1970. */
  first_unix_ms: number;
  /** When it called last, in milliseconds since 1970. */
  last_unix_ms: number;
  /** How often it called in between. */
  calls: number;
};

/** The programs of agents that called within the last hour, the newest call first; at most 100. */
export type Clients = {
  /** The clients. */
  clients: Client[];
};

/** How many objects are created, updated and deleted. */
export type Counts = {
  /** Made new. */
  created: number;
  /** Changed. */
  updated: number;
  /** Deleted. */
  deleted: number;
};

/** What came of it. */
export type Decided = {
  /** What was applied; missing where it was declined. */
  applied?: Applied | null;
};

/** What a person says of a plan. */
export type DecisionRequest = {
  /** `true` applies it, `false` ends it. */
  agree: boolean;
};

/** An applied change. */
export type Entry = {
  /** The revision that it made. */
  revision: number;
  /** When, in milliseconds since 1970. */
  unix_ms: number;
  /** Who. */
  principal: string;
  /** With which role. */
  role: string;
  /** Through which door. */
  door: string;
  /** What for. */
  intent?: string | null;
  /** The plan's id. */
  plan: string;
  /** Its risk. */
  risk: string;
  /** Who agreed: `direct`, `client`, or `person: ...`. */
  approval: string;
  /** The revision that it took back. */
  undoes?: number | null;
  /** Which step of a plan it was, and of how many. */
  step?: [number, number] | null;
  /** How many objects changed in all. */
  total: number;
  /** How many objects of the change were not written, because the store stopped in between; they are not among the changes. */
  not_written: number;
  /** Which those are, as kind/id; the first hundred. */
  not_written_objects: string[];
  /** What changed, without its values; at most the first ten objects. `GET /history/{revision}` tells of all of them, field by field. */
  objects: Touched[];
};

/** An applied change, and a page of what it did. */
export type EntryPage = {
  /** Who, when and what for. */
  entry: Entry;
  /** What changed, field by field, secrets masked. A page of very large objects holds fewer than were asked for. */
  changes: Change[];
  /** Where the next page begins: give it as `after`. Missing at the end. */
  next?: string | null;
};

/** The answer to a request that was refused. */
export type Error = {
  /** What went wrong. */
  error: Cause;
};

/** A request: described, or as a command line of curl. */
export type ExplainRequest = {
  /** A command line of curl. Instead of all the others but `client`. */
  curl?: string | null;
  /** The method. Default `GET`. */
  method?: string | null;
  /** The `Host` header. Default none. */
  host?: string | null;
  /** Path and query, such as `/speaker/1?x=y`. */
  target?: string | null;
  /** Further headers. */
  headers?: Record<string, string>;
  /** The client's address. Default loopback. */
  client?: string | null;
};

/** Which way a request would take. */
export type Explained = {
  /** The request as it was understood. */
  request: Understood;
  /** What was passed by. */
  notes: string[];
  /** The route that takes it. */
  route?: RouteName | null;
  /** Routes that came near, and why each didn't take it; nearest first, at most ten. */
  passed_over: PassedOver[];
  /** The plugins that would run, in order, global rules first. */
  plugins: PluginRun[];
  /** Where it would be sent. */
  upstream?: UpstreamName | null;
  /** What the gateway would answer by itself. */
  answer?: string | null;
};

/** One field before and after; a side is missing where the field isn't there. */
export type Field = {
  /** Where, such as `plugins.limit-count.count`; empty for the whole object. */
  path: string;
  /** What was there. */
  before?: Json;
  /** What is there now. */
  after?: Json;
};

/** The form of a document. */
export type Form = "usher" | "apisix";

/** Of how many gateways figures are. */
export type Gateways = {
  /** Those that are in the figures, this one among them. */
  counted: number;
  /** Those that are not. */
  missing: MissingGateway[];
};

/** What is gone now. */
export type Gone = {
  /** Its id or name. */
  deleted: string;
};

/** A header. */
export type Header = {
  /** Its name. */
  name: string;
  /** Its value. */
  value: string;
};

/** What is known of nodes. */
export type Health = {
  /** The upstreams that have health checks and were used, by name; the first thousand. Empty for who has a scope. */
  upstreams: CheckedUpstream[];
  /** The nodes that refused the gateway's last connection to them, or didn't take it in time, within the last quarter of an hour, whether they have health checks or not; the first hundred. Empty for who has a scope. */
  refusing: RefusingNode[];
};

/** Applied changes, newest first. */
export type History = {
  /** The changes. */
  entries: Entry[];
};

/** The keyring of this gateway, and what older keys of it still hold. */
export type Keyring = {
  /** The names of its keys, the newest first. */
  keys: string[];
  /** How many records of the store hold something that an older key sealed; 0: the older ones can go. */
  older_records: number;
  /** Some of those records. */
  older: string[];
};

/** How somebody wants to come in: with `user` and `password`, or with `key`. */
export type LoginRequest = {
  /** A user's name. */
  user?: string | null;
  /** The user's password. */
  password?: string | null;
  /** An admin key instead of both. Tokens are for programs, and not taken here. */
  key?: string | null;
};

/** What was counted. */
export type Measure = {
  /** Requests. */
  requests: number;
  /** Answers of 500 and above. */
  errors: number;
  /** Answers of 400 to 499. */
  refused: number;
  /** Answers by class: 1xx, 2xx, 3xx, 4xx, 5xx. */
  by_class: number[];
  /** Bytes of requests. */
  received_bytes: number;
  /** Bytes of answers. */
  sent_bytes: number;
  /** How long they took on average, in milliseconds; null where there were none. */
  mean_ms?: number | null;
  /** Of that, what the upstream took. */
  upstream_mean_ms?: number | null;
  /** Half of them took no longer. */
  p50_ms?: number | null;
  /** 95 of a hundred took no longer. */
  p95_ms?: number | null;
  /** 99 of a hundred took no longer. */
  p99_ms?: number | null;
};

/** A gateway whose traffic is in no figure. */
export type MissingGateway = {
  /** As `gateways.others` of the settings names it. */
  gateway: string;
  /** Why it is missing. */
  reason: string;
};

/** A model. */
export type Model = {
  /** Where it answers. */
  url: string;
  /** Its name there. */
  name: string;
  /** How it is asked; null: as the address says. */
  api?: ModelApi | null;
  /** `***` and a tag by which two keys can be told apart; null: it has no key. */
  key?: string | null;
  /** Who chose it; null where the settings name it. */
  by?: string | null;
  /** When, in milliseconds since 1970. */
  since_unix_ms?: number | null;
};

/** How a model is asked. */
export type ModelApi = "completions" | "responses" | "messages";

/** A model as somebody wants it. */
export type ModelRequest = {
  /** Where it answers, such as `https://api.openai.com/v1` or `http://127.0.0.1:11434/v1`. */
  url: string;
  /** Its name there, such as `gpt-5`. */
  name: string;
  /** How it is asked; left out: as the address says, which is messages at api.anthropic.com and completions elsewhere. */
  api?: ModelApi | null;
  /** Its key. Left out, the one that is stored stays, if it is for the same scheme, host and port; empty: it has none. */
  key?: string | null;
};

/** An object by its kind and id. */
export type Name = {
  /** Its kind, such as `route`. */
  kind: string;
  /** Its id. */
  id: string;
};

/** A new token. */
export type NewToken = {
  /** Its id. */
  id: string;
  /** Its name. */
  name: string;
  /** What it may do. */
  role: string;
  /** What it may read and change. */
  scope: Scope;
  /** Who made it. */
  created_by: string;
  /** When, in milliseconds since 1970. */
  created_unix_ms: number;
  /** When it ends, in milliseconds since 1970. */
  expires_unix_ms?: number | null;
  /** The token itself. It is shown this once. */
  token: string;
};

/** A node. */
export type Node = {
  /** `host:port`. */
  address: string;
  /** Its weight. */
  weight: number;
};

/** One object. */
export type Object = {
  /** Its kind, such as `route`. */
  kind: string;
  /** Its id. */
  id: string;
  /** The revision that last changed it; also its ETag. */
  revision: number;
  /** The revision that made it. */
  created_revision: number;
  /** When it is deleted by itself, in milliseconds since 1970; missing where it stays. */
  ends_unix_ms?: number | null;
  /** The object itself, secrets masked. */
  value: Json;
};

/** Objects of one kind. */
export type Objects = {
  /** Those that were asked for, by their ids in byte order. */
  objects: Object[];
  /** How many there are in all, with these filters. */
  total: number;
  /** Where the next page begins: give it as `after`. Missing at the end. */
  next?: string | null;
};

/** What a change does. */
export type Op = "put" | "create" | "patch" | "delete";

/** An API to publish. */
export type OpenApi = {
  /** The OpenAPI document (3.0, 3.1, or Swagger 2.0), as an object or as text in YAML or JSON. */
  document: Json;
  /** What stands before each path at the gateway, such as `/shop`. Default: the path of the document's server. */
  prefix?: string | null;
  /** The service's id. Default: made of the title. */
  id?: string | null;
  /** Where the API is, instead of the document's first server: `http://host:port/path`. */
  server?: string | null;
  /** The hosts that it is published under. Default: any. */
  hosts?: string[];
  /** Serves what chats need to use the API beside it, by a route of its own. Default false; once it is there, it stays. */
  chat?: boolean;
  /** With `chat`: the header in which callers show a key to the gateway; `Authorization` means a bearer token. Default: what the document says. */
  chat_key?: string | null;
};

/** How far it came. */
export type Part = {
  /** Records that were sealed anew. */
  records: number;
  /** What to give as `after` for the next part; null: all is done. */
  next?: string | null;
};

/** A route that was not taken. */
export type PassedOver = {
  /** The route. */
  route: RouteName;
  /** The condition that failed, with what was wanted and what was there. */
  because: string;
};

/** Somebody who is logged in. */
export type Person = {
  /** The name that the history shows. */
  name: string;
  /** `viewer`, `chat`, `editor` or `admin`. */
  role: string;
  /** `user`, `key`, `oidc` for whom a provider vouched, or `keyless` where no key is asked for. */
  by: string;
  /** How many seconds the session lasts at most; missing where there is none. */
  expires_in_secs?: number | null;
};

/** A plan: checked, not applied, and never changed again. Secrets are masked. */
export type Plan = {
  /** Its id. It gives no right: a plan belongs to who made it. */
  id: string;
  /** The store's revision that it was made at. */
  base_revision: number;
  /** `low`, `medium` or `high`. */
  risk: string;
  /** Why it has this risk. */
  reasons: string[];
  /** Whether `apply` needs the approval of a person. */
  needs_person: boolean;
  /** How many seconds it can still be applied. */
  expires_in_secs: number;
  /** What it is for, in the words of who made it. */
  intent?: string | null;
  /** The revision that it takes back. */
  undoes?: number | null;
  /** How many objects change in all. */
  total: number;
  /** How many transactions of the store it takes; with more than one it has to be applied in steps. */
  steps: number;
  /** How many objects it creates, updates and deletes; of more than 10,000, of those that matter most. */
  counts: Counts;
  /** What changes, field by field; of more than 10,000 objects, those that matter most. */
  changes: Change[];
  /** Further changes that are not shown; `GET /plans/{id}?after=N` goes on behind the N-th. */
  more: number;
  /** Who meets the change, a line a route. */
  affected: string[];
  /** What to look at before agreeing. */
  warnings: string[];
  /** The whole plan as people read it; empty where not all changes are shown. */
  text: string;
};

/** What a plan is made of: `changes`, or a `document`, or an API that is published by its `openapi` document. */
export type PlanRequest = {
  /** Single changes; the last one of an object wins. */
  changes?: WantedChange[] | null;
  /** A whole configuration: an object, or the same as YAML text. Usher's form, APISIX's standalone form and ADC's are understood. */
  document?: Json;
  /** An API to publish by its OpenAPI document: a service, and a route for each path with the methods that stand there. Imported again, it changes what is new in the document, and takes away what isn't in it any more. */
  openapi?: OpenApi | null;
  /** With `document`: deletes what isn't in it. Default false. */
  delete?: boolean;
  /** With `delete`: only of these kinds; empty means the kinds that the document holds. */
  kinds?: string[];
  /** With `document`: only objects that have these labels. */
  labels?: Record<string, string>;
  /** What it is for; the history keeps the first 500 characters. */
  intent?: string | null;
  /** With `changes`: deletes what others still use. Default false. */
  force?: boolean;
};

/** One plugin, whole. */
export type Plugin = {
  /** Its name. */
  name: string;
  /** What it does, in a sentence. */
  summary: string;
  /** Plugins of a higher one run first. */
  priority: number;
  /** Where on a request's way it takes part. */
  phases: string[];
  /** Whether it finds out which consumer calls. */
  auth: boolean;
  /** Whether it takes part on requests. */
  requests: boolean;
  /** Whether it takes part on stream routes. */
  stream: boolean;
  /** Whether consumers have credentials for it. */
  credential: boolean;
  /** Whether it has settings for the whole gateway. */
  metadata: boolean;
  /** Everything that is said of it. */
  description: string;
  /** Its page in the manual, in Markdown. */
  page?: string | null;
  /** The JSON schema of its settings on routes and services. */
  schema: Json;
  /** The JSON schema of a consumer's credential. */
  credential_schema?: Json;
  /** The JSON schema of its metadata. */
  metadata_schema?: Json;
};

/** A plugin in a list. */
export type PluginLine = {
  /** Its name. */
  name: string;
  /** What it does, in a sentence. */
  summary: string;
  /** Plugins of a higher one run first. */
  priority: number;
  /** Where on a request's way it takes part. */
  phases: string[];
  /** Whether it finds out which consumer calls. */
  auth: boolean;
  /** Whether it takes part on requests. */
  requests: boolean;
  /** Whether it takes part on stream routes. */
  stream: boolean;
  /** Whether consumers have credentials for it. */
  credential: boolean;
  /** Whether it has settings for the whole gateway. */
  metadata: boolean;
};

/** A plugin. */
export type PluginRun = {
  /** Its name. */
  name: string;
  /** The phases that it runs in. */
  phases: string[];
};

/** All plugins, highest priority first. */
export type Plugins = {
  /** The plugins. */
  plugins: PluginLine[];
};

/** An object that the gateway couldn't use. */
export type Problem = {
  /** Its key, such as `/apisix/routes/1`. */
  key: string;
  /** The revision that brought it. */
  revision: number;
  /** What is wrong with it. */
  reason: string;
};

/** A plugin in one phase. */
export type Ran = {
  /** Its name. */
  name: string;
  /** The phase. */
  phase: string;
  /** From the complete head to its beginning, in milliseconds. */
  began_ms: number;
  /** How long it took, in milliseconds; nothing where it was cut short. */
  took_ms?: number | null;
};

/** A node that refused the last connection. */
export type RefusingNode = {
  /** The object that its upstream is written in, such as `/apisix/upstreams/1`. */
  upstream: string;
  /** `host:port`, as it is written. */
  address: string;
  /** Connections that it refused. */
  refused: number;
  /** Of so many, the last ones; at most 32. */
  of: number;
  /** When it last did, in milliseconds since 1970. */
  unix_ms: number;
};

/** A request that was served. */
export type Request = {
  /** When its head was complete, in milliseconds since 1970. */
  at_ms: number;
  /** The method. */
  method: string;
  /** The host, without port. */
  host: string;
  /** The path, without query. */
  path: string;
  /** The answer's status; 499 for a client that left before it had one. */
  status: number;
  /** The route's id. */
  route?: string | null;
  /** The route's name. */
  route_name?: string | null;
  /** The consumer's name. */
  consumer?: string | null;
  /** The client's address. */
  client: string;
  /** The node that was last tried. */
  node?: string | null;
  /** The status that the node gave; 502 and 504 stand for connections that failed. */
  upstream_status?: number | null;
  /** The same of all nodes that were tried, in order. */
  tries: number[];
  /** `upstream` or `gateway`. */
  answered_by: string;
  /** Why the gateway gave an answer of its own. */
  cause?: string | null;
  /** The plugin that answered, where one did. */
  plugin?: string | null;
  /** Who failed then: `client`, `upstream` or `gateway`. */
  failed_by?: string | null;
  /** Whether it may then be sent again. */
  retry_safe?: boolean | null;
  /** From the complete head to the last byte of the answer, in milliseconds. */
  took_ms: number;
  /** Of that, what the upstream took. */
  upstream_took_ms?: number | null;
  /** Bytes of the request. */
  received_bytes: number;
  /** Bytes of the answer. */
  sent_bytes: number;
};

/** Requests that were served, oldest first. */
export type Requests = {
  /** The requests. */
  requests: Request[];
  /** Where the next look goes on, as `after`. */
  next: string;
  /** How many came since `after` and are no longer kept. */
  missed: number;
  /** Since when requests are remembered, in milliseconds since 1970: the start of this gateway. They are kept in memory alone, the newest few hundred of each worker; the figures of `/traffic` outlast a restart. */
  since_ms: number;
};

/** What somebody may do. */
export type Role = "viewer" | "chat" | "editor" | "admin";

/** A route. */
export type RouteName = {
  /** Its id. */
  id: string;
  /** Its name. */
  name?: string | null;
  /** The path pattern that matched, or that came near. */
  uri: string;
};

/** The JSON schema of a kind. */
export type SchemaOf = {
  /** The kind. */
  kind: string;
  /** The schema. */
  schema: Json;
};

/** A part of the configuration; whatever is given has to hold. */
export type Scope = {
  /** Labels as `name=value`: of each name that is given, an object has to carry one of the values. */
  labels?: string[];
  /** Hosts as routes have them: an object may take no other. */
  hosts?: string[];
  /** Path prefixes such as `/pay`: a route may take no other path. */
  paths?: string[];
};

/** What stands in the place of secrets. */
export type Secrets = "masked" | "reveal";

/** A sentence. */
export type Sentence = {
  /** What is said, at most 4,000 characters. */
  sentence: string;
  /** The conversation that it goes on; a new one begins where it is left out. */
  conversation?: string | null;
};

/** One series: its sum, and its points as lists of the same length, the oldest first. */
export type Series = {
  /** What it is told apart by: a name for each member of `group`. Empty: none, such as a request that took no route; `*`: all those that are too rare to be kept by themselves. */
  key: Record<string, Json>;
  /** Its sum. */
  total: Measure;
  /** Its sum in the time that it is compared with. */
  before?: Measure | null;
  /** Requests. */
  requests: number[];
  /** Answers of 500 and above. */
  errors: number[];
  /** Answers of 400 to 499. */
  refused: number[];
  /** Bytes of requests. */
  received_bytes: number[];
  /** Bytes of answers. */
  sent_bytes: number[];
  /** Milliseconds that half of the requests took at most; null where there were none. */
  p50_ms: (number | null)[];
  /** Milliseconds that 95 of a hundred took at most. */
  p95_ms: (number | null)[];
  /** Milliseconds that 99 of a hundred took at most. */
  p99_ms: (number | null)[];
};

/** Who is there. */
export type Session = {
  /** Who is logged in; missing for nobody. */
  you?: Person | null;
  /** Whether there is no user yet, and the first one can be made with the one-time code. */
  setup: boolean;
  /** What the provider is called that one can log in with; missing where there is none. */
  provider?: string | null;
  /** Where one logs out of the provider too, after one has left a session that it vouched for, and where it can be done. */
  provider_log_out?: string | null;
  /** The place of the console that was wanted when a login with the provider was begun. */
  to?: string | null;
  /** Why the session that this browser brought is none any more; missing where it brought none, or where it lasts. */
  ended?: string | null;
};

/** The first user. */
export type SetupRequest = {
  /** The one-time code that the server printed when it started. */
  code: string;
  /** The name: 1 to 64 letters, digits, `-`, `_`, `.` or `@`. */
  name: string;
  /** The password: 10 to 256 characters. */
  password: string;
};

/** A listener beside the gateway's. */
export type Side = {
  /** What answers there, such as `Admin API`. */
  name: string;
  /** Its address. */
  address: string;
};

/** How Usher does. */
export type Status = {
  /** Its version. */
  version: string;
  /** Who asked, as this request was let in. */
  you: You;
  /** The store. */
  store: StoreStatus;
  /** The store's newest revision. */
  revision: number;
  /** The revision that requests are served by. */
  in_force: number;
  /** The revision of the newest change of the configuration that the history tells of; log-ins and records of the audit move `revision` too, and not this. Null where nothing was changed yet. */
  changed?: number | null;
  /** Where the gateway listens. */
  listeners: string[];
  /** Where it listens beside that; empty for who has a scope. */
  sides: Side[];
  /** Objects that couldn't be used, whose last good version serves, and those of other programs that break a rule. The first hundred. */
  problems: Problem[];
  /** The name of the model that leads the built-in chat; null: it understands plain sentences. */
  chat_model?: string | null;
  /** Plans whose steps were not all applied. */
  unfinished: Unfinished[];
};

/** What came of stopping a sentence. */
export type Stopped = {
  /** Whether there was one. */
  stopped: boolean;
};

/** The store. */
export type StoreStatus = {
  /** `embedded`, `etcd`, `file`, `apisix` or `memory`. */
  kind: string;
  /** Its folder or address. */
  place?: string | null;
  /** Whether it takes writes. */
  writable: boolean;
  /** Whether a plan is written whole or not at all. */
  atomic: boolean;
  /** Whether changes of others are heard of at once. */
  watches: boolean;
  /** Why it can't be reached, if so: reads are served from the last known state, writes are refused. */
  away?: string | null;
  /** Since when, in milliseconds since 1970. */
  away_since_unix_ms?: number | null;
  /** Why writes fail although reads are as fresh as ever, such as at a full disk; they work again once that is over. */
  writes_fail?: string | null;
  /** A change that is held back for a person to confirm. */
  held?: string | null;
  /** How a damaged store was brought back at the last start. */
  recovered?: string | null;
};

/** How the switch shall stand. */
export type SwitchRequest = {
  /** Whether agents may act; `false`: they may only look. */
  on: boolean;
  /** Why, for the audit and for whoever is refused; at most 300 characters. */
  why?: string | null;
};

/** What came of an answer. */
export type Taken = {
  /** Whether it was taken as a yes. */
  agreed: boolean;
};

/** What is known of a token. */
export type Token = {
  /** Its id. */
  id: string;
  /** Its name. */
  name: string;
  /** What it may do. */
  role: string;
  /** What it may read and change. */
  scope: Scope;
  /** Who made it. */
  created_by: string;
  /** When, in milliseconds since 1970. */
  created_unix_ms: number;
  /** When it ends, in milliseconds since 1970. */
  expires_unix_ms?: number | null;
};

/** A token as somebody wants it. */
export type TokenRequest = {
  /** The name that the history shows: 1 to 64 letters, digits, `-`, `_`, `.` or `@`. */
  name: string;
  /** `viewer`, `chat`, `editor` or `admin`. */
  role: Role;
  /** What it may read and change; nothing means everything. */
  scope?: Scope;
  /** After how many seconds it ends. Default: when it is revoked. */
  expires_in_secs?: number | null;
};

/** All tokens, oldest first, also those that have ended by themselves. */
export type Tokens = {
  /** The tokens. */
  tokens: Token[];
};

/** An object that a change touched. */
export type Touched = {
  /** `create`, `update` or `delete`. */
  op: string;
  /** The object's kind, such as `route`. */
  kind: string;
  /** Its id. */
  id: string;
  /** Of an update, which fields differ; at most the first ten. */
  fields: string[];
};

/** What was served. */
export type TrafficShape = {
  /** The first second, since 1970. */
  from: number;
  /** The second behind the last. */
  to: number;
  /** Seconds of one point. */
  step: number;
  /** The oldest second that anything is kept of; null where nothing is. */
  since?: number | null;
  /** What series are told apart by. */
  group: string[];
  /** Everything that was asked for. */
  total: Measure;
  /** The same of the time that it is compared with. */
  before?: Measure | null;
  /** The series, in the order asked for. */
  series: Series[];
  /** How many series there are beside those. */
  more: number;
  /** Of how many gateways all of it is; left out where the settings name no others, so that it is of this one. */
  gateways?: Gateways | null;
};

/** What came back, and which way the request went. */
export type Tried = {
  /** The listener that it was sent to. */
  listener: string;
  /** The answer's status. */
  status: number;
  /** The answer's headers, in order. Values of cookies are not told. */
  headers: Header[];
  /** The answer's body as text, at most 256 KiB; nothing where it is no text. */
  body?: string | null;
  /** Bytes of the body that were read. */
  body_bytes: number;
  /** Whether there was more. */
  is_cut: boolean;
  /** From the connection to the last byte read, in milliseconds. */
  took_ms: number;
  /** The gateway's own word on its way; nothing where it wasn't watched, as for an answer that was cut off. */
  way?: Way | null;
};

/** What came back of a model that was tried. */
export type TriedModel = {
  /** Its words, cut at 1,000 characters. */
  answer: string;
  /** How long it took, in milliseconds. */
  took_ms: number;
};

/** A request to send. */
export type TryRequest = {
  /** The method. Default `GET`. */
  method?: string | null;
  /** The `Host` header. Default: the listener's address. */
  host?: string | null;
  /** Path and query as they stand in a request, such as `/speaker/1?x=y`. */
  target: string;
  /** Further headers; none that says how the message is framed. */
  headers?: Record<string, string>;
  /** The body, at most 64 KiB. Default none. */
  body?: string | null;
};

/** Which model is to be tried. */
export type TryRequest2 = {
  /** A model as it would be chosen; left out: the one that leads the chat. */
  model?: ModelRequest | null;
};

/** A request as it was understood. */
export type Understood = {
  /** The method. */
  method: string;
  /** The `Host` header. */
  host: string;
  /** Path and query. */
  target: string;
  /** The names of further headers; values may be secrets. */
  headers: string[];
  /** The client's address. */
  client: string;
};

/** What is taken back. */
export type UndoRequest = {
  /** The revision; the newest change that stands where there is none. */
  revision?: number | null;
  /** What it is for. */
  intent?: string | null;
};

/** A plan whose steps were not all applied. */
export type Unfinished = {
  /** The plan's id; applying it again goes on. */
  plan: string;
  /** Whose it is. */
  principal: string;
  /** When it was begun, in milliseconds since 1970. */
  begun_unix_ms: number;
  /** How many steps were applied. */
  done: number;
  /** Of how many. */
  of: number;
};

/** An upstream. */
export type UpstreamName = {
  /** Its id; nothing where it is written inside a route or service. */
  id?: string | null;
  /** Its nodes. */
  nodes: Node[];
  /** The node whose turn it is. */
  next?: string | null;
};

/** What is known of a user. */
export type User = {
  /** The name. */
  name: string;
  /** What the user may do. */
  role: string;
  /** When it was made, in milliseconds since 1970. */
  created_unix_ms: number;
  /** When role or password were last set, in milliseconds since 1970. */
  changed_unix_ms: number;
};

/** What a user shall have instead; what is left out stays. */
export type UserChangeRequest = {
  /** What the user may do. */
  role?: Role | null;
  /** The password: 10 to 256 characters. */
  password?: string | null;
};

/** A user as somebody wants it. */
export type UserRequest = {
  /** The name: 1 to 64 letters, digits, `-`, `_`, `.` or `@`. */
  name: string;
  /** What the user may do. */
  role: Role;
  /** The password: 10 to 256 characters. */
  password: string;
};

/** All users by name. */
export type Users = {
  /** The users. */
  users: User[];
};

/** Whether the audit is as it was written. */
export type Verdict = {
  /** Whether every record is as it was written. */
  whole: boolean;
  /** How many records were looked at. */
  records: number;
  /** The number of the first one that is kept. */
  first?: number | null;
  /** The number of the last one. */
  last?: number | null;
  /** The first record that is not as it was written. */
  broken?: Broken | null;
};

/** A plan that waits, and whose it is. */
export type Waiting = {
  /** Who made it. */
  by: string;
  /** With which role. */
  role: string;
  /** Through which door. */
  door: string;
  /** The plan. */
  plan: Plan;
  /** Why it can't be applied any more, where what it was made for was changed since; missing where it can. */
  stale?: string | null;
};

/** One wanted change. */
export type WantedChange = {
  /** What to do. */
  op: Op;
  /** The kind, such as `route` or `routes`. */
  kind: string;
  /** The id; `jack/c1` is the credential c1 of the consumer jack. */
  id: string;
  /** For `put` and `create` the whole object, for `patch` the members that change, null to take one away. */
  value?: Json;
  /** The revision (its ETag) that the object has to have; null where there must be none. Missing: whatever is there. */
  revision?: number | null;
};

/** Which way a request went. */
export type Way = {
  /** What became of it. */
  request: Request;
  /** The plugins that ran, in order. */
  plugins: Ran[];
  /** From the complete head to the first try of a node, in milliseconds. */
  upstream_began_ms?: number | null;
};

/** Who asked. */
export type You = {
  /** The name that the history shows. */
  name: string;
  /** `viewer`, `chat`, `editor` or `admin`. */
  role: string;
  /** The door. */
  door: string;
  /** Labels `name=value` that bound what may be read and changed; empty: no bound. */
  labels: string[];
  /** Hosts that bound it. */
  hosts: string[];
  /** Path prefixes that bound it. */
  paths: string[];
};
