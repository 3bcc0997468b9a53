// What changes, field by field, as a table that also reads well aloud.

import { Badge, Button, Text } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { useState } from 'react';

import type { Changed, Json } from '../lib/api';
import { kindOf } from '../lib/kinds';
import { t } from '../texts';

const COLOUR = { create: 'teal', update: 'yellow', delete: 'red' } as const;

const shown = (value: Json | undefined) => {
  if (value === undefined) return '';
  return typeof value === 'string' ? value : JSON.stringify(value, null, 2);
};

export function ObjectLink({ kind, id }: { kind: string; id: string }) {
  const known = kindOf(kind);
  return (
    <Link to="/objects/$kind/$id" params={{ kind: known?.many ?? kind, id }} className="wrap">
      {known?.word ?? kind} {id}
    </Link>
  );
}

/** Objects that are shown at once: a table each is more than a page holds where thousands were changed. */
const SHOWN = 50;

/** `all`: whoever gives the changes gives them in pages. */
export function Diff({ changes, links, all }: { changes: Changed[]; links?: boolean; all?: boolean }) {
  const [most, setMost] = useState(all ? Infinity : SHOWN);
  return (
    <>
      {changes.slice(0, most).map((change) => (
        <section key={`${change.kind}/${change.id}`} style={{ marginBottom: '0.9rem' }}>
          <Text size="sm" fw={600} mb={4}>
            <Badge variant="light" color={COLOUR[change.op]} mr={6}>
              {t.plan.op[change.op]}
            </Badge>
            {links && change.op !== 'delete' ? <ObjectLink kind={change.kind} id={change.id} /> : `${kindOf(change.kind)?.word ?? change.kind} ${change.id}`}
          </Text>
          <div className="scroll-x" tabIndex={0} role="group" aria-label={`${change.kind} ${change.id}`}>
            <table className="diff">
              <thead>
                <tr>
                  <th scope="col">{t.plan.field}</th>
                  {change.op !== 'create' && <th scope="col">{t.plan.before}</th>}
                  {change.op !== 'delete' && <th scope="col">{t.plan.after}</th>}
                </tr>
              </thead>
              <tbody>
                {change.fields.map((field) => (
                  <tr key={field.path}>
                    <th scope="row" className="wrap" style={{ fontWeight: 500 }}>
                      {field.path || t.plan.whole}
                    </th>
                    {change.op !== 'create' && (
                      <td className={field.before === undefined ? undefined : 'was'}>
                        <pre>{shown(field.before)}</pre>
                      </td>
                    )}
                    {change.op !== 'delete' && (
                      <td className={field.after === undefined ? undefined : 'is'}>
                        <pre>{shown(field.after)}</pre>
                      </td>
                    )}
                  </tr>
                ))}
              </tbody>
            </table>
          </div>
        </section>
      ))}
      {changes.length > most && (
        <Button size="compact-sm" variant="default" onClick={() => setMost(most + SHOWN)}>
          {t.plan.next(Math.min(SHOWN, changes.length - most), changes.length - most)}
        </Button>
      )}
    </>
  );
}
