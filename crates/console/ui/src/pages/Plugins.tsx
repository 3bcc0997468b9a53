// The plugins that there are, and the page of each: what it does and what it takes.

import { Badge, Button, Group, Table, Text, TextInput } from '@mantine/core';
import { IconSearch } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { useState } from 'react';

import type { Members } from '../lib/api';
import { line } from '../lib/format';
import { type Shape, shapeOf } from '../lib/schema';
import { fitting } from '../lib/wanted';
import { Coded } from '../parts/Coded';
import { Inline, Markdown } from '../parts/Markdown';
import { Card, Head, Problem, Wait } from '../parts/Message';
import { pluginQuery, pluginsQuery } from '../parts/PluginsField';
import { t } from '../texts';

export function Plugins() {
  const plugins = useQuery(pluginsQuery);
  const [text, setText] = useState('');
  const fits = fitting(plugins.data?.plugins ?? [], text);
  return (
    <>
      <Head title={t.plugins.title} intro={t.plugins.intro}>
        <TextInput leftSection={<IconSearch size={16} aria-hidden />} aria-label={t.plugins.search} placeholder={t.plugins.search} value={text} onChange={(event) => setText(event.currentTarget.value)} w="22rem" maw="100%" />
      </Head>
      {plugins.error && <Problem error={plugins.error} />}
      {plugins.isPending && <Wait />}
      <div className="grid">
        {fits.map((plugin) => (
          <Link key={plugin.name} to="/plugins/$name" params={{ name: plugin.name }} className="card plain">
            <Group gap={6} mb={4}>
              <Text fw={600} size="sm">
                {plugin.name}
              </Text>
              {plugin.auth && (
                <Badge size="xs" variant="light">
                  {t.form.pickAuth}
                </Badge>
              )}
            </Group>
            <Text size="xs" c="dimmed">
              <Coded text={plugin.summary} />
            </Text>
          </Link>
        ))}
      </div>
      {plugins.data && fits.length === 0 && <Text c="dimmed">{t.plugins.nothing}</Text>}
    </>
  );
}

/** Parts of the manual's page that are told below by the schemas themselves. */
const TABLES = ['Fields', 'Metadata'];

export function OnePlugin() {
  const { name } = useParams({ from: '/inside/plugins/$name' });
  const plugin = useQuery(pluginQuery(name));
  if (plugin.error) return <Problem error={plugin.error} />;
  if (!plugin.data) return <Wait />;
  const { description, page, schema, credential_schema, metadata_schema, phases, priority } = plugin.data;
  return (
    <>
      <Head title={name} intro={description && <Coded text={description} />}>
        <Button component={Link} to={`/objects/routes?plugin=${encodeURIComponent(name)}`} variant="light">
          {t.plugins.used}
        </Button>
      </Head>
      <Group gap="xs" mb="md">
        <Text size="sm">{t.plugins.phases}:</Text>
        {phases.map((phase) => (
          <Badge key={phase} variant="light" tt="none">
            {phase}
          </Badge>
        ))}
        <Text size="sm" ml="md">
          {t.plugins.priority}: {priority}
        </Text>
      </Group>
      {page && (
        <div style={{ marginBottom: '1rem' }}>
          <Card>
            <Markdown text={page} without={TABLES} />
          </Card>
        </div>
      )}
      <Members title={t.plugins.settings} schema={schema} />
      {credential_schema && <Members title={t.plugins.credential} schema={credential_schema} />}
      {metadata_schema && <Members title={t.plugins.metadata} schema={metadata_schema} />}
    </>
  );
}

const KINDS: Record<Shape['kind'], string> = {
  text: 'text', number: 'number', whole: 'whole number', truth: 'true or false', choice: 'one of', texts: 'list of texts', pairs: 'names and texts', members: 'object', any: 'several forms',
};

interface Row {
  path: string;
  shape: Shape;
  required: boolean;
}

const rowsOf = (shape: Shape, above = ''): Row[] =>
  (shape.members ?? []).flatMap(([name, inner, required]) => [{ path: above + name, shape: inner, required }, ...rowsOf(inner, `${above}${name}.`)]);

function Members({ title, schema }: { title: string; schema: Members }) {
  const rows = rowsOf(shapeOf(schema, schema));
  return (
    <div style={{ marginBottom: '1rem' }}>
      <Card title={title}>
        {rows.length === 0 ? (
          <Text size="sm" c="dimmed">
            {t.form.noSettings}
          </Text>
        ) : (
          <div className="scroll-x" tabIndex={0} role="group" aria-label={title}>
            <Table className="rows" fz="sm">
              <Table.Thead>
                <Table.Tr>
                  <Table.Th>{t.plan.field}</Table.Th>
                  <Table.Th>{t.plugins.type}</Table.Th>
                  <Table.Th>{t.plugins.usual}</Table.Th>
                  <Table.Th>{t.plugins.meaning}</Table.Th>
                </Table.Tr>
              </Table.Thead>
              <Table.Tbody>
                {rows.map((row) => (
                  <Table.Tr key={row.path}>
                    <Table.Td className="mono wrap">
                      {row.path}
                      {row.required && (
                        <Badge size="xs" ml={6} variant="light" color="orange">
                          {t.form.required}
                        </Badge>
                      )}
                    </Table.Td>
                    <Table.Td className="wrap" maw="14rem">
                      {KINDS[row.shape.kind]}
                      {row.shape.choices && `: ${row.shape.choices.join(', ')}`}
                    </Table.Td>
                    <Table.Td className="mono wrap" maw="10rem">
                      {row.shape.usual === null ? '' : line(row.shape.usual)}
                    </Table.Td>
                    <Table.Td className="wrap">
                      <Inline text={row.shape.about ?? ''} />
                    </Table.Td>
                  </Table.Tr>
                ))}
              </Table.Tbody>
            </Table>
          </div>
        )}
      </Card>
    </div>
  );
}
