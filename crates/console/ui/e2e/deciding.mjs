// Plans of agents on the page of approvals: who agrees is answered, who comes second or too late is told so. And who may not go, and who had to.

import { equal, holds, watched } from './harness.mjs';

export const deciding = async ({ walks, browser, page, by, api, put, ADMIN, PASSWORD }) => {
  let token;
  /** A plan of an agent that deletes a route of this name. */
  const wish = async (id) => {
    token ??= (await api('POST', '/tokens', { name: 'tidy', role: 'chat' })).body.token;
    await put('route', id, { name: id, uri: `/${id}`, upstream_id: 'api' });
    const plan = await api('POST', '/plans', { intent: `${id} is not used`, changes: [{ op: 'delete', kind: 'route', id }] }, token);
    equal(plan.status, 201, `the plan for ${id}`);
    return plan.body.id;
  };
  const card = (id) => page.getByRole('article').filter({ hasText: `${id} is not used` });
  /** Somebody else, at a browser of their own. */
  const bob = async (name, role) => {
    equal((await api('POST', '/users', { name, role, password: PASSWORD })).status, 201, `the user ${name}`);
    const other = await watched(browser, ADMIN);
    await other.page.goto(`${ADMIN}/ui/approvals`);
    await other.page.getByRole('textbox', { name: 'User' }).fill(name);
    await other.page.getByRole('textbox', { name: 'Password' }).fill(PASSWORD);
    await other.page.getByRole('button', { name: 'Log in', exact: true }).click();
    await other.page.getByRole('heading', { name: 'Approvals' }).waitFor();
    return other;
  };

  await walks.walk('who agrees gets an answer, and who comes second is told who was faster', async () => {
    await wish('first');
    const other = await bob('bob', 'editor');
    await page.goto(`${ADMIN}/ui/approvals`);
    await card('first').waitFor();
    const told = (on, text) => on.getByRole('article').filter({ hasText: text });
    await told(other.page, 'first is not used').waitFor();
    await card('first').getByLabel('I have read what this does').check();
    await card('first').getByRole('button', { name: 'Approve and apply' }).click();
    const mine = told(page, /In force since revision/);
    await mine.waitFor();
    equal((await api('GET', '/objects/routes/first')).status, 404, 'the route that went');
    const his = told(other.page, /ada agreed to this plan before you: it was applied as revision \d+/);
    await his.getByText('This plan waits no longer').waitFor();
    await his.getByText(/look at the history/).waitFor();
    equal(await his.getByRole('button', { name: 'Approve and apply' }).count(), 0, 'what the second may press');
    await his.getByRole('button', { name: 'Put it away' }).click();
    await his.waitFor({ state: 'hidden' });
    await mine.getByRole('button', { name: 'Put it away' }).click();
    equal(other.wrong.join('\n'), '', 'what went wrong beside');
    // Who had to go is told why, and comes back to where it was.
    await api('PUT', '/users/bob', { role: 'viewer' });
    await other.page.reload();
    await other.page.getByRole('heading', { name: 'Log in to the gateway' }).waitFor();
    await other.page.getByRole('status').getByText(/role or password was changed/).waitFor();
    await other.context.close();
  });

  await walks.walk('a plan that became stale can not be approved, and says why', async () => {
    const id = await wish('second');
    await page.goto(`${ADMIN}/ui/approve/${id}`);
    await page.getByText('second is not used').waitFor();
    holds((await page.getByText('can not be applied').count()) === 0, 'nothing is stale yet');
    await put('route', 'second', { name: 'second', uri: '/second-place', upstream_id: 'api' });
    await page.getByRole('alert').getByText(/route second was changed by revision/).waitFor();
    await page.getByText('let tidy plan again').waitFor();
    holds(await by('button', 'Approve and apply').isDisabled(), 'a stale plan is closed');
    await by('button', 'Decline').click();
    await page.getByText('Declined. The plan can not be applied any more.').waitFor();
    await page.goto(`${ADMIN}/ui/approve/${id}`);
    await page.getByRole('alert').getByText(/ada declined this plan/).waitFor();
    // Later walks count routes.
    const gone = await api('POST', '/plans', { changes: [{ op: 'delete', kind: 'route', id: 'second' }] });
    equal((await api('POST', `/plans/${gone.body.id}/apply`, { approval: { person: 'the test' } })).status, 200, 'deleting the route');
  });

  await walks.walk('the last administrator stays', async () => {
    await page.goto(`${ADMIN}/ui/users`);
    await by('button', 'Delete ada').click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete' }).click();
    await page.getByRole('dialog').getByRole('alert').getByText(/last user with the role admin/).waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
    await by('button', 'Change ada').click();
    await page.getByRole('dialog').getByRole('combobox').or(page.getByRole('dialog').getByRole('textbox', { name: 'What it may do' })).first().waitFor();
    await page.keyboard.press('Escape');
    await api('DELETE', '/users/bob');
  });
};
