// Numbers and times as people read them.

export const count = (number: number) => number.toLocaleString('en', { maximumFractionDigits: number < 10 ? 1 : 0 });

export const percent = (share: number) => `${(share * 100).toFixed(share > 0 && share < 0.1 ? 2 : 1)} %`;

export const millis = (ms: number) => {
  if (ms >= 10_000) return `${(ms / 1000).toFixed(1)} s`;
  if (ms >= 100) return `${Math.round(ms)} ms`;
  return `${ms.toFixed(ms < 10 ? 2 : 1)} ms`;
};

export const clock = (ms: number) => new Date(ms).toLocaleTimeString('en-GB');

export const day = (ms: number) =>
  new Date(ms).toLocaleString('en-GB', { day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit' });

const SPANS: [number, Intl.RelativeTimeFormatUnit][] = [
  [60, 'second'],
  [60, 'minute'],
  [24, 'hour'],
  [30, 'day'],
  [12, 'month'],
];
const relative = new Intl.RelativeTimeFormat('en', { numeric: 'auto' });

export const ago = (ms: number, now = Date.now()) => {
  let span = (ms - now) / 1000;
  if (Math.abs(span) < 5) return 'just now';
  for (const [length, unit] of SPANS) {
    if (Math.abs(span) < length) return relative.format(Math.round(span), unit);
    span /= length;
  }
  return relative.format(Math.round(span), 'year');
};

/** A value of the configuration in one line. */
export const line = (value: unknown): string => {
  if (value === undefined) return '';
  if (typeof value === 'string') return value;
  return JSON.stringify(value);
};
