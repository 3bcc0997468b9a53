// The chat's model: tried, chosen, talked with and switched off, against a model server that answers as it is told.

import { createServer } from 'node:http';

import { equal, holds } from './harness.mjs';

const KEY = 'sk-canary-of-the-model';

/** A model server: what it was asked, and what it answers next. */
const scripted = async () => {
  const asked = [];
  const script = { status: 200, hangs: false };
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (piece) => (text += piece));
    request.on('end', () => {
      const body = JSON.parse(text);
      asked.push({ path: request.url, key: request.headers.authorization, body });
      if (script.hangs) return;
      if (script.status !== 200) {
        response.writeHead(script.status, { 'Content-Type': 'application/json' });
        response.end(JSON.stringify({ error: { message: `no model is called ${body.model}` } }));
        return;
      }
      const last = body.messages.at(-1);
      const looks = last.role === 'user' && last.content.includes('look around');
      const call = { id: 'c1', type: 'function', function: { name: 'gateway_overview', arguments: '{}' } };
      const words = last.role === 'tool' ? 'I looked at the gateway.' : 'ready, says the model';
      const message = looks ? { role: 'assistant', content: null, tool_calls: [call] } : { role: 'assistant', content: words };
      response.writeHead(200, { 'Content-Type': 'application/json' });
      response.end(JSON.stringify({ choices: [{ message, finish_reason: looks ? 'tool_calls' : 'stop' }] }));
    });
  });
  await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
  return { url: `http://127.0.0.1:${server.address().port}/v1`, asked, script, close: () => server.closeAllConnections() ?? server.close() };
};

export const model = async ({ walks, page, by, api, ADMIN }) => {
  await walks.walk('a model is tried, leads the chat, and is switched off', async () => {
    const server = await scripted();
    const region = (name) => page.getByRole('region', { name });
    const field = (name) => page.getByRole('textbox', { name, exact: true });
    await page.goto(`${ADMIN}/ui/model`);
    await region('No model: plain sentences').waitFor();
    holds(await by('button', 'Use this model').isDisabled(), 'nothing to use yet');
    await field('Address').fill(server.url);
    await field('Model').fill('qwen3');
    await field('Key').fill(KEY);
    // What the server says is shown as it says it.
    server.script.status = 404;
    await by('button', 'Try it').click();
    await page.getByRole('alert').getByText(/answered 404: no model is called qwen3/).waitFor();
    server.script.status = 200;
    await by('button', 'Try it').click();
    await page.getByRole('status').getByText('ready, says the model').waitFor();
    equal(`${server.asked.at(-1).path} ${server.asked.at(-1).key}`, `/v1/chat/completions Bearer ${KEY}`, 'what the model was asked with');
    equal((await api('GET', '/chat/model')).body.model, null, 'the model while it is only tried');
    await by('button', 'Use this model').click();
    await region('qwen3 leads the chat').waitFor();
    await page.getByText(/^\*\*\*[0-9a-f]{6} is kept/).waitFor();
    equal(await field('Key').inputValue(), '', 'the key once it is written');
    await page.reload();
    await region('qwen3 leads the chat').waitFor();
    holds(!(await page.content()).includes(KEY), 'the key is not on the page');
    holds(!JSON.stringify((await api('GET', '/chat/model')).body).includes(KEY), 'the key is in no answer');
    // The stored key goes nowhere else, and nobody is sent to what only this machine may reach.
    await field('Address').fill('http://127.0.0.1:9/v1');
    await by('button', 'Try it').click();
    await page.getByRole('alert').getByText(/goes nowhere else/).waitFor();
    for (const address of ['http://169.254.169.254/v1', `${ADMIN}/v1`]) {
      await field('Address').fill(address);
      await by('button', 'Use this model').click();
      await page.getByRole('alert').getByText(/is refused: it is/).waitFor();
    }
    // The chat beside the page is led by it.
    await by('button', 'Open the chat').click();
    const chat = page.getByRole('complementary', { name: 'Chat' });
    const said = chat.getByLabel('What you want of the gateway');
    await said.fill('look around');
    await said.press('Enter');
    await chat.getByText('I looked at the gateway.').waitFor();
    await chat.getByText(/called gateway_overview/).waitFor();
    // A model that says nothing holds nobody up: neither the conversation, nor who tries it.
    server.script.hangs = true;
    const heard = server.asked.length;
    await said.fill('look around once more');
    await said.press('Enter');
    while (server.asked.length === heard) await new Promise((resolve) => setTimeout(resolve, 20));
    await chat.getByRole('button', { name: 'Stop' }).click();
    await chat.getByText(/^Stopped/).waitFor();
    server.script.hangs = false;
    await said.fill('look around again');
    await said.press('Enter');
    await chat.getByText('I looked at the gateway.').nth(1).waitFor();
    await by('button', 'Close the chat').first().click();
    server.script.hangs = true;
    await page.reload();
    await by('button', 'Try it').click();
    await page.getByText('Waiting for the model, for 60 seconds at most').waitFor();
    await by('button', 'Stop waiting').click();
    await page.getByText('You stopped it').waitFor();
    server.script.hangs = false;
    const before = server.asked.length;
    await by('button', 'Go back to plain sentences').click();
    await page.getByRole('dialog').getByRole('button', { name: 'Go back to plain sentences' }).click();
    await region('No model: plain sentences').waitFor();
    await by('button', 'Open the chat').click();
    await said.fill('show all routes');
    await said.press('Enter');
    await chat.getByText(/\d+ routes?/).first().waitFor();
    await chat.getByRole('button', { name: 'Send' }).waitFor();
    equal(server.asked.length, before, 'what the model was asked since it was switched off');
    await page.keyboard.press('Escape');
    const told = (await api('GET', '/audit?limit=1000')).body.records.filter((record) => record.event.startsWith('model-'));
    equal(told.map((record) => record.event).join(' '), 'model-tried model-tried model-chosen model-tried model-forgotten', 'what the audit tells');
    holds(!JSON.stringify(told).includes(KEY), 'the key is in no audit');
    server.close();
  });
};
