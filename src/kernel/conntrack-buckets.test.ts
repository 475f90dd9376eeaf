// The parameter as a file; of this machine's own it is only tried that a network namespace cannot set it, with the value that it has.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it, test } from 'vitest';
import { readConntrackBuckets, writeConntrackBuckets } from './conntrack-buckets.ts';

const folder = mkdtempSync(join(tmpdir(), 'pointsman-buckets-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = join(folder, 'hashsize');

describe('buckets', () => {
  it.each([
    ['65536\n', 65_536],
    ['0\n', 0],
    ['\n', null],
    ['many\n', null],
  ])('%j are %s', (text, count) => {
    writeFileSync(file, text);
    expect(readConntrackBuckets(file)).toBe(count);
  });

  it('are not known without the module', () => {
    expect(readConntrackBuckets(join(folder, 'none'))).toBeNull();
  });

  it('are written as digits', () => {
    writeFileSync(file, '');
    writeConntrackBuckets(32_768, file);
    expect(readFileSync(file, 'utf8')).toBe('32768');
  });

  it('say why not, and make no file', () => {
    const missing = join(folder, 'none');
    expect(() => writeConntrackBuckets(1, missing)).toThrow(/^write .*none = 1: ENOENT \(errno 2\)$/);
    expect(readConntrackBuckets(missing)).toBeNull();
    expect(() => writeConntrackBuckets(0.5, file)).toThrow(/^no number of buckets: 0.5$/);
  });
});

const present = readConntrackBuckets();

test.runIf(process.getuid?.() === 0 && present !== null && present > 0)(
  'a network namespace may not set them',
  () => {
    const source = `
      const { writeConntrackBuckets } = await import(${JSON.stringify(import.meta.resolve('./conntrack-buckets.ts'))});
      try { writeConntrackBuckets(${present}); console.log('written'); } catch (error) { console.log(error.message); }`;
    const args = ['-n', process.execPath, '--input-type=module', '-e', source];
    const { stdout } = spawnSync('unshare', args, { encoding: 'utf8', timeout: 100_000 });
    expect(stdout).toMatch(
      /^write \/sys\/module\/nf_conntrack\/parameters\/hashsize = \d+: E[A-Z]+ \(errno \d+\)\n$/,
    );
    expect(readConntrackBuckets()).toBe(present);
  },
);
