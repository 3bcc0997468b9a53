// How each chat client reaches this gateway: a link that installs it, a line for a terminal, or a piece of settings. They hold an address, never a key.

import { Badge, Button, Code, CopyButton, Group, Stack, Text } from '@mantine/core';
import { IconCopy, IconDownload } from '@tabler/icons-react';
import { useQuery } from '@tanstack/react-query';

import { get, type Status } from '../lib/api';
import { t } from '../texts';
import { Card } from './Message';

interface Client {
  name: string;
  /** What is copied. */
  line: string;
  /** Where that goes. */
  where: string;
  /** Opens the client, which then asks whether to add the server. */
  install?: string;
  /** What writes the whole package: skills, settings, and a listing. */
  pack?: string;
}

/** The same links as `usher chat-package` writes. */
const clients = (url: string): Client[] => {
  const mcp = `${url}/mcp`;
  const cursor = encodeURIComponent(btoa(JSON.stringify({ url: mcp })));
  const vscode = encodeURIComponent(JSON.stringify({ type: 'http', url: mcp, name: 'usher' }));
  const pack = (target: string) => `usher chat-package --for ${target} --url ${url}`;
  const { terminal, settings } = t.connect;
  return [
    { name: 'Claude Code', line: `claude mcp add --transport http usher ${mcp}`, where: terminal, pack: pack('claude') },
    { name: 'Claude Desktop', line: JSON.stringify({ mcpServers: { usher: { command: 'usher', args: ['mcp', '--url', url] } } }), where: settings('claude_desktop_config.json') },
    { name: 'ChatGPT, Codex', line: `[mcp_servers.usher]\nurl = "${mcp}"`, where: settings('~/.codex/config.toml'), pack: pack('openai') },
    { name: 'Cursor', line: JSON.stringify({ mcpServers: { usher: { url: mcp } } }), where: settings('~/.cursor/mcp.json'), install: `cursor://anysphere.cursor-deeplink/mcp/install?name=usher&config=${cursor}`, pack: pack('cursor') },
    { name: 'Visual Studio Code', line: JSON.stringify({ servers: { usher: { type: 'http', url: mcp } } }), where: settings('.vscode/mcp.json'), install: `vscode:mcp/install?${vscode}`, pack: pack('vscode') },
    { name: 'Gemini', line: `${pack('gemini')} -o usher-extension && gemini extensions install ./usher-extension`, where: terminal },
    { name: t.connect.here, line: `usher chat --url ${url}`, where: terminal },
  ];
};

/** Whether only this machine reaches an address. */
const isLocal = (address: string) => /^(127\.|\[::1\]|localhost)/.test(address);

export function Connect() {
  const status = useQuery({ queryKey: ['status'], queryFn: ({ signal }) => get<Status>('/status', undefined, signal) });
  const chat = status.data?.sides.find((side) => side.name === 'chat side');
  if (!chat) return null;
  const url = `http://${chat.address}`;
  return (
    <div style={{ marginTop: '1.25rem' }}>
      <Card title={t.connect.title}>
        <Text size="sm" c="dimmed" mb="sm" className="wrap">
          {t.connect.text} <Code>{`${url}/mcp`}</Code> {isLocal(chat.address) ? t.connect.local : t.connect.remote}
        </Text>
        <Stack gap="md">
          {clients(url).map((client) => (
            <section key={client.name} aria-label={client.name}>
              <Group justify="space-between" gap="xs" mb={4}>
                <Text size="sm" fw={600}>
                  {client.name}{' '}
                  <Badge size="sm" variant="default" tt="none" fw={500}>
                    {client.where}
                  </Badge>
                </Text>
                <Group gap="xs">
                  {client.install && (
                    <Button size="compact-sm" variant="light" component="a" href={client.install} leftSection={<IconDownload size={14} aria-hidden />}>
                      {t.connect.install(client.name)}
                    </Button>
                  )}
                  <Copy text={client.line} label={`${t.copy}: ${client.name}`} words={t.copy} />
                  {client.pack && <Copy text={client.pack} label={`${t.connect.package}: ${client.name}`} words={t.connect.package} />}
                </Group>
              </Group>
              <Code block className="wrap" style={{ whiteSpace: 'pre-wrap' }}>
                {client.line}
              </Code>
            </section>
          ))}
        </Stack>
      </Card>
    </div>
  );
}

function Copy({ text, label, words }: { text: string; label: string; words: string }) {
  return (
    <CopyButton value={text}>
      {({ copied, copy }) => (
        <Button size="compact-sm" variant="default" leftSection={<IconCopy size={14} aria-hidden />} onClick={copy} aria-label={label} title={text}>
          {copied ? t.copied : words}
        </Button>
      )}
    </CopyButton>
  );
}
