// The reporter, as a run of vitest shows it: a real run over made-up test files, whose last line is looked at.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatTally } from './reporter.ts';

const ROOT = join(import.meta.dirname, '..');
const TIMEOUT_MS = 30_000;

describe('the summary', () => {
  it.each([
    [{ passed: 3, failed: 0, skipped: [] }, '3 passed, 0 failed\n'],
    [{ passed: 0, failed: 1, skipped: [] }, '0 passed, 1 failed\n'],
    [{ passed: 3, failed: 0, skipped: ['a > b'] }, 'skipped: a > b\n3 passed, 0 failed, 1 skipped\n'],
  ])('of %j ends with the line for programs', (tally, text) => {
    expect(formatTally(tally)).toBe(text);
  });
});

describe('a run', () => {
  let folder = '';
  beforeAll(() => {
    // Inside of the checkout, because vitest is found from there.
    mkdirSync(join(ROOT, 'node_modules/.cache'), { recursive: true });
    folder = mkdtempSync(join(ROOT, 'node_modules/.cache/reporter-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const HEAD = "import { describe, expect, it } from 'vitest';\n";
  it.each([
    ['all passed', "it('a', () => {}); it('b', () => {});", '2 passed, 0 failed', 0],
    ['one failed', "it('a', () => {}); it('b', () => expect(1).toBe(2));", '1 passed, 1 failed', 1],
    ['one was skipped', "it('a', () => {}); it.skip('b', () => {});", '1 passed, 0 failed, 1 skipped', 0],
    ['a file does not load', "throw new Error('no');", '0 passed, 1 failed', 1],
    [
      'an error comes out of nowhere',
      "it('a', () => { void Promise.reject(new Error('no')); });",
      '1 passed, 1 failed',
      1,
    ],
    ['there is no test at all', undefined, '0 passed, 1 failed', 1],
  ])('in which %s ends with that', (_case, body, lastLine, code) => {
    rmSync(join(folder, 'made.check.ts'), { force: true });
    if (body !== undefined) writeFileSync(join(folder, 'made.check.ts'), HEAD + body);
    const config = {
      test: {
        root: folder,
        include: ['*.check.ts'],
        exclude: [],
        reporters: ['default', join(ROOT, 'test/reporter.ts')],
      },
    };
    writeFileSync(join(folder, 'vitest.config.mjs'), `export default ${JSON.stringify(config)};\n`);
    const { stdout, status } = spawnSync(
      process.execPath,
      [join(ROOT, 'node_modules/vitest/vitest.mjs'), 'run'],
      {
        cwd: folder,
        encoding: 'utf8',
        timeout: TIMEOUT_MS,
        env: { PATH: process.env['PATH'] },
      },
    );
    expect(stdout.trimEnd().split('\n').at(-1)).toBe(lastLine);
    expect(status).toBe(code);
  });
});
