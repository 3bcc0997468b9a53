// The way into the console by a provider, in a real browser: away to the provider's page, back, and out again. The test `console_login` of the
// gateway starts this.

import { equal, holds, need, open, violations, Walks, watched } from './harness.mjs';

const ADMIN = need('USHER_ADMIN');
const PROVIDER = need('USHER_PROVIDER');

const browser = await open();
const walks = new Walks();
const { page, context, wrong } = await watched(browser, ADMIN);
const by = (role, name) => page.getByRole(role, { name, exact: true });
const BUTTON = 'Log in with Conference ID';

/** Says at the provider's page who one is. */
const say = async (person) => {
  await by('heading', 'The test provider').waitFor();
  await page.getByLabel('Who are you?').fill(person);
  await by('button', 'Continue').click();
};

for (const scheme of ['light', 'dark']) {
  await walks.walk(`the way by a provider is fit for everybody (${scheme})`, async () => {
    await page.goto(`${ADMIN}/ui/login`);
    await page.evaluate((value) => localStorage.setItem('usher-colours', value), scheme);
    await page.reload();
    await by('button', BUTTON).waitFor();
    equal((await violations(page)).join('\n'), '', 'violations');
    if (process.env.USHER_PICTURES && scheme === 'light') await page.screenshot({ path: `${process.env.USHER_PICTURES}/login-${scheme}.png`, caret: 'initial' });
  });
}

await walks.walk('somebody logs in at the provider and is where they wanted to be', async () => {
  await page.goto(`${ADMIN}/ui/history`);
  await by('button', BUTTON).waitFor();
  // By the keyboard alone.
  await page.keyboard.press('Tab');
  for (let tabs = 0; tabs < 12; tabs += 1) {
    if (await by('button', BUTTON).evaluate((button) => button === document.activeElement)) break;
    await page.keyboard.press('Tab');
  }
  await page.keyboard.press('Enter');
  await say('ann');
  await by('heading', 'History').waitFor();
  equal(new URL(page.url()).search, '', 'what is left in the address');
  await page.getByRole('button', { name: 'Signed in as oidc:ann@conf.test' }).waitFor();
  const cookies = await context.cookies(`${ADMIN}/usher/v1/session`);
  equal(cookies.map((cookie) => cookie.name).join(), 'usher_session', 'the cookies');
  holds(cookies[0].httpOnly && cookies[0].sameSite === 'Strict', 'the cookie is out of reach');
  // A page that is loaded anew, and one that is gone back to, show nothing to the provider again.
  await page.goto(`${ADMIN}/ui/oidc`);
  await by('heading', 'Overview').waitFor();
});

await walks.walk('logging out says where one leaves the provider too', async () => {
  await page.getByRole('button', { name: /Signed in as/ }).click();
  await by('menuitem', 'Log out').click();
  await page.getByText('You are logged out of this console.').waitFor();
  equal((await violations(page)).join('\n'), '', 'violations');
  await by('link', 'Log out of Conference ID too').click();
  await by('heading', 'You are logged out of the test provider').waitFor();
});

await walks.walk('whom no rule knows reads why on the login page', async () => {
  await page.goto(`${ADMIN}/ui/`);
  await by('button', BUTTON).click();
  await say('mallory');
  await page.getByRole('alert').getByText('oidc:mallory@conf.test may not use this console').waitFor();
  await by('heading', 'Log in to the gateway').waitFor();
  equal((await violations(page)).join('\n'), '', 'violations');
  // Somebody else gets in from there.
  await by('button', BUTTON).click();
  await say('vi');
  await by('heading', 'Overview').waitFor();
  await page.getByRole('button', { name: 'Signed in as oidc-sub:3' }).waitFor();
});

await walks.walk('a link that somebody else was sent back with lets nobody in', async () => {
  const other = await watched(browser, ADMIN);
  await other.page.goto(`${ADMIN}/ui/oidc?code=code-0&state=stolen`);
  await other.page.getByRole('alert').getByText('this browser began no such log-in').waitFor();
  equal(other.wrong.join('\n'), '', 'what went wrong beside');
  await other.context.close();
});

await walks.walk('nothing went wrong beside', async () => {
  // The provider's own page is one that the browser was sent to, and nothing that the console asked.
  const foreign = wrong.filter((one) => !one.startsWith(`asked another origin: ${PROVIDER}/`) && !one.includes('/favicon.ico'));
  equal(foreign.join('\n'), '', 'what pages said');
});
await browser.close();
if (walks.failed.length > 0) {
  console.log(`${walks.failed.length} failed: ${walks.failed.join('; ')}`);
  process.exit(1);
}
