// An API published by its OpenAPI document, published anew, and as it stands.

import { equal, holds } from './harness.mjs';

const document = (node, paths) => `openapi: 3.0.3
info: {title: Speakers API, version: "1.2"}
servers: [{url: "http://${node}/v1"}]
paths:
${paths.map(([path, methods]) => `  ${path}:\n${methods.map((method) => `    ${method}: {summary: "${method} of ${path}"}`).join('\n')}`).join('\n')}
`;

export const publish = async ({ walks, page, by, api, agree, ADMIN, PROXY, NODE }) => {
  const write = async (text) => {
    await page.getByRole('textbox', { name: 'The OpenAPI document' }).click();
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.insertText(text);
  };
  const preview = page.getByRole('region', { name: 'What it would publish' });
  const row = (path) => preview.getByRole('row').filter({ has: page.getByRole('cell', { name: path, exact: true }) });

  await walks.walk('an API is published by its document, and published anew', async () => {
    await page.goto(`${ADMIN}/ui/import`);
    await page.locator('label').filter({ hasText: 'An API (OpenAPI)' }).click();
    await write('info: {title: nothing}\n');
    await by('button', 'Preview').click();
    await page.getByRole('alert').getByText('this is no OpenAPI document').waitFor();
    await write(document(NODE, [['/people', ['get', 'post']], ['/people/{id}', ['get']]]));
    await page.getByText(`Speakers API, version 1.2: 3 operations at 2 paths, served by http://${NODE}/v1`).waitFor();
    await page.getByLabel('Path at the gateway').fill('/open');
    await by('button', 'Preview').click();
    await row('/open/people').getByText('GET, POST').waitFor();
    await row('/open/people/*').getByText('new').waitFor();
    equal((await fetch(`${PROXY}/open/people`)).status, 404, 'the API before anybody agrees');
    await by('button', 'Review and publish').click();
    await agree();
    await page.getByText('Published.').waitFor();
    const answer = await fetch(`${PROXY}/open/people`);
    equal(answer.status, 200, 'the published API');
    equal((await fetch(`${PROXY}/open/people`, { method: 'DELETE' })).status, 404, 'a method that the document does not name');
    // What somebody has added stays, the same document changes nothing, and a newer one only what is new in it.
    const plan = await api('POST', '/plans', { changes: [{ op: 'patch', kind: 'route', id: 'speakers-api.people', value: { labels: { team: 'people' } } }] });
    await api('POST', `/plans/${plan.body.id}/apply`, {});
    await by('button', 'Preview').click();
    await page.getByText('Nothing would change').waitFor();
    await write(document(NODE, [['/people', ['get']], ['/rooms', ['get']]]));
    await by('button', 'Preview').click();
    await row('/open/people').getByText('changed').waitFor();
    await row('/open/people').getByText(/methods/).waitFor();
    await row('/open/people/*').getByText('goes').waitFor();
    await row('/open/rooms').getByText('new').waitFor();
    await by('button', 'Review and publish').click();
    await agree();
    equal((await fetch(`${PROXY}/open/people`, { method: 'POST' })).status, 404, 'a method that went');
    const kept = await api('GET', '/objects/routes/speakers-api.people');
    equal(kept.body.value.labels.team, 'people', 'what somebody had added');
    await page.getByRole('link', { name: 'Its routes' }).click();
    await page.getByText('2 of 2').waitFor();
    // It would be counted among the routes of later walks.
    const gone = await api('POST', '/plans', { changes: ['speakers-api.people', 'speakers-api.rooms'].map((id) => ({ op: 'delete', kind: 'route', id })) });
    holds((await api('POST', `/plans/${gone.body.id}/apply`, { approval: { person: 'the test' } })).status === 200, 'its routes go');
  });
};
