// A chart over time, with the changes of the configuration as lines on the same axis.

import 'uplot/dist/uPlot.min.css';

import { useComputedColorScheme } from '@mantine/core';
import { useElementSize } from '@mantine/hooks';
import { useEffect, useRef } from 'react';
import uPlot from 'uplot';

import { clock } from '../lib/format';
import { t } from '../texts';

export interface Line {
  label: string;
  colour: string;
  values: (number | null)[];
  fill?: boolean;
}

/** What is written at the lines of the axis: with as many digits as tell them apart. */
export const marksOf = (values: number[], unit: (value: number) => string): string[] => {
  const plain = values.map(unit);
  if (new Set(plain).size === plain.length) return plain;
  // Steps are such as 0.05 or 0.025; what a float adds to them isn't written.
  const step = Number(Math.abs((values[1] ?? 1) - (values[0] ?? 0)).toPrecision(3));
  const digits = Math.min(6, String(step).split('.')[1]?.length ?? 0);
  return values.map((value) => value.toFixed(digits).replace(/^(0)\.0+$/, '$1'));
};

interface Props {
  title: string;
  at: number[];
  lines: Line[];
  /** When something was changed, in seconds since 1970. */
  changes: { at: number; label: string }[];
  unit: (value: number) => string;
}

const HEIGHT = 190;

/** Seconds between times on the axis: whole minutes, which is what is written. */
const STEPS = [60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800, 432_000];

/** A time on the axis: the hour, and the day where it begins. */
const moment = (second: number) => {
  const at = new Date(second * 1000);
  const hour = at.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' });
  return hour === '00:00' ? at.toLocaleDateString('en-GB', { day: 'numeric', month: 'short' }) : hour;
};

/** Where values stand alone. */
const alone: uPlot.Series.Points.Filter = (plot, series) => {
  const values = plot.data[series] ?? [];
  const gap = (at: number) => values[at] === null || values[at] === undefined;
  return Array.from(values, (_, at) => at).filter((at) => !gap(at) && gap(at - 1) && gap(at + 1));
};

export function Chart({ title, at, lines, changes, unit }: Props) {
  const { ref, width } = useElementSize();
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  const marks = useRef(changes);
  const dark = useComputedColorScheme('light') === 'dark';
  marks.current = changes;
  const data = [at, ...lines.map((one) => one.values)] as uPlot.AlignedData;
  const latest = useRef(data);
  latest.current = data;
  const key = lines.map((one) => one.label).join();

  useEffect(() => {
    if (!place.current || width === 0) return undefined;
    const ink = dark ? '#a6b0c6' : '#55607a';
    const grid = dark ? '#262c3b' : '#eceff6';
    const made = new uPlot(
      {
        width,
        height: HEIGHT,
        cursor: { y: false, points: { size: 6 } },
        legend: { show: true, live: true },
        scales: { x: { time: true }, y: { range: (_plot, _least, most) => [0, Math.max(most * 1.15, 0.1)] } },
        axes: [
          { stroke: ink, grid: { show: false }, ticks: { stroke: grid }, font: '11px system-ui', incrs: STEPS, values: (_plot, values) => values.map(moment) },
          { stroke: ink, grid: { stroke: grid }, ticks: { show: false }, size: 54, font: '11px system-ui', values: (_plot, values) => marksOf(values, unit) },
        ],
        series: [
          { value: (_plot: uPlot, value: number | null) => (value === null ? '–' : clock(value * 1000)) },
          ...lines.map((one) => ({
            label: one.label,
            stroke: one.colour,
            width: 1.8,
            fill: one.fill ? `${one.colour}22` : undefined,
            // A value between two that are missing makes no line.
            points: { show: !one.fill, size: 4, fill: one.colour, filter: alone },
            spanGaps: false,
            value: (_plot: uPlot, value: number | null) => (value === null ? '–' : unit(value)),
          })),
        ],
        hooks: {
          draw: [
            (drawn) => {
              const { ctx, bbox } = drawn;
              ctx.save();
              ctx.strokeStyle = dark ? '#ffd166' : '#b45309';
              ctx.setLineDash([4, 4]);
              ctx.lineWidth = 1.2 * devicePixelRatio;
              for (const change of marks.current) {
                const x = drawn.valToPos(change.at, 'x', true);
                if (x < bbox.left || x > bbox.left + bbox.width) continue;
                ctx.beginPath();
                ctx.moveTo(x, bbox.top);
                ctx.lineTo(x, bbox.top + bbox.height);
                ctx.stroke();
              }
              ctx.restore();
            },
          ],
        },
      },
      latest.current,
      place.current,
    );
    plot.current = made;
    return () => {
      made.destroy();
      plot.current = undefined;
    };
    // Made anew for another width or scheme; values are handed to it below.
    // eslint-disable-next-line
  }, [width, dark, key]);
  useEffect(() => {
    plot.current?.setData(data);
  });

  const last = lines.map((one) => {
    const known = one.values.filter((value): value is number => value !== null);
    return `${one.label} ${known.length ? unit(known[known.length - 1] ?? 0) : t.none}`;
  });
  return (
    <figure ref={ref} style={{ margin: 0 }} role="img" aria-label={`${t.overview.chartLabel(title)}. ${last.join(', ')}`}>
      <div ref={place} className="u-legend" />
    </figure>
  );
}
