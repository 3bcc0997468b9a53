// The manual's Markdown, as far as its pages use it: heads, paragraphs, code, lists, tables, and links. Nothing in it becomes HTML by itself.

import { Table, Text, Title } from '@mantine/core';
import { Link } from '@tanstack/react-router';
import { Fragment, useMemo } from 'react';

type Block =
  | { is: 'head'; level: number; text: string }
  | { is: 'code'; text: string }
  | { is: 'list'; items: string[] }
  | { is: 'table'; head: string[]; rows: string[][] }
  | { is: 'text'; text: string };

const cells = (line: string) =>
  line
    .trim()
    .replace(/^\||\|$/g, '')
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replace(/\\\|/g, '|'));

const blocksOf = (text: string): Block[] => {
  const lines = text.split('\n');
  const blocks: Block[] = [];
  let at = 0;
  const take = (fits: (line: string) => boolean) => {
    const taken: string[] = [];
    for (let line = lines[at]; line !== undefined && fits(line); line = lines[at]) {
      taken.push(line);
      at += 1;
    }
    return taken;
  };
  while (at < lines.length) {
    const line = lines[at] ?? '';
    const head = /^(#{1,4}) (.*)$/.exec(line);
    if (line.trim() === '') at += 1;
    else if (head) {
      blocks.push({ is: 'head', level: head[1]?.length ?? 1, text: head[2] ?? '' });
      at += 1;
    } else if (line.startsWith('```')) {
      at += 1;
      blocks.push({ is: 'code', text: take((one) => !one.startsWith('```')).join('\n') });
      at += 1;
    } else if (/^[-*] /.test(line)) {
      // A line that is indented goes on with the item above.
      const items = take((one) => /^[-*] |^ {2,}\S/.test(one));
      blocks.push({ is: 'list', items: items.join('\n').split(/\n(?=[-*] )/).map((item) => item.replace(/^[-*] /, '').replace(/\n\s+/g, ' ')) });
    } else if (line.startsWith('|') && /^\|[\s:|-]+\|$/.test(lines[at + 1]?.trim() ?? '')) {
      const [first = '', , ...rest] = take((one) => one.startsWith('|'));
      blocks.push({ is: 'table', head: cells(first), rows: rest.map(cells) });
    } else {
      blocks.push({ is: 'text', text: take((one) => one.trim() !== '' && !/^(#{1,4} |```|\||[-*] )/.test(one)).join(' ') || (lines[at++] ?? '') });
    }
  }
  return blocks;
};

/** Code, emphasis and links of a line. */
export function Inline({ text }: { text: string }) {
  const parts = text.split(/(`[^`]+`|\*\*[^*]+\*\*|\[[^\]]+\]\([^)\s]+\))/);
  return (
    <>
      {parts.map((part, at) => {
        const link = /^\[([^\]]+)\]\(([^)\s]+)\)$/.exec(part);
        // Parts have no name but their place.
        // eslint-disable-next-line
        if (link) return <Leads key={at} words={link[1] ?? ''} to={link[2] ?? ''} />;
        if (part.startsWith('`') && part.length > 2) return <code key={at}>{part.slice(1, -1)}</code>;
        if (part.startsWith('**') && part.length > 4) return <b key={at}>{part.slice(2, -2)}</b>;
        return <Fragment key={at}>{part}</Fragment>;
      })}
    </>
  );
}

function Leads({ words, to }: { words: string; to: string }) {
  const plugin = /^([a-z0-9-]+)\.md$/.exec(to)?.[1];
  if (plugin) {
    return (
      <Link to="/plugins/$name" params={{ name: plugin }}>
        {words.replace(/^`|`$/g, '')}
      </Link>
    );
  }
  // Other pages of the manual aren't served here.
  return <>{words.replace(/`/g, '')}</>;
}

/** `without`: heads whose parts are left out, with the title of the page itself. */
export function Markdown({ text, without = [] }: { text: string; without?: string[] }) {
  const blocks = useMemo(() => {
    let left = false;
    return blocksOf(text).filter((block) => {
      if (block.is === 'head') left = without.some((name) => block.text.startsWith(name));
      return !left && !(block.is === 'head' && block.level === 1);
    });
  }, [text, without]);
  return (
    <div className="manual">
      {blocks.map((block, at) => {
        switch (block.is) {
          case 'head':
            return (
              // Blocks have no name but their place.
              // eslint-disable-next-line
              <Title key={at} order={block.level <= 2 ? 2 : 3} size="h5" mt="md" mb={6}>
                <Inline text={block.text} />
              </Title>
            );
          case 'code':
            return (
              <pre key={at} className="answer" tabIndex={0}>
                {block.text}
              </pre>
            );
          case 'list':
            return (
              <ul key={at}>
                {block.items.map((item) => (
                  <li key={item}>
                    <Inline text={item} />
                  </li>
                ))}
              </ul>
            );
          case 'table':
            return (
              <div key={at} className="scroll-x" tabIndex={0} role="group" aria-label={block.head.join(', ')}>
                <Table className="rows" fz="sm">
                  <Table.Thead>
                    <Table.Tr>
                      {block.head.map((cell, column) => (
                        <Table.Th key={`${column}-${cell}`}>
                          <Inline text={cell} />
                        </Table.Th>
                      ))}
                    </Table.Tr>
                  </Table.Thead>
                  <Table.Tbody>
                    {block.rows.map((row) => (
                      <Table.Tr key={row.join('|')}>
                        {row.map((cell, column) => (
                          <Table.Td key={`${column}-${cell}`} className="wrap">
                            <Inline text={cell} />
                          </Table.Td>
                        ))}
                      </Table.Tr>
                    ))}
                  </Table.Tbody>
                </Table>
              </div>
            );
          default:
            return (
              <Text key={at} size="sm" mb="xs">
                <Inline text={block.text} />
              </Text>
            );
        }
      })}
    </div>
  );
}
