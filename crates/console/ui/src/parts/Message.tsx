// What went wrong, with the next step; and the pages for what isn't there.

import { Alert, Button, Center, Loader, Stack, Text, Title } from '@mantine/core';
import { IconAlertTriangle } from '@tabler/icons-react';
import { Link } from '@tanstack/react-router';

import { Refused } from '../lib/api';
import { here } from '../lib/words';
import { t } from '../texts';

export function Problem({ error, title, again }: { error: unknown; title?: string; again?: () => void }) {
  const refused = error instanceof Refused ? error : undefined;
  const message = error instanceof Error ? error.message : String(error);
  return (
    <Alert color="red" variant="light" icon={<IconAlertTriangle aria-hidden />} title={title} role="alert">
      <Text size="sm" className="wrap">
        {here(message)}
      </Text>
      {refused?.cause.field && (
        <Text size="sm" c="dimmed" className="wrap">
          {t.at} <code>{refused.cause.field}</code>
          {refused.cause.hint && `: ${refused.cause.hint}`}
        </Text>
      )}
      {refused?.cause.next && (
        <Text size="sm" mt={4} className="wrap">
          {t.nextStep} {here(refused.cause.next)}
        </Text>
      )}
      {again && (
        <Button size="compact-sm" variant="light" color="red" mt="xs" onClick={again}>
          {t.retry}
        </Button>
      )}
    </Alert>
  );
}

export function Wait() {
  return (
    <Center mih="12rem">
      <Loader aria-label={t.loading} />
    </Center>
  );
}

export function Missing() {
  return (
    <Center mih="60vh">
      <Stack align="center">
        <Title order={1} size="h3">
          {t.notFound}
        </Title>
        <Button component={Link} to="/" variant="light">
          {t.home}
        </Button>
      </Stack>
    </Center>
  );
}

export function Broken({ error }: { error: unknown }) {
  return (
    <Center mih="60vh" p="md">
      <Stack maw="40rem">
        <Problem error={error} title={error instanceof Refused ? undefined : t.failed} again={() => window.location.reload()} />
      </Stack>
    </Center>
  );
}

/** The head of a page. */
export function Head({ title, intro, children }: { title: string; intro?: React.ReactNode; children?: React.ReactNode }) {
  return (
    <div style={{ display: 'flex', flexWrap: 'wrap', gap: '0.75rem', alignItems: 'flex-end', marginBottom: '1rem' }}>
      <div style={{ flex: '1 1 16rem', minWidth: 0 }}>
        <Title order={1} size="h2" className="wrap">
          {title}
        </Title>
        {intro && (
          <Text c="dimmed" size="sm" mt={2}>
            {intro}
          </Text>
        )}
      </div>
      {children}
    </div>
  );
}

/** A part of a page with a head of its own. */
export function Card({ title, beside, children }: { title?: string; beside?: React.ReactNode; children: React.ReactNode }) {
  return (
    <section className="card" aria-label={title}>
      {title && (
        <div className="card-head">
          <h2 style={{ font: 'inherit', margin: 0 }}>{title}</h2>
          {beside}
        </div>
      )}
      {children}
    </section>
  );
}

/** In place of a page that only an administrator has. */
export function NotYours() {
  return <Alert color="yellow">{t.notYours}</Alert>;
}
