// How a plugin is found by what one wants of the gateway: by its name, its summary, and the words that people have for it, which stand here alone.

import type { PluginLine } from './api';

/** Other words for what plugins do, as people search for it. */
const WORDS: Record<string, string> = {
  'limit-count': 'rate limit, rate limiting, throttle, quota, too many requests per client, 429, requests a minute',
  'limit-req': 'rate limit, rate limiting, throttle, leaky bucket, too many requests per client, requests a second',
  'limit-conn': 'concurrency limit, rate limit, concurrent connections, too many requests at once',
  'ai-rate-limiting': 'rate limit, token quota, llm budget, cost',
  'client-control': 'body size limit, upload limit, too large, 413',
  'key-auth': 'api key, authentication, login, protect',
  'basic-auth': 'user and password, authentication, login, protect',
  'jwt-auth': 'json web token, bearer, authentication, login, protect',
  'hmac-auth': 'signature, signed requests, authentication',
  'openid-connect': 'oauth, oidc, sso, single sign on, google, keycloak, okta, authentication, login',
  'ldap-auth': 'active directory, authentication, login',
  'multi-auth': 'several authentications, either or',
  'authz-keycloak': 'authorization, permissions, sso',
  'authz-casbin': 'authorization, permissions, roles, rbac',
  opa: 'authorization, policy, rego, permissions',
  'forward-auth': 'external authentication, authorization, auth request',
  'consumer-restriction': 'allow list, deny list, block a consumer, permissions',
  acl: 'allow list, deny list, groups, permissions',
  'ip-restriction': 'allow list, deny list, whitelist, blacklist, block address, firewall, cidr',
  'ua-restriction': 'block bots, crawlers, user agent',
  'referer-restriction': 'hotlinking, referrer',
  'uri-blocker': 'block path, waf, firewall',
  csrf: 'cross-site request forgery, form protection',
  cors: 'cross-origin, browser, access-control-allow-origin, preflight',
  redirect: 'https only, http to https, move, 301, 302',
  'proxy-rewrite': 'rewrite path, strip prefix, change host, add a header to the request, set header, method',
  'response-rewrite': 'add a header to the response, set header, change body, change status',
  'traffic-split': 'canary, blue green, weighted, a/b test, gradual rollout',
  'traffic-label': 'canary, mark requests, label',
  'proxy-cache': 'cache, caching, faster, cdn',
  'proxy-mirror': 'shadow traffic, copy, test with real traffic',
  'api-breaker': 'circuit breaker, failing upstream, unhealthy',
  'fault-injection': 'chaos, delay, abort, test errors',
  mocking: 'fake answer, stub, example',
  gzip: 'compression, smaller, faster',
  brotli: 'compression, smaller, faster',
  prometheus: 'metrics, monitoring, grafana',
  zipkin: 'tracing, trace, jaeger',
  opentelemetry: 'tracing, trace, otel, jaeger',
  'request-id': 'correlation id, x-request-id, trace',
  'http-logger': 'access log, logging, webhook',
  'file-logger': 'access log, logging',
  'loki-logger': 'access log, logging',
  'elasticsearch-logger': 'access log, logging, elk, kibana',
  'kafka-logger': 'access log, logging, events',
  'tcp-logger': 'access log, logging',
  'udp-logger': 'access log, logging',
  syslog: 'access log, logging',
  'data-mask': 'hide secrets, personal data, gdpr, redact',
  'error-page': 'custom error, 404 page, 502 page',
  'real-ip': 'x-forwarded-for, load balancer in front, client address',
  'request-validation': 'json schema, check body, validate',
  'oas-validator': 'openapi, swagger, validate',
  'grpc-transcode': 'rest to grpc, protobuf',
  'grpc-web': 'browser grpc',
  degraphql: 'graphql to rest',
  'body-transformer': 'xml to json, soap, template',
  'serverless-pre-function': 'own code, script, lua, custom plugin',
  'serverless-post-function': 'own code, script, lua, custom plugin',
  workflow: 'conditions, rules, if then',
  'ai-proxy': 'llm, openai, chatgpt, claude, model gateway',
  'ai-proxy-multi': 'llm, fallback model, load balance models',
  'ai-prompt-guard': 'llm, jailbreak, moderation, filter prompts',
  'ai-prompt-template': 'llm, prompt',
  'ai-prompt-decorator': 'llm, system prompt',
};

/** Words that say nothing of what is wanted. */
const EMPTY = new Set(['a', 'an', 'the', 'of', 'to', 'for', 'by', 'with', 'and', 'or', 'in', 'on', 'my', 'i', 'want', 'per', 'each']);

/** Plugins that fit what is searched for, the best first; where none has all the words, those that have at least half of them. */
export const fitting = (plugins: PluginLine[], text: string): PluginLine[] => {
  const wanted = text.trim().toLowerCase();
  const all = wanted.split(/[\s,]+/).filter(Boolean);
  const words = all.some((word) => !EMPTY.has(word)) ? all.filter((word) => !EMPTY.has(word)) : all;
  const judged = plugins.map((plugin) => {
    const others = WORDS[plugin.name] ?? '';
    const about = `${plugin.name} ${plugin.summary} ${others}`.toLowerCase();
    const has = words.filter((word) => about.includes(word)).length;
    const rank = plugin.name === wanted ? 3 : plugin.name.includes(wanted) ? 2 : about.includes(wanted) ? 1 : 0;
    return { plugin, has, rank };
  });
  const most = Math.max(0, ...judged.map((one) => one.has));
  const least = most === words.length ? most : Math.max(1, Math.ceil(words.length / 2));
  return judged
    .filter((one) => one.has >= least)
    .sort((one, other) => other.rank - one.rank || other.has - one.has || one.plugin.name.localeCompare(other.plugin.name))
    .map((one) => one.plugin);
};
