// A request that is sent through the gateway from the page of its route, and which way it went.

import { equal, holds } from './harness.mjs';

export const attempt = async ({ walks, page, by, api, put, ADMIN }) => {
  await walks.walk('a route is tried, and the way of the request is told', async () => {
    await put('route', 'tried', { name: 'Tried', uri: '/tried/*', methods: ['GET', 'POST'], upstream_id: 'api', plugins: { 'limit-count': { count: 2, time_window: 60 }, 'response-rewrite': { headers: { set: { 'X-Tried': 'yes' } } } } });
    await page.goto(`${ADMIN}/ui/objects/routes/tried`);
    await by('link', 'Try it').click();
    await by('heading', 'Explain').waitFor();
    equal(await page.getByLabel('Path and query').inputValue(), '/tried/', 'the path to begin with');
    await page.getByLabel('Path and query').fill('/tried/1?secret=canary');
    const send = by('button', 'Send it through the gateway');
    await send.click();
    const came = page.getByRole('region', { name: 'What came back' });
    await came.getByText('200', { exact: true }).first().waitFor();
    const way = came.getByRole('group', { name: 'Its way' });
    for (const step of [/^limit-count access/, /^response-rewrite header_filter/, /^node 127\.0\.0\.1:/, /^the whole request/]) await way.getByRole('rowheader', { name: step }).waitFor();
    await came.getByRole('link', { name: 'Tried' }).waitFor();
    await came.getByText(/^Headers/).click();
    await came.getByRole('row', { name: 'x-tried yes' }).waitFor();
    await came.getByRole('group', { name: 'Body' }).getByText('conference').waitFor();
    // A body goes along; what a plugin refuses says which one did.
    await page.getByLabel('Method').first().click();
    await by('option', 'POST').click();
    await page.getByRole('textbox', { name: 'Headers' }).fill('Content-Length: 5');
    await page.getByRole('textbox', { name: 'Body' }).fill('{"talk": 1}');
    await send.click();
    await page.getByRole('alert').getByText('any but content-length').waitFor();
    await page.getByRole('textbox', { name: 'Headers' }).fill('no header');
    await page.getByText('is no header').waitFor();
    holds(await send.isDisabled(), 'what can not be read is not sent');
    await page.getByRole('textbox', { name: 'Headers' }).fill('X-Own: 1');
    await send.click();
    await came.getByRole('group', { name: 'Its way' }).waitFor();
    await send.click();
    await came.getByText('503', { exact: true }).first().waitFor();
    await came.getByText('the plugin limit-count answered').waitFor();
    equal(await way.getByRole('rowheader', { name: /^node/ }).count(), 0, 'nodes of a request that was refused');
    // It stands in the audit, without what may be a secret.
    const told = (await api('GET', '/audit?limit=1000')).body.records.filter((record) => record.event === 'request-sent');
    equal(told.length, 3, 'records of the audit');
    equal(`${told[0].principal} ${told[0].about}`, 'ada GET /tried/1', 'the first one');
    holds(!JSON.stringify(told).includes('canary'), 'queries stay out of the audit');
    const gone = await api('POST', '/plans', { changes: [{ op: 'delete', kind: 'route', id: 'tried' }] });
    equal((await api('POST', `/plans/${gone.body.id}/apply`, { approval: { person: 'the test' } })).status, 200, 'the route goes');
  });
};
