// Runs soak.ts as a process of its own and judges its report: for soak.test.ts and soak.long.test.ts.

import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { HelperProcess } from '../helper-process.ts';
import type { SoakReport } from './soak.ts';

/** More than this, and the heap is not flat. */
const MAX_GROWTH = 1.1;

/** `args` are those of soak.ts. Fails unless nothing is missed, the heap is flat, and requests keep to their rate. */
export async function expectSoak(args: Readonly<Record<string, number>>): Promise<SoakReport> {
  const program = fileURLToPath(new URL('soak.ts', import.meta.url));
  const words = Object.entries(args).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const run = new HelperProcess(process.execPath, ['--expose-gc', program, ...words]);
  const code = await run.ended;
  expect(code, run.stderr).toBe(0);
  const report = JSON.parse(run.stdout) as SoakReport;
  const shown = JSON.stringify(report);
  expect(report.missed, shown).toEqual([]);
  expect(report.unhandled, shown).toEqual([]);
  expect(report.growth, shown).toBeLessThan(MAX_GROWTH);
  // A timer may fire a little early.
  expect(report.overdraft, shown).toBeLessThan(0.5);
  expect(report.received, shown).toBeLessThanOrEqual(report.requests);
  // Otherwise nothing was tried.
  expect(report.changes, shown).toBeGreaterThan(1000);
  expect(report.facts, shown).toBeGreaterThan(1000);
  return report;
}
