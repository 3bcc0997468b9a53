// A sentence in which code stands between backticks, as schemas and summaries write it.

import { Fragment } from 'react';

export const Coded = ({ text }: { text: string }) => (
  <>
    {text.split(/`([^`]+)`/).map((part, at) =>
      // Parts have no name but their place; every second one is code.
      // eslint-disable-next-line
      at % 2 === 1 ? <code key={at}>{part}</code> : <Fragment key={at}>{part}</Fragment>,
    )}
  </>
);
