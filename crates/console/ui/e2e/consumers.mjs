// A consumer and what it shows: made, renewed beside and at once, taken away; and who gets 401 each time.

import { equal, holds } from './harness.mjs';

export const consumers = async ({ walks, page, by, api, put, agree, ADMIN, PROXY }) => {
  await walks.walk('a credential is made, shown once, renewed and taken away', async () => {
    await put('consumer', 'jack', { username: 'jack' });
    await put('route', 'guarded', { uri: '/guarded/*', plugins: { 'key-auth': {} }, upstream_id: 'api' });
    const status = async (key) => (await fetch(`${PROXY}/guarded/1`, { headers: key ? { apikey: key } : {} })).status;
    const secret = () => page.getByRole('status').filter({ hasText: 'Copy it now' }).locator('[data-secret="key"]').textContent();
    const review = async () => {
      await page.getByRole('dialog').getByRole('button', { name: 'Review the change' }).click();
      // The plan that is shown holds no secret.
      const plan = page.getByRole('dialog').filter({ hasText: 'What changes' });
      await plan.getByText(/\*\*\*/).first().waitFor();
      await plan.getByRole('button', { name: /^Apply/ }).waitFor();
    };
    const applyIt = async () => {
      const plan = page.getByRole('dialog').filter({ hasText: 'What changes' });
      await plan.waitFor();
      const read = plan.getByLabel('I have read what this does');
      if (await read.count()) await read.check();
      await plan.getByRole('button', { name: /^Apply/ }).click();
      const applied = page.getByRole('dialog').filter({ hasText: 'In force since revision' });
      await applied.getByRole('button', { name: 'Close' }).last().click();
      await applied.waitFor({ state: 'hidden' });
    };
    await page.goto(`${ADMIN}/ui/objects/consumers/jack`);
    await page.getByText('jack has no credential').waitFor();
    equal(await status(), 401, 'a request that shows nothing');
    await by('button', 'New credential').click();
    const dialog = page.getByRole('dialog');
    const made = await dialog.getByLabel('key', { exact: false }).first().inputValue();
    equal(made.length, 32, 'the length of a secret that is made here');
    await review();
    await applyIt();
    const first = await secret();
    equal(first, made, 'the secret that is shown');
    equal(await status(first), 200, 'a request with the new key');
    // Renewed beside: both are good.
    await by('button', 'Renew key-auth c1').click();
    await page.getByText('key-auth is asked for by 1 route').waitFor();
    await page.getByLabel('It stays good beside a new credential').check();
    await page.getByRole('dialog').getByRole('button', { name: 'New credential' }).click();
    equal(await page.getByRole('dialog').getByLabel('Name', { exact: false }).first().inputValue(), 'c2', 'the name of the next one');
    await review();
    await applyIt();
    const second = await secret();
    equal(`${await status(first)} ${await status(second)}`, '200 200', 'the old key and the one beside it');
    await by('button', 'Remove key-auth c1').click();
    await page.getByRole('dialog').getByText('gets 401 once this is applied').waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Review the change' }).click();
    await applyIt();
    equal(`${await status(first)} ${await status(second)}`, '401 200', 'the old key after it was removed, and the one beside it');
    // Renewed at once: the old one is gone.
    await by('button', 'Renew key-auth c2').click();
    await page.getByRole('dialog').getByRole('button', { name: 'Review the change' }).click();
    await applyIt();
    const third = await secret();
    equal(`${await status(second)} ${await status(third)}`, '401 200', 'the key before and the one that took its place');
    await page.reload();
    await by('button', 'Renew key-auth c2').waitFor();
    holds(!(await page.content()).includes(third), 'a secret is shown once');
    const history = JSON.stringify((await api('GET', '/history?limit=20')).body);
    for (const key of [first, second, third]) holds(!history.includes(key), 'no secret in the history');
    const gone = await api('POST', '/plans', { changes: [{ op: 'delete', kind: 'route', id: 'guarded' }] });
    equal((await api('POST', `/plans/${gone.body.id}/apply`, { approval: { person: 'the test' } })).status, 200, 'its route goes');
  });
};
