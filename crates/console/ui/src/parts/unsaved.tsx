// Asks before something is lost that was written and not saved: by a link, by Back, or because the page is left altogether.

import { Button, Group, Modal, Stack, Text } from '@mantine/core';
import { useBlocker } from '@tanstack/react-router';

import { t } from '../texts';

export function Unsaved({ dirty }: { dirty: boolean }) {
  const blocker = useBlocker({
    shouldBlockFn: ({ current, next }) => current.pathname !== next.pathname,
    enableBeforeUnload: dirty,
    disabled: !dirty,
    withResolver: true,
  });
  return (
    // Above a plan, which may stand over the page that is left.
    <Modal opened={blocker.status === 'blocked'} onClose={() => blocker.reset?.()} title={t.unsaved.title} zIndex={300} closeButtonProps={{ 'aria-label': t.close }}>
      <Stack>
        <Text>{t.unsaved.text}</Text>
        <Group justify="flex-end">
          <Button variant="default" color="red" onClick={() => blocker.proceed?.()}>
            {t.unsaved.leave}
          </Button>
          <Button onClick={() => blocker.reset?.()} data-autofocus>
            {t.unsaved.stay}
          </Button>
        </Group>
      </Stack>
    </Modal>
  );
}
