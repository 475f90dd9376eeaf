// A minute of 2,000 Services, 200 changes a second and a fault every two seconds, each kind of fault once at least; the client's patience
// runs ten times faster than in earnest, or a minute would see no half-open watch given up. In earnest: soak.long.test.ts.

import { afterEach, expect, it } from 'vitest';
import { endHelpers } from '../helper-process.ts';
import { expectSoak } from './soak-run.ts';

afterEach(endHelpers);

it('misses nothing, keeps nothing and asks for no more than it may', { timeout: 600_000 }, async () => {
  const report = await expectSoak({
    seconds: 62,
    services: 2000,
    'changes-per-second': 200,
    'fault-ms': 2000,
    factor: 10,
    seed: 1,
  });
  expect(new Set(report.faults).size).toBeGreaterThan(20);
});
