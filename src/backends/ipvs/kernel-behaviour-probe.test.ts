// What needs no IPVS; the probes themselves are tested in the lab (lab/cases/kernel-behaviour.test.ts).

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { countPossibleCpus } from './kernel-behaviour-probe.ts';

describe('possible CPUs', () => {
  it.each([
    ['0\n', 1],
    ['0-3\n', 4],
    ['0-127\n', 128],
    ['0,2-3\n', 3],
    ['', 1],
    ['rubbish\n', 1],
    ['3-0\n', 1],
  ])('of %j are %d', (text, count) => {
    const folder = mkdtempSync(join(tmpdir(), 'possible-cpus-'));
    try {
      writeFileSync(join(folder, 'possible'), text);
      expect(countPossibleCpus(join(folder, 'possible'))).toBe(count);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('are one where the kernel does not say', () => {
    expect(countPossibleCpus('/nonexistent/possible')).toBe(1);
  });
});
