// Thousands of generated command lines, ours beside ipvsadm 1.31: see differential.test.ts. A new seed each time, which a failure names;
// POINTSMAN_SEED repeats one.

import { expect, it } from 'vitest';
import { ipvsKernel } from '../../lab/boot.ts';
import { formatDifference, formatDifferenceWithTraffic, runDifferential } from './differential.ts';

const MAX_SECONDS = 330;
const MIN_LINES = 3000;

const reason = ipvsKernel.probe();

it.skipIf(reason !== null)(
  `thousands of generated command lines do the same as with ipvsadm 1.31${reason === null ? '' : ` (skipped: ${reason})`}`,
  async () => {
    const seed = Number(process.env.POINTSMAN_SEED ?? Date.now() % 1_000_000_000);
    const report = await runDifferential({ seed, maxLines: 20_000, maxSeconds: MAX_SECONDS });
    const { lines, scripts, seconds, exitCodes } = report;
    process.stdout.write(
      `seed ${seed}: ${lines} lines in ${scripts} scripts, ${Math.round(seconds)} s, exit codes ${JSON.stringify(exitCodes)}\n`,
    );
    expect(report.differences.map(formatDifference).join('\n\n')).toBe('');
    expect(report.withTraffic.map(formatDifferenceWithTraffic).join('\n\n')).toBe('');
    expect(lines).toBeGreaterThan(MIN_LINES);
  },
  (MAX_SECONDS + 90) * 1000,
);
