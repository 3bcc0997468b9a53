// Asks before something is lost that was written and not saved: by a link, by Back, by closing the dialog it stands in, or because the page is left
// altogether.

import { Button, Group, Modal, type ModalProps, Stack, Text } from '@mantine/core';
import { useBlocker } from '@tanstack/react-router';
import { createContext, useContext, useEffect, useMemo, useRef, useState } from 'react';

import { t } from '../texts';

/** The dialog around a form, which asks before it closes. */
const Around = createContext<(dirty: boolean) => void>(() => {});

export function Unsaved({ dirty }: { dirty: boolean }) {
  const tell = useContext(Around);
  useEffect(() => {
    tell(dirty);
    return () => tell(false);
  }, [dirty, tell]);
  const blocker = useBlocker({
    shouldBlockFn: ({ current, next }) => current.pathname !== next.pathname,
    enableBeforeUnload: dirty,
    disabled: !dirty,
    withResolver: true,
  });
  return <Question opened={blocker.status === 'blocked'} stay={() => blocker.reset?.()} leave={() => blocker.proceed?.()} />;
}

/** A dialog with a form in it that holds an `Unsaved`: by its cross, Esc or a click beside, nothing that was written is lost without a question. */
export function FormModal({ opened, close, title, size, children }: { opened: boolean; close: () => void; title: string; size?: ModalProps['size']; children: React.ReactNode }) {
  const dirty = useRef(false);
  const [asks, setAsks] = useState(false);
  const tell = useMemo(() => (is: boolean) => void (dirty.current = is), []);
  return (
    <Around.Provider value={tell}>
      <Modal opened={opened} onClose={() => (dirty.current ? setAsks(true) : close())} title={title} size={size} closeButtonProps={{ 'aria-label': t.close }}>
        {children}
      </Modal>
      <Question
        opened={opened && asks}
        stay={() => setAsks(false)}
        leave={() => {
          setAsks(false);
          close();
        }}
      />
    </Around.Provider>
  );
}

function Question({ opened, stay, leave }: { opened: boolean; stay: () => void; leave: () => void }) {
  return (
    // Above a plan, which may stand over the page that is left.
    <Modal opened={opened} onClose={stay} title={t.unsaved.title} zIndex={300} closeButtonProps={{ 'aria-label': t.close }}>
      <Stack>
        <Text>{t.unsaved.text}</Text>
        <Group justify="flex-end">
          <Button variant="default" color="red" onClick={leave}>
            {t.unsaved.leave}
          </Button>
          <Button onClick={stay} data-autofocus>
            {t.unsaved.stay}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
