// Generated command lines do with ours what they do with ipvsadm 1.31: standard output, standard error, exit code, and the kernel's table.
// The fast part, with a fixed seed; differential.long.test.ts has the thousands. To go on from a failure: node test/ipvsadm/differential.ts SEED

import { beforeAll, describe, expect, it } from 'vitest';
import { ipvsKernel } from '../../lab/boot.ts';
import { formatDifference, formatDifferenceWithTraffic, runDifferential } from './differential.ts';
import type { DifferentialReport } from './twins-guest.ts';

const SEED = 20_261_121;
const LINES = 400;

const reason = ipvsKernel.probe();

describe.skipIf(reason !== null)(
  `generated command lines${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    let report: DifferentialReport | null = null;

    beforeAll(async () => {
      report = await runDifferential({ seed: SEED, maxLines: LINES, maxSeconds: 150 });
    });

    it('do the same as with ipvsadm 1.31', () => {
      expect(report?.differences.map(formatDifference).join('\n\n')).toBe('');
    });

    it('list a table with connections as ipvsadm 1.31 does', () => {
      expect(report?.withTraffic.map(formatDifferenceWithTraffic).join('\n\n')).toBe('');
    });

    it('are enough, and neither all good nor all refused', () => {
      const { lines = 0, exitCodes = {} } = report ?? {};
      expect(lines).toBeGreaterThanOrEqual(LINES);
      for (const code of ['0', '2', '255']) expect((exitCodes[code] ?? 0) / lines).toBeGreaterThan(0.1);
    });
  },
);
