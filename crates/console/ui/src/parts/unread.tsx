// Fields that hold a text which can't be read: while there is one nothing is sent, because what it says would be left out.

import { createContext, type ReactNode, useCallback, useContext, useEffect, useId, useRef } from 'react';

const Context = createContext<(field: string, bad: boolean) => void>(() => {});

/** Tells the form around a field whether its text can't be read. */
export const useUnread = (bad: boolean) => {
  const field = useId();
  const tell = useContext(Context);
  useEffect(() => {
    tell(field, bad);
    return () => tell(field, false);
  }, [tell, field, bad]);
};

/** A form that wants to know how many of its fields can't be read. */
export function Readable({ count, children }: { count: (unread: number) => void; children: ReactNode }) {
  const unread = useRef(new Set<string>());
  const tell = useCallback(
    (field: string, bad: boolean) => {
      if (unread.current.has(field) === bad) return;
      if (bad) unread.current.add(field);
      else unread.current.delete(field);
      count(unread.current.size);
    },
    [count],
  );
  return <Context.Provider value={tell}>{children}</Context.Provider>;
}
