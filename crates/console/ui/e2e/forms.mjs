// What a form makes of what it shows: only what was changed, as it was stored, with errors at their fields; and pages that tell what is so.

import { equal, holds } from './harness.mjs';

export const forms = async ({ walks, page, context, by, api, put, apply, ADMIN, PROXY, NODE }) => {
  const value = async (kind, id) => {
    const { create_time: _, update_time: __, ...rest } = (await api('GET', `/objects/${kind}/${id}`)).body.value;
    return rest;
  };
  const remove = async (kind, ids) => {
    const plan = await api('POST', '/plans', { changes: ids.map((id) => ({ op: 'delete', kind, id })) });
    equal((await api('POST', `/plans/${plan.body.id}/apply`, { approval: { person: 'the test' } })).status, 200, `${ids} go`);
  };
  const write = async (what) => {
    await page.getByRole('textbox', { name: 'The object as text' }).click();
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.insertText(what);
  };
  const stored = { name: 'Kept', uri: '/kept/*', host: 'kept.test', upstream: { nodes: { [NODE]: 1 }, type: 'roundrobin' } };
  const seed = () => put('route', 'kept', stored);

  await walks.walk('a form writes back what was changed, as it was stored', async () => {
    await seed();
    const before = await value('routes', 'kept');
    await page.goto(`${ADMIN}/ui/objects/routes/kept`);
    await page.getByLabel('Description').fill('only this');
    await apply();
    equal(JSON.stringify(await value('routes', 'kept')), JSON.stringify({ ...before, desc: 'only this' }), 'the route with a description');
    await page.getByLabel('Weight 1').fill('3');
    await apply();
    equal(JSON.stringify((await value('routes', 'kept')).upstream), JSON.stringify({ ...before.upstream, nodes: { [NODE]: 3 } }), 'the nodes with another weight');
    await by('switch', 'Active').click();
    await by('switch', 'Active').click();
    holds(await by('button', 'Review the change').isDisabled(), 'switched there and back, nothing is changed');
  });

  await walks.walk('a number stays as it is typed, and what is wrong with it stands at its field', async () => {
    await seed();
    await page.goto(`${ADMIN}/ui/objects/routes/kept`);
    const port = page.getByLabel('Port 1');
    await port.fill('99999');
    await port.blur();
    equal(await port.inputValue(), '99999', 'the port that there is not');
    await page.getByText('99999 is not a number from 1 to 65535').waitFor();
    await by('button', 'Review the change').click();
    await page.getByRole('alert').getByText('99999').first().waitFor();
    await port.fill('');
    await port.blur();
    equal(await port.inputValue(), '', 'the emptied port');
    await page.getByText('Empty; wanted is a number from 1 to 65535').waitFor();
    await by('button', 'Review the change').click();
    await page.getByRole('alert').getByText('port').first().waitFor();
    await by('button', 'Discard').click();
  });

  await walks.walk('what one of several forms of a plugin misses stands at its field', async () => {
    await seed();
    await page.goto(`${ADMIN}/ui/objects/routes/kept`);
    await write(`uri: /kept/*\nupstream:\n  nodes: {"${NODE}": 1}\nplugins:\n  limit-count: {count: 1}\n`);
    await by('button', 'Review the change').click();
    await page.getByRole('alert').first().waitFor();
    const pencil = by('button', 'Settings of limit-count');
    await pencil.click();
    const settings = page.getByRole('dialog');
    const time = settings.getByLabel(/^time_window/).first();
    await time.waitFor();
    equal(await time.getAttribute('aria-invalid'), 'true', 'the field that is missing');
    await settings.getByText('property "time_window" is required').first().waitFor();
    await page.keyboard.press('Escape');
    await settings.waitFor({ state: 'hidden' });
    await page.waitForFunction(() => document.activeElement?.getAttribute('aria-label') === 'Settings of limit-count');
    await by('button', 'Discard').click();
  });

  await walks.walk('a token that lives for a wrong time is an error at its field, and is not lost by closing', async () => {
    await page.goto(`${ADMIN}/ui/agents`);
    await by('button', 'New token').click();
    const dialog = page.getByRole('dialog', { name: 'New token' });
    await dialog.getByLabel('Name').fill('short-lived');
    const days = dialog.getByLabel(/^Ends after/);
    await days.fill('-5');
    await dialog.getByRole('button', { name: 'Make the token' }).click();
    equal(await days.inputValue(), '-5', 'the days that there are not');
    equal(await days.getAttribute('aria-invalid'), 'true', 'the field of the days');
    holds(!(await api('GET', '/tokens')).body.tokens.some((token) => token.name === 'short-lived'), 'no token was made');
    await dialog.getByRole('button', { name: 'Close' }).click();
    await by('button', 'Stay here').click();
    equal(await days.inputValue(), '-5', 'what was written');
    await dialog.getByRole('button', { name: 'Close' }).click();
    await by('button', 'Leave, and lose it').click();
    await dialog.waitFor({ state: 'hidden' });
  });

  await walks.walk('what a plugin refuses stands at its field, and a broken text is not written over', async () => {
    await seed();
    await page.goto(`${ADMIN}/ui/objects/routes/kept`);
    await write(`uri: /kept/*\nupstream:\n  nodes: {"${NODE}": 1}\nplugins:\n  limit-count: {count: 0, time_window: 60}\n`);
    await by('button', 'Review the change').click();
    await page.getByRole('alert').first().waitFor();
    await by('button', 'Settings of limit-count').click();
    const settings = page.getByRole('dialog');
    const count = settings.getByLabel('count', { exact: true });
    await count.waitFor();
    equal(await count.getAttribute('aria-invalid'), 'true', 'the field that is refused');
    equal(await settings.getByText('Copy it now').count(), 0, 'secrets to be copied from limit-count');
    holds(!(await settings.textContent()).includes('`'), 'help texts show code as code');
    await settings.getByRole('button', { name: 'Done' }).click();
    await write('uri: [/kept');
    await page.getByText('The form waits for the text').waitFor();
    holds(await page.getByLabel('Description').isDisabled(), 'the form while the text is broken');
    await by('button', 'Discard').click();
    await page.getByText('The form waits for the text').waitFor({ state: 'hidden' });
  });

  await walks.walk('a text that is no JSON is not left out of what is saved', async () => {
    await seed();
    await page.goto(`${ADMIN}/ui/objects/routes/kept`);
    await page.getByText('More fields').click();
    const field = page.getByLabel('vars (as JSON)');
    await field.fill('[["arg_x", "==", ');
    await page.getByRole('alert').getByText('A field holds what is no JSON').waitFor();
    holds(await by('button', 'Review the change').isDisabled(), 'nothing is reviewed while a field can not be read');
    await field.fill('[["arg_x", "==", "1"]]');
    await page.getByRole('alert').getByText('A field holds what is no JSON').waitFor({ state: 'hidden' });
    await by('button', 'Review the change').click();
    await page.getByRole('dialog').getByText('arg_x').first().waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
    await field.fill('[');
    await by('button', 'Discard').click();
    equal(await page.getByLabel('vars (as JSON)').inputValue(), '', 'the field once one has started over');
    await by('button', 'Add a plugin').click();
    await page.getByLabel('Search by name or by what it does').fill('limit-count');
    await page.getByRole('button', { name: /^limit-count/ }).first().click();
    const settings = page.getByRole('dialog');
    await settings.getByLabel('rules (as JSON)').fill('{bad');
    await settings.getByRole('alert').getByText('A field holds what is no JSON').waitFor();
    holds(await settings.getByRole('button', { name: 'Done' }).isDisabled(), 'the drawer is not left with it');
    await page.keyboard.press('Escape');
    equal(await settings.getByLabel('rules (as JSON)').inputValue(), '{bad', 'what was typed, after Escape');
    await settings.getByLabel('rules (as JSON)').fill('');
    await settings.getByRole('button', { name: 'Done' }).click();
    await settings.waitFor({ state: 'hidden' });
    await by('button', 'Discard').click();
  });

  await walks.walk('a plugin is found by what one wants', async () => {
    await seed();
    await page.goto(`${ADMIN}/ui/objects/routes/kept`);
    await by('button', 'Add a plugin').click();
    for (const [wish, name] of [['too many requests per client', 'limit-count'], ['rate limit', 'limit-count'], ['circuit breaker', 'api-breaker']]) {
      await page.getByLabel('Search by name or by what it does').fill(wish);
      await page.getByRole('button', { name: new RegExp(`^${name}`) }).first().waitFor();
    }
    // What works on connections alone is offered where there are connections.
    const mqtt = page.getByRole('button', { name: /^mqtt-proxy/ });
    await page.getByLabel('Search by name or by what it does').fill('mqtt');
    await page.getByLabel('Search by name or by what it does').fill('mqtt-proxy');
    await mqtt.waitFor({ state: 'detached' });
    await page.goto(`${ADMIN}/ui/new/stream_routes`);
    await by('button', 'Add a plugin').click();
    await page.getByLabel('Search by name or by what it does').fill('mqtt-proxy');
    await mqtt.waitFor();
    await page.keyboard.press('Escape');
  });

  await walks.walk('a key that is made in the form of a consumer is shown once', async () => {
    await page.goto(`${ADMIN}/ui/new/consumers`);
    await page.getByLabel('Username').fill('maker');
    await by('button', 'Add a plugin').click();
    await page.getByLabel('Search by name or by what it does').fill('key-auth');
    await page.getByRole('button', { name: /^key-auth/ }).first().click();
    const settings = page.getByRole('dialog');
    await settings.getByRole('button', { name: 'Generate' }).first().click();
    await settings.getByText('once it is saved it is not shown again').waitFor();
    const made = await settings.locator('[data-made="key"]').textContent();
    equal(made.length, 32, 'the length of the key');
    await settings.getByRole('button', { name: 'Copy key' }).waitFor();
    await settings.getByRole('button', { name: 'Done' }).click();
    await apply();
    const once = page.getByRole('status').filter({ hasText: 'it is not shown again' });
    equal(await once.locator('[data-secret="key"]').textContent(), made, 'the key once it is in force');
    await page.reload();
    await by('heading', 'maker').waitFor();
    holds(!(await page.content()).includes(made), 'it is shown once');
    const phone = await context.newPage();
    await phone.setViewportSize({ width: 390, height: 780 });
    for (const path of ['/objects/consumers/maker', '/audit', '/objects/routes/kept']) {
      await phone.goto(`${ADMIN}/ui${path}`);
      await phone.getByRole('heading', { level: 1 }).waitFor();
      await phone.locator('[aria-label="Loading"]').first().waitFor({ state: 'detached' });
      equal(await phone.evaluate(() => document.documentElement.scrollWidth), 390, `the width of ${path} on a phone`);
    }
    await phone.close();
    await remove('consumer', ['maker']);
  });

  await walks.walk('what is explained is told apart from what is asked by now', async () => {
    await seed();
    await page.goto(`${ADMIN}/ui/explain?method=GET&host=kept.test&target=/kept/1`);
    await page.getByText('Goes to', { exact: true }).waitFor();
    await page.getByLabel('Path and query').fill('/kept/2');
    await page.getByText('The request was changed since').waitFor();
    await by('button', 'Explain').click();
    await page.getByText('The request was changed since').waitFor({ state: 'hidden' });
    await remove('route', ['kept']);
  });

  await walks.walk('a node that refuses is named, and stands on the overview', async () => {
    await put('route', 'dead', { uri: '/dead/*', upstream: { nodes: { '127.0.0.1:1': 1 }, type: 'roundrobin' } });
    equal((await fetch(`${PROXY}/dead/1`)).status, 502, 'a request to a node that is not there');
    await page.goto(`${ADMIN}/ui/requests?path=/dead`);
    const row = page.getByRole('row').filter({ hasText: '/dead/1' });
    await row.getByText('127.0.0.1:1').waitFor();
    await page.goto(`${ADMIN}/ui/`);
    const nodes = page.getByRole('region', { name: 'Nodes that are down' });
    await nodes.getByText(/127\.0\.0\.1:1/).waitFor();
    await nodes.getByText('refused 1 of the last 1 connection,').waitFor();
    await remove('route', ['dead']);
  });

  await walks.walk('the audit begins with the newest, and is looked through', async () => {
    const guess = { user: 'nobody', password: 'a guess' };
    const refused = await fetch(`${ADMIN}/usher/v1/session`, { method: 'POST', headers: { 'content-type': 'application/json', 'x-usher-console': '1' }, body: JSON.stringify(guess) });
    equal(refused.status, 401, 'a guess');
    await page.goto(`${ADMIN}/ui/audit`);
    const numbers = async () => (await page.getByRole('row').evaluateAll((rows) => rows.slice(1).map((one) => Number(one.cells[0].textContent)))).join();
    await page.getByRole('row').nth(2).waitFor();
    const [first, second] = (await numbers()).split(',').map(Number);
    holds(first > second, 'the newest first');
    await page.getByRole('textbox', { name: 'Object or sentence' }).fill('route/dead');
    await page.getByRole('row').nth(3).waitFor({ state: 'hidden' });
    // While it is looked for, there are no rows at all.
    await page.getByRole('row').nth(2).waitFor();
    equal(await page.getByRole('row').count(), 3, 'a head, and the route that came and went');
    await page.getByRole('textbox', { name: 'Object or sentence' }).fill('');
    await page.getByRole('combobox', { name: 'Outcome' }).or(page.getByRole('textbox', { name: 'Outcome' })).first().click();
    await by('option', 'denied').click();
    await page.getByRole('row').filter({ hasText: 'a change was applied' }).first().waitFor({ state: 'hidden' });
    await page.getByRole('row').filter({ hasText: 'denied' }).first().waitFor();
  });
};
