// A number as it was typed: what is out of bounds, or missing where one is wanted, stays and is said at the field. Nothing is corrected silently.

import { NumberInput } from '@mantine/core';

import type { Json } from '../lib/api';
import { t } from '../texts';

interface Props {
  value: Json | undefined;
  onChange: (value: number | string | undefined) => void;
  least?: number;
  most?: number;
  /** Whether an empty field is an error. */
  required?: boolean;
  decimal?: boolean;
  error?: string;
  label?: React.ReactNode;
  description?: React.ReactNode;
  placeholder?: string;
  hideControls?: boolean;
  withAsterisk?: boolean;
  maw?: string;
  'aria-label'?: string;
}

export function NumberField({ value, onChange, least, most, required, decimal, error, ...rest }: Props) {
  const typed = typeof value === 'number' || typeof value === 'string' ? value : '';
  return (
    <NumberInput
      {...rest}
      value={typed}
      required={required}
      // Steps of the buttons keep within them; what is typed is left as it is.
      min={least}
      max={most}
      clampBehavior="none"
      allowDecimal={decimal === true}
      error={wrong(typed, least, most, required) ?? error}
      // What is too long for a number comes as text, which is refused by its field; nothing of it is lost.
      onChange={(next) => onChange(next === '' ? undefined : next)}
    />
  );
}

const wrong = (value: number | string, least?: number, most?: number, required?: boolean): string | undefined => {
  if (value === '') return required ? t.form.numberMissing(least, most) : undefined;
  const number = Number(value);
  const isOut = Number.isNaN(number) || (least !== undefined && number < least) || (most !== undefined && number > most);
  return isOut ? t.form.numberOut(String(value), least, most) : undefined;
};
