// The pictures of the manual, taken of the real thing.

import { join } from 'node:path';

export const pictures = async (browser, { page, admin, proxy, api, folder }) => {
  const shoot = async (name) => {
    await page.locator('[aria-label="Loading"]').first().waitFor({ state: 'detached' });
    await new Promise((resolve) => setTimeout(resolve, 700));
    // A hidden caret would be a style of the browser's driver, which the page's policy refuses.
    await page.screenshot({ path: join(folder, `${name}.png`), caret: 'initial' });
  };
  const look = async (path, scheme, size) => {
    await page.setViewportSize(size);
    await page.goto(`${admin}/ui${path}`);
    await page.evaluate((value) => localStorage.setItem('usher-colours', value), scheme);
    await page.reload();
    await page.getByRole('heading', { level: 1 }).waitFor();
  };
  const wide = { width: 1360, height: 860 };
  const phone = { width: 390, height: 780 };
  for (let round = 0; round < 12; round += 1) {
    await Promise.all(['/speaker/1', '/talks/2', '/talks/3', '/speaker/9', round % 3 ? '/sessions/1' : '/talks/4'].map((path) => fetch(proxy + path)));
    await new Promise((resolve) => setTimeout(resolve, 150));
  }
  await look('/', 'light', wide);
  await shoot('overview-light');
  await look('/', 'dark', wide);
  await shoot('overview-dark');
  await look('/objects/routes', 'light', wide);
  await shoot('routes');
  await look('/objects/routes/speakers', 'light', wide);
  await shoot('object');
  await look('/history', 'dark', wide);
  await shoot('history');
  await look('/requests', 'light', wide);
  await shoot('requests');
  await look('/explain?method=GET&target=/speaker/1', 'light', wide);
  await page.getByRole('button', { name: 'Send it through the gateway' }).click();
  await page.getByRole('region', { name: 'What came back' }).waitFor();
  await shoot('try');
  await look('/objects/consumers/jack', 'light', { width: 1360, height: 1000 });
  await shoot('credentials');
  await look('/objects/routes', 'light', wide);
  await page.keyboard.press('ControlOrMeta+j');
  await page.getByLabel('What you want of the gateway').fill('create a route for GET /topic/* to the conference API, ten requests a minute per client');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Approve' }).waitFor();
  await shoot('chat');
  await page.getByRole('button', { name: 'Reject' }).click();
  await page.getByText('Not applied').waitFor();
  await look('/', 'light', phone);
  await shoot('phone');
  await look('/objects/routes/speakers', 'dark', phone);
  await shoot('phone-object');
  // Behind the chat's own picture, which is led by nobody.
  const chosen = await api('PUT', '/chat/model', { url: 'http://127.0.0.1:11434/v1', name: 'qwen3:14b' });
  if (chosen.status !== 200) throw new Error(`a model to be shown: ${JSON.stringify(chosen.body)}`);
  for (const scheme of ['light', 'dark']) {
    await look('/model', scheme, wide);
    await shoot(`model-${scheme}`);
    await look('/model', scheme, phone);
    await shoot(`phone-model-${scheme}`);
  }
  await api('DELETE', '/chat/model');
};
