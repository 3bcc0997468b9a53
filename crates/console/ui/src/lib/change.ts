// What was changed, in a few words.

import type { Entry } from './api';
import { t } from '../texts';

/** The first object of a change, and how many more there are. */
export const summary = ({ changes: [first], total }: Entry) => {
  if (!first) return t.history.objects(total);
  return `${t.plan.op[first.op]}: ${first.kind} ${first.id}${total > 1 ? ` +${(total - 1).toLocaleString('en')}` : ''}`;
};
