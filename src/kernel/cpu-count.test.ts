// Lists of CPUs as files, and this machine's own.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { countListed, onlineCpuCount } from './cpu-count.ts';

const folder = mkdtempSync(join(tmpdir(), 'pointsman-cpus-'));
afterAll(() => rmSync(folder, { recursive: true }));

describe('CPUs', () => {
  it.each([
    ['0\n', 1],
    ['0-3\n', 4],
    ['0-127\n', 128],
    ['0,2-3\n', 3],
    ['0-1,4-5,7\n', 5],
    ['', null],
    ['rubbish\n', null],
    ['3-0\n', null],
  ])('of %j are %s', (text, count) => {
    const file = join(folder, 'list');
    writeFileSync(file, text);
    expect(countListed(file)).toBe(count);
    expect(onlineCpuCount(file)).toBe(count ?? availableParallelism());
  });

  it('are those of this process where the kernel does not say', () => {
    expect(countListed('/nonexistent/online')).toBeNull();
    expect(onlineCpuCount('/nonexistent/online')).toBe(availableParallelism());
  });

  it('are at most those that this machine could have', () => {
    const possible = countListed('/sys/devices/system/cpu/possible') ?? Number.POSITIVE_INFINITY;
    expect(onlineCpuCount()).toBeGreaterThanOrEqual(1);
    expect(onlineCpuCount()).toBeLessThanOrEqual(possible);
  });
});
