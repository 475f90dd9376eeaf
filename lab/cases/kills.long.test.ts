import { expect, it } from 'vitest';
import type { CommandResult } from '../agent-process.ts';
import { ipvsKernel, runInGuest } from '../boot.ts';

const reason = ipvsKernel.probe();
const changesOf = (plan: CommandResult): unknown[] =>
  (JSON.parse(plan.stdout) as { changes: unknown[] }).changes;

it.skipIf(reason !== null)(
  `ends in the right state after kills at any moment and after a soak of changes${reason === null ? '' : ` (skipped: ${reason})`}`,
  async () => {
    const guest = await runInGuest(new URL('./kills.ts', import.meta.url), [], { timeoutMs: 400_000 });
    const json = guest.files.get('result.json');
    if (json === undefined)
      throw new Error(`the cases did not finish (exit ${guest.exitCode}):\n${guest.stderr}`);
    const results = JSON.parse(json.toString()) as {
      once: CommandResult;
      planAfterKills: CommandResult;
      planAfterSoak: CommandResult;
      soaked: number;
      services: number;
      virtualServers: number;
    };
    expect(results.once.code).toBe(0);
    expect(changesOf(results.planAfterKills)).toEqual([]);
    expect(changesOf(results.planAfterSoak)).toEqual([]);
    // The foreign virtual server is there to the end.
    expect(results.virtualServers).toBe(results.services + 1);
  },
  420_000,
);
