// Half an hour of 2,000 Services, 200 changes a second and a fault every ten seconds, in real time.

import { afterEach, expect, it } from 'vitest';
import { endHelpers } from '../helper-process.ts';
import { expectSoak } from './soak-run.ts';

afterEach(endHelpers);

it('misses nothing, keeps nothing and asks for no more than it may', { timeout: 3_600_000 }, async () => {
  const report = await expectSoak({
    seconds: 1800,
    services: 2000,
    'changes-per-second': 200,
    'fault-ms': 10_000,
    factor: 1,
    seed: 7,
  });
  expect(report.faults.length).toBeGreaterThan(100);
});
