// The console end to end: a real browser, a real Usher, as people use both. The test `console` of the gateway starts this.

import { attempt } from './attempt.mjs';
import { consumers } from './consumers.mjs';
import { deciding } from './deciding.mjs';
import { forms } from './forms.mjs';
import { equal, holds, need, open, violations, Walks, watched } from './harness.mjs';
import { leaving } from './leaving.mjs';
import { model } from './model.mjs';
import { pictures } from './pictures.mjs';
import { publish } from './publish.mjs';
import { resources } from './resources.mjs';

const ADMIN = need('USHER_ADMIN');
const CHAT = need('USHER_CHAT');
const PROXY = need('USHER_PROXY');
const CODE = need('USHER_CODE');
const KEY = need('USHER_KEY');
const NODE = need('USHER_NODE');
const PASSWORD = 'correct horse battery';

const api = async (method, path, body, token = KEY) => {
  const response = await fetch(`${ADMIN}/usher/v1${path}`, {
    method,
    headers: { 'X-API-KEY': token, ...(body ? { 'Content-Type': 'application/json' } : {}) },
    body: body && JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
};

const put = async (kind, id, value) => {
  const plan = await api('POST', '/plans', { changes: [{ op: 'put', kind, id, value }] });
  const applied = await api('POST', `/plans/${plan.body.id}/apply`, { approval: { person: 'the test' } });
  equal(applied.status, 200, `putting ${kind} ${id}`);
  return applied.body.revision;
};

const browser = await open();
const walks = new Walks();
const { page, context, wrong } = await watched(browser, ADMIN);
const by = (role, name) => page.getByRole(role, { name, exact: true });

/** Reviews the change of the page one is on, applies it, and closes what says so. */
const apply = async (on = page) => {
  await on.getByRole('button', { name: 'Review the change' }).click();
  await agree(on);
};
const agree = async (on = page) => {
  const dialog = on.getByRole('dialog');
  const read = dialog.getByLabel('I have read what this does');
  await dialog.getByText('What changes').waitFor();
  if (await read.count()) await read.check();
  await dialog.getByRole('button', { name: /^Apply/ }).click();
  await dialog.getByText(/In force since revision/).waitFor();
  await dialog.getByRole('button', { name: 'Close' }).last().click();
  await dialog.waitFor({ state: 'hidden' });
};

await walks.walk('the first user is made with the one-time code', async () => {
  await page.goto(`${ADMIN}/ui/`);
  await by('heading', 'Make the first user').waitFor();
  await page.getByLabel('One-time code').fill('AAAA-AAAA-AAAA-AAAA');
  await page.getByLabel('Your name here').fill('ada');
  await page.getByLabel('A password').fill(PASSWORD);
  await by('button', 'Make the user').click();
  await page.getByRole('alert').getByText('not the code').waitFor();
  await page.getByLabel('One-time code').fill(CODE.toLowerCase());
  await by('button', 'Make the user').click();
  await by('heading', 'Overview').waitFor();
  const cookies = await context.cookies(`${ADMIN}/usher/v1/status`);
  equal(cookies.length, 1, 'the number of cookies');
  holds(cookies[0].httpOnly && cookies[0].sameSite === 'Strict', 'the cookie is out of reach');
}, true);

await walks.walk('logging out and in again comes back to the page one was on', async () => {
  await page.getByRole('button', { name: /Signed in as/ }).click();
  await by('menuitem', 'Log out').click();
  await by('heading', 'Log in to the gateway').waitFor();
  await page.goto(`${ADMIN}/ui/history`);
  await by('heading', 'Log in to the gateway').waitFor();
  await page.getByRole('textbox', { name: 'User' }).fill('ada');
  await page.getByRole('textbox', { name: 'Password' }).fill('wrong password');
  await by('button', 'Log in').click();
  await page.getByRole('alert').getByText('no user has this name').waitFor();
  await page.getByRole('textbox', { name: 'Password' }).fill(PASSWORD);
  await by('button', 'Log in').click();
  await by('heading', 'History').waitFor();
});

await walks.walk('the chat beside a page creates a route, and takes it back', async () => {
  await put('upstream', 'conference', { name: 'Conference API', nodes: { [NODE]: 1 } });
  await page.goto(`${ADMIN}/ui/objects/routes`);
  await by('heading', 'Routes').waitFor();
  await page.keyboard.press('ControlOrMeta+j');
  const chat = page.getByRole('complementary', { name: 'Chat' });
  const field = chat.getByLabel('What you want of the gateway');
  await field.waitFor();
  holds(await field.evaluate((element) => element === document.activeElement), 'the field has the focus');
  await page.keyboard.type('create a route for GET /speaker/* to the conference API, ten requests a minute per client');
  await page.keyboard.press('Enter');
  await chat.getByText('+ route speaker').waitFor();
  equal((await api('GET', '/objects/routes/speaker')).status, 404, 'the route before anybody agrees');
  equal((await violations(page)).join('\n'), '', 'violations while it asks');
  await chat.getByRole('button', { name: 'Approve' }).click();
  await chat.getByText(/In force since revision/).waitFor();
  await by('link', 'speaker').waitFor();
  const made = await api('GET', '/objects/routes/speaker');
  equal(made.body.value.plugins['limit-count'].count, 10, 'the limit of the route');
  // The conversation goes on from page to page, and what isn't agreed to isn't done.
  await by('link', 'Upstreams').click();
  await by('heading', 'Upstreams').waitFor();
  await chat.getByRole('button', { name: 'Send' }).waitFor();
  await field.fill('disable route speaker');
  await page.keyboard.press('Enter');
  await chat.getByRole('button', { name: 'Reject' }).click();
  await chat.getByText('Not applied').waitFor();
  // A plan that was rejected is nobody's to agree to.
  await field.fill('delete route speaker');
  await page.keyboard.press('Enter');
  await chat.getByRole('button', { name: 'Reject' }).click();
  await chat.getByText('Not applied').nth(1).waitFor();
  const waiting = await page.evaluate(async () => (await (await fetch('/usher/v1/approvals', { headers: { 'X-Usher-Console': '1' } })).json()).total);
  equal(waiting, 0, 'plans that wait after the person said no');
  const [told] = (await api('GET', '/audit?order=newest&limit=1')).body.records;
  equal(`${told.event} ${told.principal}`, 'declined ada', 'what the audit says of it');
  await field.fill('disable route speaker');
  await chat.getByRole('button', { name: 'Send' }).click();
  await chat.getByRole('button', { name: 'Approve' }).waitFor();
  // A page that is loaded anew has it all again, the question open; and the browser keeps nothing of what was said.
  await page.reload();
  await chat.getByRole('button', { name: 'Approve' }).waitFor();
  equal(await chat.getByText('approved', { exact: true }).count(), 1, 'what was approved before the page was loaded anew');
  equal(await chat.getByText('rejected', { exact: true }).count(), 2, 'what was rejected before');
  equal(await chat.getByText('create a route for GET /speaker/*').count(), 1, 'the first sentence');
  const stored = await page.evaluate(() => JSON.stringify([Object.entries(sessionStorage), Object.entries(localStorage)]));
  holds(!/speaker|route/.test(stored), `what the browser keeps of it: ${stored}`);
  await field.fill('a draft that nobody sent');
  await chat.getByRole('button', { name: 'Stop' }).click();
  await chat.getByText(/^Stopped/).waitFor();
  equal(await field.inputValue(), 'a draft that nobody sent', 'what was being written when the chat was stopped');
  equal(await chat.getByText('a draft that nobody sent').and(chat.locator('.said')).count(), 0, 'what was said of it');
  await field.fill('');
  equal((await api('GET', '/objects/routes/speaker')).body.value.status ?? 1, 1, 'the route that nobody agreed to switch off');
  await chat.getByRole('button', { name: /^Undo revision/ }).click();
  await chat.getByRole('button', { name: 'Apply this high-risk change' }).click();
  await chat.getByText(/In force since revision/).nth(1).waitFor();
  equal((await api('GET', '/objects/routes/speaker')).status, 404, 'the route after undo');
  await page.keyboard.press('Escape');
  await field.waitFor({ state: 'hidden' });
  holds(await by('button', 'Open the chat').evaluate((element) => element === document.activeElement), 'the focus is back at the button');
  const gone = await api('POST', '/plans', { changes: [{ op: 'delete', kind: 'upstream', id: 'conference' }] });
  equal((await api('POST', `/plans/${gone.body.id}/apply`, { approval: { person: 'the test' } })).status, 200, 'deleting the upstream');
});

await walks.walk('an upstream and a route by forms, and a request takes the way', async () => {
  const [host, port] = NODE.split(':');
  await by('link', 'Upstreams').click();
  await by('link', 'New upstream').click();
  await page.getByLabel('Id').first().fill('api');
  await page.getByLabel('Name', { exact: true }).fill('Conference API');
  await by('button', 'Add a node').click();
  await page.getByLabel('Host 1').fill(host);
  await page.getByLabel('Port 1').fill(port);
  await apply();
  await by('heading', 'Conference API').waitFor();

  await by('link', 'Routes').click();
  await by('link', 'New route').click();
  await page.getByLabel('Id').first().fill('speakers');
  await page.getByLabel('Name', { exact: true }).fill('Speakers');
  const paths = page.getByRole('combobox', { name: 'Paths' }).or(page.getByRole('textbox', { name: 'Paths' }));
  await paths.first().click();
  await page.keyboard.type('/speaker/*');
  await page.keyboard.press('Enter');
  await page.getByLabel('Where requests go').first().click();
  await by('option', 'A shared upstream').click();
  await page.getByRole('combobox', { name: 'Upstream', exact: true }).or(page.getByRole('textbox', { name: 'Upstream', exact: true })).first().click();
  await by('option', 'Conference API (api)').click();
  await by('button', 'Add a plugin').click();
  await page.getByLabel('Search by name or by what it does').fill('limit-count');
  await page.getByRole('button', { name: /^limit-count/ }).first().click();
  const settings = page.getByRole('dialog');
  await settings.getByLabel('count', { exact: true }).fill('100');
  await settings.getByLabel('time_window', { exact: true }).fill('60');
  await settings.getByRole('button', { name: 'Done' }).click();
  await page.getByLabel('What is it for?').fill('speakers for everybody');
  await apply();
  await by('heading', 'Speakers').waitFor();
  const answer = await fetch(`${PROXY}/speaker/1`);
  equal(answer.status, 200, 'the status through the gateway');
  equal(answer.headers.get('x-ratelimit-limit'), '100', 'the limit');
});

/** What walks stand on, whatever became of those before. */
const seed = async () => {
  if ((await api('GET', '/objects/upstreams/api')).status === 404) await put('upstream', 'api', { nodes: { [NODE]: 1 }, name: 'Conference API' });
  if ((await api('GET', '/objects/routes/speakers')).status === 404) await put('route', 'speakers', { name: 'Speakers', uris: ['/speaker/*'], upstream_id: 'api' });
};
await seed();

await walks.walk('form and text are one value', async () => {
  await page.goto(`${ADMIN}/ui/objects/routes/speakers`);
  await page.getByLabel('Name', { exact: true }).fill('All speakers');
  const text = page.getByRole('textbox', { name: 'The object as text' });
  await text.getByText('All speakers').waitFor();
  await page.locator('label').filter({ hasText: /^JSON$/ }).click();
  await text.getByText('"All speakers"').waitFor();
  await text.click();
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.insertText('{"name": "From the text", "uris": ["/speaker/*"], "upstream_id": "api"}');
  holds((await page.getByLabel('Name', { exact: true }).inputValue()) === 'From the text', 'the form follows the text');
  await page.keyboard.insertText(' and nonsense');
  await page.getByText('The text can not be read;').waitFor();
  holds(await by('button', 'Review the change').isDisabled(), 'nonsense can not be saved');
  await by('button', 'Discard').click();
  equal(await page.getByLabel('Name', { exact: true }).inputValue(), 'Speakers', 'the name after discarding');
});

await walks.walk('a refusal names the field', async () => {
  await page.goto(`${ADMIN}/ui/objects/routes/speakers`);
  const text = page.getByRole('textbox', { name: 'The object as text' });
  await text.click();
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.insertText('uri: /speaker/*\npriority: very high\nupstream_id: api\n');
  await by('button', 'Review the change').click();
  await page.getByRole('alert').getByText('priority').first().waitFor();
});

await walks.walk('a private key keeps its lines, and a refusal is in sight', async () => {
  await page.goto(`${ADMIN}/ui/new/ssls`);
  const key = page.getByRole('textbox', { name: /^Private key/ });
  const pem = '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----';
  await key.fill(pem);
  equal(await key.inputValue(), pem, 'the key as it was given');
  await page.getByRole('textbox', { name: /^Certificate/ }).first().fill('no certificate');
  await page.evaluate(() => window.scrollTo(0, document.body.scrollHeight));
  await by('button', 'Review the change').click();
  const refusal = page.getByRole('alert').first();
  await refusal.waitFor();
  await page.waitForFunction(() => (document.querySelector('[role=alert]')?.getBoundingClientRect().top ?? -1) >= 0);
});

await walks.walk('a change, its history and its undo', async () => {
  await page.goto(`${ADMIN}/ui/objects/routes/speakers`);
  await by('switch', 'Active').click();
  await apply();
  equal((await fetch(`${PROXY}/speaker/1`)).status, 404, 'a route that is off');
  await by('link', 'History').click();
  await by('heading', 'History').waitFor();
  const newest = page.getByRole('article').first();
  await newest.getByText('ada').waitFor();
  await newest.getByRole('button', { name: 'Show what changed' }).click();
  await newest.getByRole('rowheader', { name: 'status' }).waitFor();
  await newest.getByRole('button', { name: 'Undo this' }).click();
  // One dialog, which is gone once it is applied.
  const dialog = page.getByRole('dialog');
  await dialog.getByText('What changes').waitFor();
  const risky = dialog.getByLabel('I have read what this does');
  if (await risky.count()) await risky.check();
  await dialog.getByRole('button', { name: /^Apply/ }).click();
  await page.getByRole('status').getByText(/^Taken back/).waitFor();
  equal(await page.getByRole('dialog').count(), 0, 'dialogs once it is taken back');
  equal((await fetch(`${PROXY}/speaker/1`)).status, 200, 'after the undo');
  await page.getByRole('article').first().getByText(/takes back revision/).waitFor();
});

await walks.walk('two people who edit one object lose nothing', async () => {
  await page.goto(`${ADMIN}/ui/objects/routes/speakers`);
  await page.getByLabel('Description').fill('what ada wants');
  const value = (await api('GET', '/objects/routes/speakers')).body.value;
  await put('route', 'speakers', { ...value, desc: 'what bob wants' });
  await by('button', 'Review the change').click();
  const conflict = page.getByRole('alert').filter({ hasText: 'Somebody was faster' });
  await conflict.getByText('what bob wants').waitFor();
  await conflict.getByText('what ada wants').waitFor();
  await conflict.getByRole('button', { name: /Put mine over it/ }).click();
  await page.getByRole('dialog').getByText('what bob wants').first().waitFor();
  // Faster once more, between plan and apply.
  await put('route', 'speakers', { ...value, desc: 'what carol wants' });
  await page.getByRole('dialog').getByRole('button', { name: /^Apply/ }).click();
  await conflict.getByText('what carol wants').waitFor();
  await conflict.getByText('what ada wants').waitFor();
  equal((await api('GET', '/objects/routes/speakers')).body.value.desc, 'what carol wants', 'the description');
});

await walks.walk('a plan of an agent lands here and is agreed to', async () => {
  await page.goto(`${ADMIN}/ui/agents`);
  await by('button', 'New token').click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill('helper');
  await dialog.getByRole('button', { name: 'Make the token' }).click();
  const token = await dialog.locator('pre').textContent();
  await dialog.getByRole('button', { name: 'Close' }).click();
  await put('route', 'old', { uri: '/old', upstream_id: 'api' });
  const plan = await api('POST', '/plans', { intent: 'nobody uses it', changes: [{ op: 'delete', kind: 'route', id: 'old' }] }, token);
  equal(plan.status, 201, 'the plan of the agent');
  equal((await api('POST', `/plans/${plan.body.id}/apply`, {}, token)).status, 403, 'the agent alone');
  await page.goto(`${ADMIN}/ui/approve/${plan.body.id}`);
  await page.getByText('helper wants this').waitFor();
  await page.getByText('nobody uses it').waitFor();
  await page.getByLabel('I have read what this does').check();
  await by('button', 'Approve and apply').click();
  await page.getByText(/In force since revision/).waitFor();
  equal((await api('GET', '/objects/routes/old')).status, 404, 'the route that went');
  const [entry] = (await api('GET', '/history?limit=1')).body.entries;
  equal(entry.approval, 'person: ada, in the console', 'the approval in the history');
});

await walks.walk('the chat port has the console too, with the same login', async () => {
  const there = await context.newPage();
  const foreign = [];
  there.on('request', (request) => {
    if (!request.url().startsWith(CHAT)) foreign.push(request.url());
  });
  await there.goto(`${CHAT}/ui/objects/routes/speakers`);
  await there.getByRole('heading', { name: 'Speakers', exact: true }).waitFor();
  await there.getByLabel('Description', { exact: true }).fill('written at the chat port');
  await apply(there);
  equal((await api('GET', '/objects/routes/speakers')).body.value.desc, 'written at the chat port', 'the description');
  equal(foreign.join('\n'), '', 'requests to other origins');
  await there.close();
});

await walks.walk('a whole document is a plan too', async () => {
  await page.goto(`${ADMIN}/ui/import`);
  await page.getByRole('textbox', { name: 'The document' }).click();
  await page.keyboard.press('ControlOrMeta+End');
  await page.keyboard.insertText(`routes:\n  - id: talks\n    name: Talks\n    uri: /talks/*\n    labels: {team: content}\n    upstream_id: api\n  - id: sessions\n    name: Sessions\n    uri: /sessions/*\n    hosts: [api.conference.test]\n    upstream_id: api\n`);
  await by('button', 'See what it would change').click();
  await page.getByRole('dialog').getByText('route talks').filter({ visible: true }).first().waitFor();
  await agree();
  equal((await fetch(`${PROXY}/talks/1`)).status, 200, 'a route of the document');
});

/** What walks of one subject, in files of their own, are given. */
const world = { walks, browser, page, context, by, api, put, agree, apply, ADMIN, PASSWORD, PROXY, NODE };
await publish(world);
await consumers(world);
await resources(world);
await attempt(world);
await forms(world);
await model(world);
await leaving(world);
await deciding(world);

await walks.walk('switched off agents only look', async () => {
  await page.goto(`${ADMIN}/ui/agents`);
  await page.getByLabel('Why').fill('night shift');
  await by('button', 'Switch all agents off').click();
  await by('button', 'Let agents act again').waitFor();
  await by('button', 'Open the chat').click();
  const chat = page.getByRole('complementary', { name: 'Chat' });
  await chat.getByText('Chats and agents are switched off').waitFor();
  await chat.getByLabel('What you want of the gateway').fill('disable route speakers');
  await page.keyboard.press('Enter');
  await chat.getByText('night shift').waitFor();
  equal(await chat.getByRole('button', { name: 'Approve' }).count(), 0, 'plans of a chat that is switched off');
  await by('button', 'Let agents act again').click();
  await by('button', 'Switch all agents off').waitFor();
  await page.keyboard.press('ControlOrMeta+j');
});

await walks.walk('requests come as they are served, and are explained', async () => {
  await page.goto(`${ADMIN}/ui/requests`);
  await fetch(`${PROXY}/speaker/live-one`);
  await fetch(`${PROXY}/nowhere`);
  await page.getByText('/speaker/live-one').first().waitFor();
  await page.getByRole('button', { name: /One request: GET \/speaker\/live-one/ }).click();
  await page.getByRole('dialog').getByText('Answered by').waitFor();
  await page.getByRole('dialog').getByRole('link', { name: 'Explain or repeat such a request' }).click();
  await by('heading', 'Explain').waitFor();
  await page.getByText('Routes that came near').or(page.getByText('Goes to')).first().waitFor();
  await page.locator('label').filter({ hasText: 'A curl command' }).click();
  await page.getByRole('textbox', { name: 'A curl command' }).fill(`curl ${PROXY}/talks/7`);
  await by('button', 'Explain').click();
  await page.getByRole('link', { name: 'Talks' }).waitFor();
});

await walks.walk('a viewer looks and changes nothing', async () => {
  await page.goto(`${ADMIN}/ui/users`);
  await by('button', 'New user').click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill('vera');
  await dialog.getByLabel('Password').first().fill(PASSWORD);
  await dialog.getByRole('button', { name: 'Make the user' }).click();
  await page.getByRole('cell', { name: 'vera', exact: true }).waitFor();
  const other = await watched(browser, ADMIN);
  const view = other.page;
  await view.goto(`${ADMIN}/ui/objects/routes/speakers`);
  await view.getByRole('textbox', { name: 'User' }).fill('vera');
  await view.getByRole('textbox', { name: 'Password' }).fill(PASSWORD);
  await view.getByRole('button', { name: 'Log in', exact: true }).click();
  await view.getByRole('heading', { name: 'Speakers' }).waitFor();
  await view.getByText('You may look').waitFor();
  equal(await view.getByRole('button', { name: 'Review the change' }).count(), 0, 'buttons that change');
  holds(await view.getByLabel('Name', { exact: true }).isDisabled(), 'fields are closed');
  equal(await view.getByRole('link', { name: 'Agents' }).count(), 0, 'links to what is for admins');
  const status = await view.evaluate(async () => {
    const response = await fetch('/usher/v1/plans', { method: 'POST', headers: { 'X-Usher-Console': '1', 'Content-Type': 'application/json' }, body: '{"changes": []}' });
    return response.status;
  });
  equal(status, 403, 'a plan of a viewer');
  // Her session ends with her.
  await api('DELETE', '/users/vera');
  await view.getByRole('link', { name: 'Upstreams' }).click();
  await view.getByRole('heading', { name: 'Log in to the gateway' }).waitFor();
  equal(other.wrong.join('\n'), '', 'what went wrong beside');
  await other.context.close();
});

if (process.env.USHER_PICTURES) await walks.walk('pictures', () => pictures(browser, { page, admin: ADMIN, proxy: PROXY, api, folder: process.env.USHER_PICTURES }));

await walks.walk('ten thousand routes are a page at a time', async () => {
  const COUNT = 10_000;
  const shown = (number) => number.toLocaleString('en');
  const begun = Date.now();
  const routes = Array.from({ length: COUNT }, (_, at) => ({
    id: `bulk-${String(at).padStart(6, '0')}`, name: `Bulk ${at}`, uri: `/bulk/${at}`, labels: { wave: String(at % 100) }, upstream_id: 'api',
  }));
  const plan = await api('POST', '/plans', { document: { routes } });
  equal(plan.status, 201, 'the plan of all of them');
  const applied = await api('POST', `/plans/${plan.body.id}/apply`, { approval: { person: 'the test' }, in_steps: true });
  // On a busy machine it is stored before it is in force, which the answer then says.
  holds(applied.status === 200 || applied.body.error?.code === 'not_in_force', `applying it: ${applied.status} ${JSON.stringify(applied.body.error)}`);
  const until = Date.now() + 120_000;
  while ((await fetch(`${PROXY}/bulk/${COUNT - 1}`)).status !== 200 && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 200));
  const imported = Date.now();
  // What the first page costs: its rows, and the bytes that came for them, which are those of a page.
  const answers = [];
  const listen = (response) => {
    if (response.url().includes('/objects/routes')) answers.push(response);
  };
  page.on('response', listen);
  await page.goto(`${ADMIN}/ui/objects/routes`);
  await page.getByText(`50 of ${shown(COUNT + 3)}`).waitFor();
  const first = Date.now();
  page.off('response', listen);
  const rows = await page.getByRole('row').count();
  const bytes = (await Promise.all(answers.map((response) => response.body().catch(() => Buffer.alloc(0))))).reduce((sum, body) => sum + body.length, 0);
  equal(rows, 51, 'rows of the first page, with its head');
  holds(bytes > 0 && bytes < 64_000, `bytes that came for the first page: ${bytes}`);
  console.log(`      ${shown(COUNT)} routes: in force after ${imported - begun} ms, the first page after ${first - imported} ms, ${rows} rows, ${bytes} bytes`);
  await by('button', 'Next page').click();
  await by('link', 'Bulk 50').waitFor();
  await page.getByLabel('Search').fill(`/bulk/${COUNT - 124}`);
  await page.getByText('1 of 1').waitFor();
  await page.getByRole('link', { name: `Bulk ${COUNT - 124}` }).waitFor();
  // The last page of one label: all others of its pages are behind.
  await page.goto(`${ADMIN}/ui/objects/routes?label=wave%3D3`);
  await page.getByText(`50 of ${shown(COUNT / 100)}`).waitFor();
  for (let behind = 50; behind < COUNT / 100; behind += 50) {
    await page.getByRole('link', { name: `Bulk ${(behind - 50) * 100 + 3}`, exact: true }).waitFor();
    await by('button', 'Next page').click();
  }
  await page.getByRole('link', { name: `Bulk ${COUNT - 97}`, exact: true }).waitFor();
  holds(await by('button', 'Next page').isDisabled(), 'there is no page behind the last one');
  await page.goto(`${ADMIN}/ui/objects/routes`);
  // Several at once are one plan.
  await page.getByLabel('Search').fill('bulk-00000');
  await page.getByText('10 of 10', { exact: true }).waitFor();
  await page.getByLabel('Select all on this page').check();
  await by('button', 'Switch off').click();
  await agree();
  equal((await fetch(`${PROXY}/bulk/3`)).status, 404, 'one that was switched off');
  // More than one plan takes are planned in parts, and the next one is offered.
  await page.getByLabel('Search').fill('bulk-00');
  const fit = Math.min(COUNT, 10_000);
  await page.getByText(`50 of ${shown(fit)}`).waitFor();
  await page.getByLabel('Select all on this page').check();
  await by('button', `Select all ${shown(fit)} that fit, on other pages too`).click();
  await page.getByText(`these are ${fit / 5_000} plans`).waitFor();
  await by('button', 'Switch off').click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: `Routes and consumers that this touches (5,000)` }).waitFor({ timeout: 60_000 });
  const read = dialog.getByLabel('I have read what this does');
  if (await read.count()) await read.check();
  await dialog.getByRole('button', { name: /^Apply/ }).click();
  await dialog.getByText(/^(In force since|Stored as) revision/).waitFor({ timeout: 60_000 });
  await page.getByText(`5,000 of ${shown(fit)} are done`).waitFor();
  // A part that is taken back is the next part again.
  await dialog.getByRole('button', { name: 'Undo' }).click();
  await dialog.getByText('What changes').waitFor({ timeout: 60_000 });
  if (await read.count()) await read.check();
  await dialog.getByRole('button', { name: /^Apply/ }).click();
  await page.getByText(`0 of ${shown(fit)} are done`).waitFor({ timeout: 60_000 });
  await by('button', 'Review the next 5,000').click();
  await dialog.getByText('What changes').waitFor({ timeout: 60_000 });
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await by('button', 'Leave the others as they are').click();
  // The history tells of it at once, and of what changed a page at a time.
  const list = await api('GET', '/history?limit=3');
  holds(JSON.stringify(list.body).length < 20_000, `bytes of the list: ${JSON.stringify(list.body).length}`);
  await page.goto(`${ADMIN}/ui/history`);
  const newest = page.getByRole('article').first();
  await newest.getByRole('button', { name: 'Show what changed' }).click();
  await newest.getByRole('link', { name: /^route bulk-/ }).nth(49).waitFor();
  equal(await newest.getByRole('link', { name: /^route bulk-/ }).count(), 50, 'objects that are shown at first');
  await newest.getByRole('button', { name: 'Show the next 50 of 4,950 more' }).click();
  await newest.getByRole('link', { name: /^route bulk-/ }).nth(99).waitFor();
});

