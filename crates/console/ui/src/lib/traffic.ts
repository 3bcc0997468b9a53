// The gateway's own time series: what was served, second by second for ten minutes, by minute for a day, by hour for a month.

import { get, type Json } from './api';

export interface Measure {
  requests: number;
  errors: number;
  refused: number;
  received_bytes: number;
  sent_bytes: number;
  mean_ms: number | null;
  p50_ms: number | null;
  p95_ms: number | null;
  p99_ms: number | null;
}

export interface Series {
  key: Record<string, Json>;
  total: Measure;
  requests: number[];
  errors: number[];
  refused: number[];
  p50_ms: (number | null)[];
  p95_ms: (number | null)[];
  p99_ms: (number | null)[];
}

export interface Traffic {
  from: number;
  to: number;
  step: number;
  since: number | null;
  total: Measure;
  series: Series[];
  more: number;
  /** Of how many gateways it is, where others are asked; without it, of the one that answers. */
  gateways?: { counted: number; missing: { gateway: string; reason: string }[] };
}

/** Spans of time that one can look at, as Usher writes them. */
export const SPANS = ['5m', '1h', '24h', '30d'] as const;
export type Span = (typeof SPANS)[number];

/** How often a span is asked for anew, in milliseconds. */
export const every = (span: Span) => (span === '5m' ? 2_000 : span === '1h' ? 10_000 : 60_000);

export const overTime = (span: Span) => ({
  queryKey: ['traffic', span],
  queryFn: ({ signal }: { signal: AbortSignal }) => get<Traffic>('/traffic', { range: span, points: 120 }, signal),
  refetchInterval: every(span),
});

export const topOf = (group: 'route' | 'consumer' | 'cause', span: Span) => ({
  queryKey: ['traffic', span, group],
  queryFn: ({ signal }: { signal: AbortSignal }) => get<Traffic>('/traffic', { range: span, points: 0, group, limit: 7 }, signal),
  refetchInterval: Math.max(every(span), 5_000),
});

export interface Top {
  key: string;
  label: string;
  count: number;
  errors: number;
}

/** The first rows of a series told apart by one name; those too rare to be kept by themselves are left out. */
export const topsOf = (traffic: Traffic | undefined, group: string): Top[] =>
  (traffic?.series ?? [])
    .map((series) => ({ key: String(series.key[group] ?? ''), count: series.total.requests, errors: series.total.errors }))
    .filter((row) => row.key !== '*' && row.count > 0)
    .map((row) => ({ ...row, label: row.key }))
    .slice(0, 6);

export const axisOf = (traffic: Traffic) => Array.from({ length: traffic.series[0]?.requests.length ?? 0 }, (_, at) => traffic.from + at * traffic.step);
