// A whole configuration at once: planned from a document, and downloaded as one. And an API by its OpenAPI document.

import { Alert, Button, FileButton, Group, SegmentedControl, Stack, Switch, Text } from '@mantine/core';
import { IconDownload, IconFile } from '@tabler/icons-react';
import { useNavigate, useSearch } from '@tanstack/react-router';
import { lazy, Suspense, useState } from 'react';

import { address, Refused } from '../lib/api';
import { Card, Head, Problem, Wait } from '../parts/Message';
import { usePlans } from '../parts/plans';
import { Unsaved } from '../parts/unsaved';
import { Publish } from '../parts/Publish';
import { useMay } from '../parts/session';
import { t } from '../texts';

/** What a document of Usher's own form begins with. */
const FIRST = 'usher: 1\n';

const Editor = lazy(() => import('../parts/Editor'));

export function Document() {
  const editor = useMay('chat');
  const { of } = useSearch({ from: '/inside/import' });
  const navigate = useNavigate();
  const turn = (next: string) => void navigate({ to: '/import', search: next === 'openapi' ? { of: 'openapi' } : {}, replace: true });
  return (
    <>
      <Head title={t.document.title} intro={t.document.intro}>
        {editor && (
          <SegmentedControl
            aria-label={t.document.what}
            value={of ?? 'configuration'}
            onChange={turn}
            data={[
              { value: 'configuration', label: t.document.configuration },
              { value: 'openapi', label: t.document.api },
            ]}
          />
        )}
      </Head>
      {editor && of === 'openapi' ? <Publish /> : <Configuration editor={editor} />}
    </>
  );
}

function Configuration({ editor }: { editor: boolean }) {
  const plans = usePlans();
  const [text, setText] = useState(FIRST);
  const [applied, setApplied] = useState(FIRST);
  const [deletes, setDeletes] = useState(false);
  const [error, setError] = useState<unknown>();
  const propose = async () => {
    setError(undefined);
    try {
      await plans.propose({ document: text, delete: deletes, intent: 'import of a document' }, () => setApplied(text));
    } catch (refused) {
      setError(refused);
    }
  };
  const nothing = error instanceof Refused && error.cause.code === 'nothing_to_change';
  return (
    <Stack>
      <Unsaved dirty={editor && text.trim() !== '' && text !== FIRST && text !== applied} />
      {editor && (
        <Card title={t.document.paste}>
          <Stack gap="sm">
            <Suspense fallback={<Wait />}>
              <Editor value={text} onChange={setText} language="yaml" label={t.document.paste} />
            </Suspense>
            <Switch label={t.document.delete} checked={deletes} onChange={(event) => setDeletes(event.currentTarget.checked)} />
            {nothing ? <Alert color="teal">{t.document.nothing}</Alert> : error !== undefined && <Problem error={error} />}
            <Group>
              <FileButton onChange={(file) => void file?.text().then(setText)} accept=".yaml,.yml,.json">
                {(props) => (
                  <Button {...props} variant="default" leftSection={<IconFile size={16} aria-hidden />}>
                    {t.document.drop}
                  </Button>
                )}
              </FileButton>
              <Button disabled={text.trim() === '' || text === FIRST} onClick={() => void propose()}>
                {t.document.plan}
              </Button>
            </Group>
          </Stack>
        </Card>
      )}
      <Card title={t.document.export}>
        <Group>
          <Text size="sm" c="dimmed">
            {t.document.exportText}
          </Text>
          <Button component="a" variant="light" href={address('/export')} download="usher.yaml" leftSection={<IconDownload size={16} aria-hidden />}>
            {t.document.export}
          </Button>
        </Group>
      </Card>
    </Stack>
  );
}
