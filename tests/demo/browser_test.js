// SPDX-License-Identifier: Apache-2.0

// The demo in a browser: browser_test.js SERVER MODEL ITEMS FOLDER
// clicks through the page that SERVER has for the model and its file of items, and leaves light.png and dark.png in FOLDER,
// where npm also puts the two packages that drive and judge the browser. Ends with 77 where one of them, or the browser
// that the system has, is missing; downloads no browser.

'use strict';
const assert = require('assert');
const {execFileSync, spawn} = require('child_process');
const fs = require('fs');
const path = require('path');

const [server, model, items, folder] = process.argv.slice(2);

function skip(why) {
  console.log('skipped: ' + why);
  process.exit(77);
}

function findBrowser() {
  for (const name of ['chromium', 'chromium-browser', 'google-chrome']) {
    for (const directory of process.env.PATH.split(path.delimiter)) {
      const file = path.join(directory, name);
      if (fs.existsSync(file)) return file;
    }
  }
  return skip('no chromium');
}

function load(name) {
  const from = path.join(folder, 'node_modules', name);
  if (!fs.existsSync(from)) {
    const install = ['install', '--no-save', '--no-audit', '--no-fund', '--prefix', folder, 'playwright-core@1.65.1', 'axe-core@4.14.1'];
    try {
      execFileSync('npm', install, {stdio: 'pipe', timeout: 120000});
    } catch (error) {
      skip('npm cannot install playwright-core and axe-core: ' + String(error.message).split('\n')[0]);
    }
  }
  return require(from);
}

// The server on a free port: {process, address}.
function start() {
  const started = spawn(server, [model, '--demo', items, '--category', 'genres', '--port', '0'], {stdio: ['ignore', 'pipe', 'ignore']});
  return new Promise((resolve, reject) => {
    started.on('exit', () => reject(new Error('the server ended')));
    started.stdout.once('data', (line) => resolve({process: started, address: /http:\S+/.exec(String(line))[0]}));
  });
}

const texts = (page, selector) => page.locator(selector).allTextContents();
const listed = (page) => texts(page, '#list > li:not([hidden]) .title');
const firstEvent = (page) => page.locator('#strip li').first();
const settled = (page) => page.waitForSelector('#list[aria-busy=false]', {state: 'attached'});

// Does something to the page and waits until everything that it sets off is shown.
async function after(page, action) {
  await action();
  await page.waitForTimeout(0);
  await settled(page);
}

async function open(browser, address, options, problems) {
  const page = await browser.newPage(options);
  page.setDefaultTimeout(120000);
  page.on('console', (message) => { if (message.type() === 'error') problems.push(message.text()); });
  page.on('pageerror', (error) => problems.push(String(error)));
  page.on('request', (request) => { if (!request.url().startsWith(address) && !request.url().startsWith('data:')) problems.push(request.url()); });
  await page.goto(address);
  await page.waitForSelector('#list > li:not([hidden])');
  await settled(page);
  return page;
}

async function judge(page, axe, what) {
  await page.evaluate(axe.source);
  const {violations} = await page.evaluate(() => window.axe.run());
  for (const one of violations) console.log(`axe, ${what}: ${one.impact}: ${one.help}: ${one.nodes.map((node) => node.target).join(' ')}`);
  assert.deepStrictEqual(violations.filter((one) => ['serious', 'critical'].includes(one.impact)).map((one) => one.id), [], what);
}

