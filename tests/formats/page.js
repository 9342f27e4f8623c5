// Opens a page of notes in Chromium, as a person would: what is highlighted, what the boxes hide, what is told, and that nothing which a
// note or a name holds runs or loads anything. Arguments: what is expected, as samples.py makes it, and the page.
'use strict';
const assert = require('assert');
const fs = require('fs');
const path = require('path');
const { chromium } = require('playwright-core');

const [expectedPath, pagePath] = process.argv.slice(2);
const expected = JSON.parse(fs.readFileSync(expectedPath, 'utf8'));
const entities = expected.flatMap((item) => item.entities);
const isOfSamples = expected.some((item) => item.note.note_id === 'ward/discharge 1');

// As the page shows text, with line ends as HTML reads them.
const shown = (text) =>
  [...text.replace(/\r\n?/g, '\n')]
    .map((character) => {
      const code = character.codePointAt(0);
      if (character === '\n' || character === '\t') return character;
      if (code < 0x20) return String.fromCodePoint(0x2400 + code);
      if (code === 0x7f) return '\u2421';
      if (code === 0x2028 || code === 0x2029) return '\u2424';
      if ((code >= 0x80 && code < 0xa0) || (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069)) return '\ufffd';
      return character;
    })
    .join('');

async function looks(page) {
  const texts = await page.$$eval('article .text', (found) => found.map((element) => element.textContent));
  assert.deepStrictEqual(texts, expected.map((item) => shown(item.note.text)), 'every text stands there as it is');
  const heads = await page.$$eval('article h2', (found) => found.map((element) => element.textContent));
  assert.deepStrictEqual(heads, expected.map((item) => shown(item.note.note_id)));
  // An entity that crosses another is in parts, of which the first can be reached.
  const marks = await page.$$eval('mark[tabindex]', (found) => found.map((element) => element.classList[0]));
  const tasks = entities.map((entity) => entity.task);
  assert.deepStrictEqual(marks.sort(), tasks.sort());
  const elements = await page.$$eval('main *', (found) => [...new Set(found.map((element) => element.localName))].sort());
  assert.deepStrictEqual(elements, ['article', 'b', 'div', 'h2', 'li', 'mark', 'ul'], 'no name and no text is markup');
  const contrasts = await page.$$eval('mark, .mark', (found) => {
    const luminance = (colour) => {
      const channels = colour.match(/[\d.]+/g).map(Number);
      if (channels[3] === 0) return 1;
      const [r, g, b] = channels.map((value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    return found.map((element) => {
      const { color, backgroundColor } = getComputedStyle(element);
      return (luminance(backgroundColor) + 0.05) / (luminance(color) + 0.05);
    });
  });
  assert(contrasts.length > entities.length && Math.min(...contrasts) >= 7, `a contrast of ${Math.min(...contrasts)}`);
}

// Whether each entity is highlighted, by its first class and its words.
const highlighted = (page) =>
  page.$$eval('mark', (found) =>
    found.map((element) => ({
      classes: [...element.classList].filter((name) => name !== 'off'),
      isOn: getComputedStyle(element).backgroundColor !== 'rgba(0, 0, 0, 0)',
    })));

async function filters(page) {
  const boxes = await page.$$eval('#filters input', (found) => found.map((box) => box.value));
  assert.deepStrictEqual(boxes.slice(0, 3), ['disease', 'medication', 'symptom']);
  assert((await highlighted(page)).every(({ isOn }) => isOn));
  for (const box of boxes) {
    await page.uncheck(`#filters input[value=${box}]`);
    const marks = await highlighted(page);
    assert(marks.some(({ classes }) => classes.includes(box)), `nothing is ${box}`);
    for (const { classes, isOn } of marks) assert.strictEqual(isOn, !classes.includes(box), `${box}: ${classes}`);
    assert.strictEqual(await page.locator('mark.off[tabindex="0"]').count(), 0, 'what is hidden is not reached by keys');
    await page.check(`#filters input[value=${box}]`);
  }
  assert((await highlighted(page)).every(({ isOn }) => isOn));
}

async function tells(page) {
  const told = page.locator('#told');
  const pneumonia = page.locator('mark', { hasText: /^pneumonia$/ });
  for (const reach of [() => pneumonia.focus(), () => pneumonia.hover()]) {
    await reach();
    const words = await told.textContent();
    for (const part of ['disease', 'uncertain', 'possible', 'DOID:552']) assert(words.includes(part), `${part} in ${words}`);
    await page.locator('h1').hover();
    assert.strictEqual(await told.textContent(), '');
  }
  const label = await pneumonia.getAttribute('aria-label');
  assert(label.startsWith('pneumonia: disease, uncertain'), label);
  // Of two that lie in one another, the inner one is told.
  await page.locator('mark.disease mark.medication', { hasText: /^aspirin$/ }).hover();
  assert((await told.textContent()).startsWith('medication'));
}

async function main() {
  const isRoot = process.getuid() === 0;
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: isRoot ? ['--no-sandbox'] : [],
  });
  try {
    const page = await browser.newPage({ viewport: { width: 1200, height: 900 } });
    const [requests, errors] = [[], []];
    page.on('request', (request) => requests.push(request.url()));
    page.on('pageerror', (error) => errors.push(String(error)));
    page.on('dialog', (dialog) => errors.push(`a dialog: ${dialog.message()}`));
    page.on('console', (message) => errors.push(message.text()));
    await page.goto(`file://${path.resolve(pagePath)}`);
    await looks(page);
    await filters(page);
    if (isOfSamples) await tells(page);
    for (const mark of await page.locator('mark[tabindex]').all()) await mark.focus();
    assert.strictEqual(await page.evaluate(() => document.documentElement.dataset.ran), undefined, 'a script of a note ran');
    assert.deepStrictEqual([requests.length, errors], [1, []], 'the page asks for nothing but itself, and nothing goes wrong');
    // The policy holds by itself, too: a script that came into the page by other means does not run.
    await page.evaluate(() => {
      const script = document.createElement('script');
      script.textContent = "document.documentElement.dataset.ran = 'inserted'";
      document.body.append(script);
      document.body.insertAdjacentHTML('beforeend', '<img src="x:" onerror="document.documentElement.dataset.ran = \'image\'">');
    });
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
    assert.strictEqual(await page.evaluate(() => document.documentElement.dataset.ran), undefined, 'the policy does not hold');
    if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT, fullPage: true });
    console.log(`Chromium ${browser.version()}: ${expected.length} notes, ${entities.length} entities`);
  } finally {
    await browser.close();
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
