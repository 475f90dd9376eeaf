import { expect, it } from 'vitest';
import { ipvsKernel } from '../boot.ts';
import { expectGood, runKills } from './kills-results.ts';

const missing = ipvsKernel.probe();

it.skipIf(missing !== null)(
  `ends in the right state and keeps 504 connections through 200 kills and a soak of changes${missing === null ? '' : ` (skipped: ${missing})`}`,
  async () => {
    const results = await runKills(['long'], 2_700_000);
    expect(results.killed).toEqual({ starting: 66, changing: 134 });
    expect(results.connections).toBe(504);
    expect(results.checks).toHaveLength(135);
    for (const check of results.checks) expectGood(check);
    expectGood(results.soak);
    expect(results.upgrade.answered).toBe(results.upgrade.connections);
  },
  2_760_000,
);