const checks = {
  async 'The first page has a list with titles and reasons, a history and what three parts say'(page) {
    assert.strictEqual((await listed(page)).length, 12);
    for (const why of await texts(page, '#list .why')) assert.match(why, /\S/);
    assert.ok(await page.locator('#strip li').count() > 1);
    for (const part of ['encoder', 'content', 'counts']) assert.strictEqual(await page.locator(`#${part} li`).count(), 5, part);
  },

  async 'A click changes the list, and says in what time'(page) {
    const before = await listed(page);
    await after(page, () => page.locator('#list .title').nth(1).click());
    const now = await listed(page);
    assert.notDeepStrictEqual(now, before);
    assert.ok(!now.includes(before[1]));
    assert.strictEqual(await firstEvent(page).locator('b').textContent(), before[1]);
    assert.match(await page.textContent('#status'), /are new, in .*event .*answer /);
    assert.ok(await page.locator('#list li.fresh').count() > 0);
    await page.mouse.move(0, 0);
    await page.evaluate(() => document.activeElement.blur());
    await page.screenshot({path: path.join(folder, 'light.png')});
  },

  async 'The first place is clicked again and again'(page) {
    const times = await page.evaluate(async () => {
      const taken = [];
      for (let click = 0; click < 10; ++click) {
        const first = document.querySelector('#list > li'), before = first.dataset.item, begin = performance.now();
        const changed = new Promise((resolve) => {
          const observer = new MutationObserver(() => {
            if (first.dataset.item === before) return;
            observer.disconnect();
            resolve();
          });
          observer.observe(first, {attributes: true});
        });
        first.querySelector('.title').click();
        await changed;
        taken.push(performance.now() - begin);
      }
      return taken.sort((a, b) => a - b);
    });
    console.log(`from a click to the changed list: ${times[0].toFixed(1)} ms at best, ${times[5].toFixed(1)} in the median of 10`);
    await settled(page);
  },

  async 'What is liked, disliked or bought leaves the list and joins the history'(page) {
    for (const [button, word] of [['Like', 'liked'], ['Dislike', 'disliked'], ['Buy', 'bought']]) {
      const title = (await listed(page))[3];
      await after(page, () => page.getByRole('button', {name: `${button} ${title}`, exact: true}).click());
      assert.ok(!(await listed(page)).includes(title), button);
      assert.deepStrictEqual(await firstEvent(page).locator('b, span').allTextContents(), [title, word]);
    }
    assert.strictEqual(await page.locator('#strip li.dislike').count(), 1);
  },

  async 'Dials filter, vary and explore the list'(page) {
    const before = await listed(page);
    await after(page, () => page.selectOption('#only', 'Drama'));
    for (const kind of await texts(page, '#list > li:not([hidden]) .kind')) assert.match(kind, /\bDrama\b/);
    await after(page, () => page.selectOption('#only', ''));
    assert.deepStrictEqual(await listed(page), before);
    const dial = (id, value) => after(page, () => page.locator(id).fill(value));
    await dial('#diversity', '0.8');
    assert.notDeepStrictEqual(await listed(page), before);
    await dial('#diversity', '0');
    await dial('#explore', '1');
    assert.match((await texts(page, '#list .why')).join(), /explored/);
    await dial('#explore', '0');
    assert.deepStrictEqual(await listed(page), before);
  },

  async 'A new visitor begins with what is popular, and what he knows speaks at once'(page) {
    await after(page, () => page.click('#visitor'));
    assert.match(await page.textContent('#strip'), /Nothing yet/);
    assert.match((await texts(page, '#list .why')).join(), /Popular/);
    assert.match(await page.textContent('#encoder'), /Nothing to go by/);
    const before = await listed(page);
    await page.fill('#known', await page.locator('#titles option').first().getAttribute('value'));
    await after(page, () => page.press('#known', 'Enter'));
    assert.strictEqual(await page.locator('#strip li').count(), 1);
    assert.notDeepStrictEqual(await listed(page), before);
  },

  async 'With keys alone'(page) {
    const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.textContent);
    await page.evaluate(() => document.activeElement.blur());
    await page.focus('#user');
    const order = [];
    for (let i = 0; i < 4; ++i) {
      await page.keyboard.press('Tab');
      order.push(await focused());
    }
    const before = await listed(page);
    assert.deepStrictEqual(order, ['visitor', 'strip', before[0], 'Like']);
    await after(page, () => page.keyboard.press('Space'));
    const now = await listed(page);
    assert.ok(!now.includes(before[0]));
    assert.strictEqual(await page.evaluate(() => document.activeElement.getAttribute('aria-label')), 'Like ' + now[0]);
    await page.keyboard.press('Shift+Tab');
    await after(page, () => page.keyboard.press('Enter'));
    assert.ok(!(await listed(page)).includes(now[0]));
  },

  async 'The histogram counts requests'(page) {
    await after(page, () => page.click('#burst'));
    const said = await page.getAttribute('#bars', 'aria-label');
    assert.match(said, /Half within .*, 99 % within .* requests/);
    assert.ok(await page.locator('#bars i').count() > 5);
  },
};

async function main() {
  const playwright = load('playwright-core'), axe = load('axe-core'), executablePath = findBrowser();
  const begin = Date.now();
  const started = await start();
  const first = await (await fetch(started.address)).text();
  console.log(`from the start to the page: ${Date.now() - begin} ms`);
  assert.match(first, /^<!DOCTYPE html>/);
  const browser = await playwright.chromium.launch({executablePath, args: ['--no-sandbox']});
  const problems = [];
  try {
    const page = await open(browser, started.address, {viewport: {width: 1280, height: 880}, colorScheme: 'light'}, problems);
    await judge(page, axe, 'light');
    for (const [name, check] of Object.entries(checks)) {
      await check(page);
      console.log('passed: ' + name);
    }

    const phone = await open(browser, started.address, {viewport: {width: 390, height: 844}, colorScheme: 'dark'}, problems);
    await after(phone, () => phone.locator('#list .title').nth(2).click());
    await phone.evaluate(() => { document.activeElement.blur(); window.scrollTo(0, 0); });
    await phone.screenshot({path: path.join(folder, 'dark.png')});
    await judge(phone, axe, 'dark, on a phone');
    await phone.setViewportSize({width: 320, height: 640});
    assert.ok(await phone.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth), 'wider than a phone');
    const [red, green, blue] = (await phone.evaluate(() => getComputedStyle(document.body).backgroundColor)).match(/\d+/g).map(Number);
    assert.ok(red + green + blue < 150, 'not dark');
    console.log('passed: dark, on a phone');

    assert.deepStrictEqual(problems, []);
    started.process.kill('SIGKILL');
    await new Promise((resolve) => started.process.on('exit', resolve));
    await after(page, () => page.locator('#list .title').first().click());
    assert.strictEqual(await page.textContent('#error'), 'The server does not answer');
    console.log('passed: without a server the page says so');
  } finally {
    started.process.removeAllListeners('exit');
    started.process.kill('SIGKILL');
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
