// A plan as a person reads it before agreeing: how risky and why, what to look at, who meets it, and each field that differs.

import { Alert, Badge, Collapse, Group, List, Stack, Text, UnstyledButton } from '@mantine/core';
import { useDisclosure } from '@mantine/hooks';
import { IconAlertTriangle, IconChevronDown, IconChevronRight } from '@tabler/icons-react';

import type { Plan, Risk } from '../lib/api';
import { t } from '../texts';
import { Diff } from './Diff';

const COLOUR: Record<Risk, string> = { low: 'teal', medium: 'yellow', high: '#c22525' };

export function RiskBadge({ risk }: { risk: Risk }) {
  return (
    <Badge color={COLOUR[risk]} variant={risk === 'high' ? 'filled' : 'light'}>
      {t.plan.risk[risk]}
    </Badge>
  );
}

/** How many there are: the last lines may count those that have no line of their own. */
const countOf = (lines: string[]) => lines.reduce((sum, line) => sum + Number(/^(\d+) more \w+$/.exec(line)?.[1] ?? 1), 0);

function Lines({ title, lines, open }: { title: string; lines: string[]; open: boolean }) {
  const [opened, { toggle }] = useDisclosure(open);
  if (lines.length === 0) return null;
  return (
    <div>
      <UnstyledButton onClick={toggle} aria-expanded={opened}>
        <Group gap={4}>
          {opened ? <IconChevronDown size={16} aria-hidden /> : <IconChevronRight size={16} aria-hidden />}
          <Text size="sm" fw={600}>
            {title} ({countOf(lines).toLocaleString('en')})
          </Text>
        </Group>
      </UnstyledButton>
      <Collapse expanded={opened}>
        <List size="sm" mt={4} spacing={2}>
          {lines.map((line) => (
            <List.Item key={line} className="wrap">
              {line}
            </List.Item>
          ))}
        </List>
      </Collapse>
    </div>
  );
}

export function PlanView({ plan }: { plan: Plan }) {
  return (
    <Stack gap="sm">
      <Group gap="xs">
        <RiskBadge risk={plan.risk} />
        <Text size="sm" c="dimmed">
          {t.plan.expires(Math.max(1, Math.round(plan.expires_in_secs / 60)))}
        </Text>
        {plan.intent && (
          <Text size="sm" className="wrap">
            {t.plan.intent}: {plan.intent}
          </Text>
        )}
      </Group>
      {plan.warnings.length > 0 && (
        <Alert color="yellow" variant="light" icon={<IconAlertTriangle aria-hidden />} title={t.plan.warnings}>
          <List size="sm" spacing={2}>
            {plan.warnings.map((warning) => (
              <List.Item key={warning} className="wrap">
                {warning}
              </List.Item>
            ))}
          </List>
        </Alert>
      )}
      <Lines title={t.plan.riskWhy} lines={plan.reasons} open={plan.risk === 'high'} />
      <Lines title={t.plan.affected} lines={plan.affected} open={plan.affected.length < 8} />
      <div>
        <Text size="sm" fw={600} mb={4}>
          {t.plan.changes}
        </Text>
        <Diff changes={plan.changes} />
        {plan.more ? <Text size="sm">{t.plan.more(plan.more)}</Text> : null}
      </div>
    </Stack>
  );
}
