import { beforeAll, describe, expect, it } from 'vitest';
import { ipvsKernel } from '../boot.ts';
import { expectGood, runKills, type KillsResults } from './kills-results.ts';

const missing = ipvsKernel.probe();

describe.skipIf(missing !== null)(
  `an agent that is killed and replaced, with clients connected${missing === null ? '' : ` (skipped: ${missing})`}`,
  () => {
    let results: KillsResults;
    beforeAll(async () => {
      results = await runKills([]);
    });

    it('makes the kernel what the facts say after each kill', () => {
      expect(results.killed).toEqual({ starting: 6, changing: 6 });
      expect(results.checks).toHaveLength(7);
      for (const check of results.checks) expectGood(check);
    });

    it('goes on with the drains that it finds', () => {
      expect(results.checks.filter(({ drains }) => drains > 0).length).toBeGreaterThan(0);
    });

    it('loses no connection, and a fresh plan is empty', () => {
      expect(results.connections).toBe(60);
      expect(results.checks.at(-1)).toMatchObject({ kill: 12, plan: [], lost: 0 });
    });

    it('hands over to a new one while clients come and go, and changes nothing', () => {
      const { upgrade } = results;
      expect(upgrade).toMatchObject({ oldCode: 0, isUnchanged: true, lost: 0 });
      expect(upgrade.connections).toBeGreaterThanOrEqual(100);
      expect(upgrade.answered).toBe(upgrade.connections);
    });
  },
);
