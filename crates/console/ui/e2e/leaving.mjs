// What was written and not saved, and plans that nobody decided about: they are not lost, nor left standing, without a word.

import { equal, violations } from './harness.mjs';

export const leaving = async ({ walks, page, by, api, put, agree, apply, ADMIN, PASSWORD }) => {
  const name = () => page.getByLabel('Name', { exact: true });
  const asks = () => page.getByRole('dialog', { name: 'Leave without saving?' });

  await walks.walk('a form that was written in is not left without a question', async () => {
    await put('route', 'leaving', { name: 'Leaving', uri: '/leaving', upstream_id: 'api' });
    await page.goto(`${ADMIN}/ui/objects/routes`);
    await by('link', 'Leaving').click();
    await by('heading', 'Leaving').waitFor();
    // Nothing was written: nobody asks.
    await by('link', 'Upstreams').click();
    await by('heading', 'Upstreams').waitFor();
    await page.goBack();
    await by('heading', 'Leaving').waitFor();
    await name().fill('Not lost');
    await by('link', 'Upstreams').click();
    await asks().getByRole('button', { name: 'Stay here' }).click();
    await asks().waitFor({ state: 'hidden' });
    equal(await name().inputValue(), 'Not lost', 'what was written, after a link');
    await page.evaluate(() => history.back());
    await asks().getByRole('button', { name: 'Stay here' }).click();
    await asks().waitFor({ state: 'hidden' });
    equal(await name().inputValue(), 'Not lost', 'what was written, after Back');
    await page.waitForURL('**/ui/objects/routes/leaving');
    const said = new Promise((resolve) =>
      page.once('dialog', (dialog) => {
        resolve(dialog.type());
        void dialog.dismiss();
      }),
    );
    // It is stopped, so that nothing comes of waiting for it.
    void page.evaluate(() => window.location.reload()).catch(() => {});
    equal(await said, 'beforeunload', 'what the browser asks before it loads the page anew');
    equal(await name().inputValue(), 'Not lost', 'what was written, after a reload that was stopped');
    await by('link', 'Upstreams').click();
    await asks().getByRole('button', { name: 'Leave, and lose it' }).click();
    await by('heading', 'Upstreams').waitFor();
    equal((await api('GET', '/objects/routes/leaving')).body.value.name, 'Leaving', 'the route that was not saved');
    // What was applied is no loss.
    await page.goto(`${ADMIN}/ui/objects/routes/leaving`);
    await name().fill('Saved');
    await by('button', 'Review the change').click();
    await page.getByRole('dialog').getByRole('button', { name: /^Apply/ }).click();
    await page.getByRole('dialog').getByText(/In force since revision/).waitFor();
    await page.getByRole('dialog').getByRole('button', { name: 'Close' }).last().click();
    await by('link', 'Upstreams').click();
    await by('heading', 'Upstreams').waitFor();
  });

  await walks.walk('a session that ends under a form is begun again over it, and nothing is lost', async () => {
    await page.goto(`${ADMIN}/ui/objects/routes/leaving`);
    await name().fill('Written before the end');
    // Who is given a password, though it be the same, is asked for it.
    equal((await api('PUT', '/users/ada', { password: PASSWORD })).status, 200, 'ending the sessions of ada');
    await by('button', 'Review the change').click();
    const again = page.getByRole('dialog', { name: 'Log in to the gateway' });
    await again.getByText('You were logged out').waitFor();
    equal((await violations(page)).join('\n'), '', 'violations of the login over a page');
    await again.getByRole('textbox', { name: 'User' }).fill('ada');
    await again.getByRole('textbox', { name: 'Password' }).fill('wrong password');
    await again.getByRole('button', { name: 'Log in' }).click();
    await again.getByRole('alert').getByText('no user has this name').waitFor();
    await again.getByRole('textbox', { name: 'Password' }).fill(PASSWORD);
    await again.getByRole('button', { name: 'Log in' }).click();
    await again.waitFor({ state: 'hidden' });
    equal(await name().inputValue(), 'Written before the end', 'what was written, after the login');
    await apply();
    equal((await api('GET', '/objects/routes/leaving')).body.value.name, 'Written before the end', 'the route that was saved after all');
    await put('route', 'leaving', { name: 'Saved', uri: '/leaving', upstream_id: 'api' });
  });

  await walks.walk('a plan that is forgotten is made again, and an object that was deleted is made again', async () => {
    const plan = page.getByRole('dialog', { name: 'Review the change' });
    await page.goto(`${ADMIN}/ui/objects/routes/leaving`);
    await name().fill('Once more');
    await by('button', 'Review the change').click();
    await plan.getByText('What changes').waitFor();
    // As after a restart, which forgets plans.
    let times = 0;
    await page.route('**/plans/*/apply', async (route) => {
      times += 1;
      if (times > 1) await route.continue();
      else await route.continue({ url: `${ADMIN}/usher/v1/plans/ffffffffff/apply` });
    });
    await plan.getByRole('button', { name: /^Apply/ }).click();
    await plan.getByText('This plan is not there any more').waitFor();
    await plan.getByRole('button', { name: 'Review it again' }).click();
    await plan.getByText('This plan is not there any more').waitFor({ state: 'hidden' });
    await agree();
    await page.unroute('**/plans/*/apply');
    equal((await api('GET', '/objects/routes/leaving')).body.value.name, 'Once more', 'the route whose plan was made again');
    await by('heading', 'Once more').waitFor();
    await name().fill('Back again');
    const gone = await api('POST', '/plans', { changes: [{ op: 'delete', kind: 'route', id: 'leaving' }] });
    equal((await api('POST', `/plans/${gone.body.id}/apply`, { approval: { person: 'the test' } })).status, 200, 'deleting it meanwhile');
    await by('button', 'Review the change').click();
    await page.getByRole('alert').getByText('Somebody deleted this meanwhile').waitFor();
    await by('button', 'Make it again').click();
    await agree();
    equal((await api('GET', '/objects/routes/leaving')).body.value.name, 'Back again', 'the route that was made again');
    await put('route', 'leaving', { name: 'Saved', uri: '/leaving', upstream_id: 'api' });
  });

  await walks.walk('a plan does not stand over another page', async () => {
    await page.goto(`${ADMIN}/ui/objects/routes`);
    await by('link', 'Saved').or(by('link', 'Leaving')).click();
    await by('button', 'Delete').click();
    const plan = page.getByRole('dialog', { name: 'Review the change' });
    await plan.getByText('What changes').waitFor();
    await page.goBack();
    await by('heading', 'Routes').waitFor();
    await plan.waitFor({ state: 'hidden' });
    await page.getByRole('status').getByText('The plan is discarded').waitFor();
    await page.getByRole('status').getByText(/nothing was changed/).waitFor();
    equal((await api('GET', '/objects/routes/leaving')).status, 200, 'the route whose plan was left');
    // What was applied is told of on its own page, and leaves with that.
    await by('link', 'Saved').or(by('link', 'Leaving')).click();
    await by('button', 'Delete').click();
    await plan.getByLabel('I have read what this does').check();
    await plan.getByRole('button', { name: /^Apply/ }).click();
    await plan.getByText(/In force since revision/).waitFor();
    await by('heading', 'Routes').waitFor();
    await page.goBack();
    await plan.waitFor({ state: 'hidden' });
    equal((await api('GET', '/objects/routes/leaving')).status, 404, 'the route that was deleted');
  });
};
