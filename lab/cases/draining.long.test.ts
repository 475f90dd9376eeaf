import { expect, it } from 'vitest';
import { ipvsKernel, runInGuest } from '../boot.ts';
import type { RollingRestart } from './rolling-restart.ts';

const missing = ipvsKernel.probe();

it.skipIf(missing !== null)(
  `servers are deleted after an orderly end of their connections, too${missing === null ? '' : ` (skipped: ${missing})`}`,
  async () => {
    const guest = await runInGuest(new URL('./draining.ts', import.meta.url), ['orderly'], {
      timeoutMs: 400_000,
    });
    const found = guest.files.get('result.json');
    if (guest.exitCode !== 0 || found === undefined)
      throw new Error(`the guest ended with ${guest.exitCode}: ${guest.stderr.slice(-6000)}`);
    const results = JSON.parse(found.toString()) as {
      drainedAfterMs: number;
      ended: Readonly<Record<string, number>>;
      leftOfDeleted: readonly string[];
      rolling: RollingRestart;
    };
    // The kernel keeps a closed TCP connection for 120 s; looks are 5 s apart.
    expect(results.drainedAfterMs).toBeGreaterThan(90_000);
    expect(results.ended).toMatchObject({ returned: 20, gone: 0 });
    expect(results.rolling.failures).toEqual([]);
    expect(results.rolling.lastReachedAfterMs).toHaveLength(48);
    expect(results.leftOfDeleted).toEqual([]);
  },
  420_000,
);
