// What was changed, in a few words.

import type { Entry } from './api';
import { kindOf } from './kinds';
import { t } from '../texts';

/** The first object of a change, and how many more there are. */
export const summary = ({ objects: [first], total }: Entry) => {
  if (!first) return t.history.objects(total);
  return `${t.plan.op[first.op]}: ${kindOf(first.kind)?.word ?? first.kind} ${first.id}${total > 1 ? ` +${(total - 1).toLocaleString('en')}` : ''}`;
};
