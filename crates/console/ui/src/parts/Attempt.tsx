// What came back of a request that was sent through the gateway: the answer, and its way step by step.

import { Alert, Badge, Group, Stack, Text } from '@mantine/core';
import { Link } from '@tanstack/react-router';

import type { Tried } from '../lib/api';
import { millis } from '../lib/format';
import { t } from '../texts';
import { Card } from './Message';

/** The colour of a status. */
export const colourOf = (status: number) => (status >= 500 ? 'red' : status >= 400 ? 'orange' : status >= 300 ? 'blue' : 'teal');

interface Step {
  label: string;
  about?: string;
  began: number;
  took: number | null;
  kind: 'plugin' | 'node' | 'total';
}

const stepsOf = ({ request, plugins, upstream_began_ms }: NonNullable<Tried['way']>): Step[] => {
  const steps: Step[] = plugins.map((ran) => ({ label: ran.name, about: ran.phase, began: ran.began_ms, took: ran.took_ms, kind: 'plugin' }));
  if (request.node && upstream_began_ms !== null) {
    steps.push({
      label: t.attempt.node(request.node),
      about: request.tries.length > 1 ? t.attempt.tries(request.tries.join(', ')) : String(request.tries[0] ?? ''),
      began: upstream_began_ms,
      took: request.upstream_took_ms,
      kind: 'node',
    });
  }
  // In the order in which they began; the log comes behind the last byte.
  steps.sort((one, other) => one.began - other.began);
  return [...steps, { label: t.attempt.total, began: 0, took: request.took_ms, kind: 'total' }];
};

const COLOUR = { plugin: 'var(--mantine-primary-color-filled)', node: '#237f8e', total: 'var(--usher-dim)' } as const;

export function Attempt({ tried }: { tried: Tried }) {
  const { way } = tried;
  return (
    <Card title={t.attempt.title}>
      <Stack gap="sm">
        <Group gap="xs">
          <Badge size="lg" variant="light" color={colourOf(tried.status)}>
            {tried.status}
          </Badge>
          <Text size="sm" c="dimmed" className="wrap">
            {t.attempt.took(millis(tried.took_ms), tried.listener)}
          </Text>
        </Group>
        {way ? <Way way={way} /> : <Text size="sm" c="dimmed">{t.attempt.noWay}</Text>}
        <details>
          <summary className="summary">{t.attempt.headers(tried.headers.length)}</summary>
          <table className="diff" aria-label={t.attempt.headers(tried.headers.length)}>
            <tbody>
              {tried.headers.map((header, at) => (
                // A name may come more than once.
                // eslint-disable-next-line
                <tr key={at}>
                  <th scope="row" className="wrap mono">
                    {header.name}
                  </th>
                  <td className="wrap mono">{header.value}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </details>
        <div>
          <Text size="sm" fw={600} mb={4}>
            {t.attempt.body}
          </Text>
          {tried.body ? (
            <pre className="answer" tabIndex={0} role="group" aria-label={t.attempt.body}>
              {pretty(tried)}
            </pre>
          ) : (
            <Text size="sm" c="dimmed">
              {tried.body_bytes === 0 ? t.attempt.noBody : t.attempt.noText(tried.body_bytes)}
            </Text>
          )}
          {tried.is_cut && (
            <Text size="xs" c="dimmed">
              {t.attempt.cut}
            </Text>
          )}
        </div>
      </Stack>
    </Card>
  );
}

/** JSON is laid out; everything else is shown as it came. */
const pretty = ({ body, headers, is_cut }: Tried) => {
  const type = headers.find((header) => header.name === 'content-type')?.value ?? '';
  if (!body || is_cut || !type.includes('json')) return body;
  try {
    return JSON.stringify(JSON.parse(body), null, 2);
  } catch {
    return body;
  }
};

function Way({ way }: { way: NonNullable<Tried['way']> }) {
  const { request } = way;
  const steps = stepsOf(way);
  const whole = Math.max(request.took_ms, ...steps.map((step) => step.began + (step.took ?? 0)), 0.001);
  return (
    <div>
      <Text size="sm" fw={600} mb={4}>
        {t.attempt.way}
      </Text>
      <Text size="sm" mb={6} className="wrap">
        {request.route ? (
          <>
            {t.attempt.route}{' '}
            <Link to="/objects/$kind/$id" params={{ kind: 'routes', id: request.route }}>
              {request.route_name ?? request.route}
            </Link>
          </>
        ) : (
          t.attempt.noRoute
        )}
        {request.consumer && `; ${t.attempt.consumer.toLowerCase()} ${request.consumer}`}
        {'; '}
        {request.plugin ? t.attempt.by(request.plugin) : t.attempt.answered[request.answered_by]}
        {request.cause && `, ${t.attempt.cause} ${request.cause}`}
      </Text>
      <div className="scroll-x" tabIndex={0} role="group" aria-label={t.attempt.way}>
        <table className="way num">
          <thead>
            <tr>
              <th scope="col">{t.attempt.step}</th>
              <th scope="col">{t.attempt.when}</th>
              <th scope="col">{t.attempt.took_}</th>
              <td aria-hidden />
            </tr>
          </thead>
          <tbody>
            {steps.map((step, at) => (
              // A plugin may run in several phases, and again with each try.
              // eslint-disable-next-line
              <tr key={at}>
                <th scope="row">
                  {step.label} {step.about && <span className="dim">{step.about}</span>}
                </th>
                <td>{millis(step.began)}</td>
                <td>{step.took === null ? t.attempt.cutShort : millis(step.took)}</td>
                <td className="bar" aria-hidden>
                  <div style={{ marginLeft: `${Math.min(99, (step.began / whole) * 100)}%`, width: `max(2px, ${Math.min(100, ((step.took ?? 0) / whole) * 100)}%)`, background: COLOUR[step.kind] }} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {way.request.failed_by && (
        <Alert mt="xs" color="red" variant="light">
          {t.requests.failedBy}: {way.request.failed_by}
        </Alert>
      )}
    </div>
  );
}
