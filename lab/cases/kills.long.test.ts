import { expect, it } from 'vitest';
import { ipvsKernel } from '../boot.ts';
import { expectGood, runKills } from './kills-results.ts';

const missing = ipvsKernel.probe();

it.skipIf(missing !== null)(
  `ends in the right state and keeps 504 connections through 200 kills and a soak of changes${missing === null ? '' : ` (skipped: ${missing})`}`,
  async () => {
    const results = await runKills(['long'], 2_700_000);
    expect(results.killed).toEqual({ starting: 100, changing: 100 });
    expect(results.connections).toBe(504);
    expect(results.checks).toHaveLength(102);
    for (const check of results.checks) expectGood(check);
    expect(results.checks.at(-1)).toMatchObject({ plan: [], lost: 0 });
    expect(results.upgrade).toMatchObject({ oldCode: 0, isUnchanged: true, lost: 0 });
    expect(results.upgrade.answered).toBe(results.upgrade.connections);
  },
  2_760_000,
);
