// .ci/run: its last line and its exit code, whatever npm does. Real bash; npm is a script that prints what a case says.

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const CI = join(import.meta.dirname, '../.ci/run');
const TIMEOUT_MS = 100_000;

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pointsman-ci-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('.ci/run', () => {
  it.each([
    ['all passed', 'echo "12 passed, 0 failed"', '12 passed, 0 failed', 0],
    ['some were skipped', 'echo "12 passed, 0 failed, 3 skipped"', '12 passed, 0 failed, 3 skipped', 0],
    ['some failed', 'echo "11 passed, 1 failed"; exit 1', '11 passed, 1 failed', 1],
    [
      'npm has the last word',
      'echo "1 passed, 1 failed"; echo "npm error" >&2; exit 1',
      '1 passed, 1 failed',
      1,
    ],
    ['a check failed before any test', 'echo "types FAILED"; exit 1', '0 passed, 1 failed', 1],
    ['the set-up failed with a code of its own', 'exit 3', '0 passed, 1 failed', 3],
    ['no test ran and npm says all is well', 'true', '0 passed, 1 failed', 1],
    [
      'a test prints a line that only looks alike',
      'echo "5 passed, 0 failed, or so"',
      '0 passed, 1 failed',
      1,
    ],
  ])('tells the truth when %s', (_case, script, lastLine, code) => {
    writeFileSync(
      join(folder, 'npm'),
      `#!/bin/sh\n[ "$*" = test ] || exit 99\n[ -f package.json ] || exit 98\n${script}\n`,
    );
    chmodSync(join(folder, 'npm'), 0o755);
    const result = spawnSync(CI, [], {
      cwd: '/',
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
      env: { ...process.env, PATH: `${folder}${delimiter}${process.env['PATH'] ?? ''}` },
    });
    expect(result.stdout.trimEnd().split('\n').at(-1)).toBe(lastLine);
    expect(result.status).toBe(code);
  });
});
