// Many objects at once, the editor's advice, and the page of a plugin where it is added.

import { equal, holds } from './harness.mjs';

export const resources = async ({ walks, page, by, api, put, agree, ADMIN, PROXY }) => {
  await walks.walk('several objects get a plugin, a label, and go, each as one plan', async () => {
    for (const id of ['one', 'two', 'three']) await put('route', `many-${id}`, { name: `Many ${id}`, uri: `/many/${id}`, upstream_id: 'api', ...(id === 'three' ? { plugins: { 'request-id': {} } } : {}) });
    const open = async () => {
      await page.goto(`${ADMIN}/ui/objects/routes`);
      await page.getByLabel('Search').fill('many-');
      await page.getByText('3 of 3', { exact: true }).waitFor();
      await page.getByLabel('Select all on this page').check();
    };
    await open();
    await by('button', 'Plugin…').click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('That changes 1 of the 3 selected').waitFor();
    await dialog.getByRole('combobox', { name: 'Plugin' }).or(dialog.getByRole('textbox', { name: 'Plugin' })).first().click();
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.type('response-rewrite');
    await page.getByRole('option', { name: 'response-rewrite' }).click();
    await dialog.getByText('That changes 3 of the 3 selected').waitFor();
    await dialog.getByRole('textbox', { name: /^response-rewrite/ }).fill('{"headers": {"set": {"X-Many": "yes"}}}');
    await dialog.getByRole('button', { name: 'Review the change' }).click();
    await agree();
    for (const id of ['one', 'three']) equal((await fetch(`${PROXY}/many/${id}`)).headers.get('x-many'), 'yes', `the plugin on ${id}`);
    equal(typeof (await api('GET', '/objects/routes/many-three')).body.value.plugins['request-id'], 'object', 'the plugin that was there before');
    await open();
    await by('button', 'Plugin…').click();
    await dialog.getByRole('combobox', { name: 'Plugin' }).or(dialog.getByRole('textbox', { name: 'Plugin' })).first().click();
    await page.getByRole('option', { name: 'response-rewrite' }).click();
    await dialog.getByLabel('Switch it off, and keep its settings').check();
    await dialog.getByRole('button', { name: 'Review the change' }).click();
    await agree();
    equal((await fetch(`${PROXY}/many/one`)).headers.get('x-many'), null, 'the plugin that was switched off');
    await open();
    await by('button', 'Labels').click();
    await by('menuitem', 'Add a label').click();
    await dialog.getByLabel('Name').fill('wave');
    await dialog.getByLabel('Value').fill('many');
    await dialog.getByRole('button', { name: 'Review the change' }).click();
    await agree();
    // A label leads to what else has it, and a filter is taken off again by itself.
    await page.getByRole('link', { name: 'wave=many' }).first().click();
    await by('button', 'Do not filter by label wave=many').waitFor();
    await page.getByText('3 of 3', { exact: true }).waitFor();
    await by('button', 'Do not filter by label wave=many').click();
    await by('button', 'Do not filter by label wave=many').waitFor({ state: 'hidden' });
    await open();
    await page.getByRole('group', { name: '3 selected' }).getByRole('button', { name: 'Delete' }).click();
    await agree();
    equal((await api('GET', '/objects/routes?q=many-')).body.total, 0, 'routes that are left');
  });

  await walks.walk('the editor offers what fits, and says what does not', async () => {
    await page.goto(`${ADMIN}/ui/objects/routes/speakers`);
    const text = page.getByRole('textbox', { name: 'The object as text' });
    const write = async (what) => {
      await text.click();
      await page.keyboard.press('ControlOrMeta+a');
      await page.keyboard.insertText(what);
    };
    const offers = page.locator('.cm-tooltip-autocomplete');
    await write('uri: /speaker/*\nupstream_id: api\nupstream:\n  ');
    await page.keyboard.type('sche');
    await offers.getByText('scheme', { exact: true }).click();
    await page.keyboard.type('gr');
    await offers.getByText('grpcs', { exact: true }).waitFor();
    await page.keyboard.press('Escape');
    await write('uri: /speaker/*\nupstream_id: api\nplugins:\n  limit-count:\n    ');
    await page.keyboard.type('rej');
    await offers.getByText('rejected_code', { exact: true }).waitFor();
    await page.keyboard.press('Escape');
    await write('uri: /speaker/*\nupstream_id: api\npriority: very high\nmethods: [GOT]\nplugins:\n  limt-count: {}\n');
    const remarks = page.locator('.cm-lint-marker-warning');
    await remarks.first().waitFor();
    equal(await remarks.count(), 3, 'lines that something is said of');
    await remarks.first().hover();
    await page.getByText('a whole number is wanted here').waitFor();
    await page.locator('label').filter({ hasText: /^JSON$/ }).click();
    await write('{"uri": "/speaker/*", "upstream_id": "api", "sta');
    await page.keyboard.type('t');
    await offers.getByText('status', { exact: true }).waitFor();
    await page.keyboard.press('Escape');
    await by('button', 'Discard').click();
    equal(await remarks.count(), 0, 'remarks on what is stored');
  });

  await walks.walk('a plugin is read about where it is added', async () => {
    await page.goto(`${ADMIN}/ui/objects/routes/speakers`);
    await by('button', 'Add a plugin').click();
    await page.getByLabel('Search by name or by what it does').fill('ip-restriction');
    await by('button', 'About ip-restriction').click();
    const dialog = page.getByRole('dialog', { name: 'ip-restriction' });
    await dialog.getByRole('heading', { name: 'Try it' }).waitFor();
    await dialog.getByRole('cell', { name: 'whitelist', exact: true }).waitFor();
    await dialog.getByRole('button', { name: 'Add ip-restriction' }).click();
    await page.getByRole('dialog').getByText('The manual').click();
    await page.getByRole('dialog').getByRole('button', { name: 'Done' }).click();
    await by('button', 'Remove ip-restriction').waitFor();
    await page.goto(`${ADMIN}/ui/plugins/limit-count`);
    await page.getByRole('heading', { name: 'Try it' }).waitFor();
    holds(!(await page.locator('.manual').textContent()).includes('```'), 'code stands as code');
  });

  await walks.walk('each chat client has its way in', async () => {
    await page.goto(`${ADMIN}/ui/agents`);
    const cursor = await by('link', 'Install in Cursor').getAttribute('href');
    holds(cursor.startsWith('cursor://anysphere.cursor-deeplink/mcp/install?name=usher&config='), cursor);
    const { url } = JSON.parse(atob(decodeURIComponent(cursor.split('config=')[1])));
    // It is where the protocol is spoken.
    const answer = await fetch(url, { method: 'POST', headers: { 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream' }, body: '{"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "walk", "version": "1"}}}' });
    equal(answer.status, 200, 'the answer at the address of the link');
    const code = await by('link', 'Install in Visual Studio Code').getAttribute('href');
    equal(JSON.parse(decodeURIComponent(code.split('?')[1])).url, url, 'the address in the other link');
    await page.getByRole('region', { name: 'Claude Code' }).getByText(`claude mcp add --transport http usher ${url}`).waitFor();
  });
};