const PAGES = ['/', '/objects/routes', '/objects/routes/speakers', '/objects/consumers/jack', '/new/upstreams', '/objects/ssls', '/history', '/approvals', '/requests', '/explain', '/plugins', '/plugins/limit-count', '/import', '/import?of=openapi', '/agents', '/users', '/model', '/audit'];
// The colours of these stand for those of all.
const DARK = ['/', '/objects/routes', '/objects/routes/speakers', '/history', '/requests', '/plugins/limit-count', '/agents'];
for (const [scheme, pages] of [['light', PAGES], ['dark', DARK]]) {
  await walks.walk(`every page is fit for everybody (${scheme})`, async () => {
    await page.evaluate((value) => localStorage.setItem('usher-colours', value), scheme);
    const found = [];
    for (const path of pages) {
      await page.goto(`${ADMIN}/ui${path}`);
      await page.getByRole('heading', { level: 1 }).waitFor();
      // Whatever is still on its way shows a sign of that.
      await page.locator('[aria-label="Loading"]').first().waitFor({ state: 'detached' });
      for (const one of await violations(page)) found.push(`${path}: ${one}`);
    }
    equal(found.join('\n'), '', 'violations');
  });
}

await walks.walk('nothing went wrong beside', async () => equal(wrong.join('\n'), '', 'what pages said'));
await browser.close();
if (walks.failed.length > 0) {
  console.log(`${walks.failed.length} failed: ${walks.failed.join('; ')}`);
  process.exit(1);
}
