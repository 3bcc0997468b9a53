// What the walks through the console share: a browser that only knows this machine, and checks that hold on every page.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

import { chromium } from 'playwright-core';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** How long anything on a page may take, in milliseconds. */
export const PATIENCE = 15_000;

export const need = (name) => {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; the test of the gateway starts this`);
  return value;
};

export const open = () =>
  chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    // Whoever runs tests as root or in a container has no sandbox.
    args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu', '--force-color-profile=srgb'],
  });

/** What went wrong on a page besides what a walk looks for. */
export const watched = async (browser, origin, options = {}) => {
  const context = await browser.newContext({ viewport: { width: 1360, height: 860 }, reducedMotion: 'reduce', ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  const wrong = [];
  page.on('request', (request) => {
    const url = request.url();
    if (!url.startsWith(origin) && !url.startsWith('data:') && !url.startsWith('blob:')) wrong.push(`asked another origin: ${url}`);
  });
  page.on('pageerror', (error) => wrong.push(`a script broke: ${error.stack ?? error}`));
  page.on('console', (message) => {
    // What the page's policy refuses is an error here too. An answer that refuses is written there too; those are what some walks are about.
    if (message.type() === 'error' && !message.text().startsWith('Failed to load resource')) wrong.push(`on the console: ${message.text()} at ${page.url()}`);
  });
  return { page, context, wrong };
};

/** Failed walks after which the rest isn't walked. */
const MOST_FAILED = 3;

const RULES = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];

/** Violations of WCAG 2.2 AA on a page as it is. */
export const violations = async (page) => {
  // The policy of the page lets no other script in, so this one comes through the debugger.
  await page.evaluate(`(() => { if (!window.axe) { ${axe} } })()`);
  const found = await page.evaluate((rules) => window.axe.run(document, { runOnly: { type: 'tag', values: rules }, resultTypes: ['violations'] }), RULES);
  return found.violations.map((one) => `${one.id}: ${one.help}\n    ${one.nodes.slice(0, 4).map((node) => `${node.html.slice(0, 180)}\n      ${node.failureSummary?.replace(/\n/g, ' ')}`).join('\n    ')}`);
};

/** Walks, one after the other; all are walked, and what failed is told at the end. */
export class Walks {
  failed = [];

  /** Walks of these names alone, for whoever works on one: a pattern in the environment. */
  only = process.env.USHER_WALKS ? new RegExp(process.env.USHER_WALKS) : undefined;

  /** `always`: others stand on it. */
  async walk(name, steps, always = false) {
    if (this.only && !always && !this.only.test(name)) return;
    // One that hangs makes the next ones hang too; a few tell enough.
    if (this.failed.length > MOST_FAILED) return;
    const begun = Date.now();
    try {
      await steps();
      console.log(`ok    ${name} (${Date.now() - begun} ms)`);
    } catch (error) {
      this.failed.push(name);
      console.log(`FAIL  ${name}\n${error?.stack ?? error}`);
    }
  }
}

export const equal = (seen, wanted, about) => {
  if (seen !== wanted) throw new Error(`${about}: ${JSON.stringify(seen)} instead of ${JSON.stringify(wanted)}`);
};

export const holds = (truth, about) => {
  if (!truth) throw new Error(about);
};
