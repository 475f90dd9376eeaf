// Golden cases of the kernel state in mode ipvs on a real kernel: what the ordinary tools print after each stage is what the case's files
// expect, and what the fake kernel holds, so that the unit tests' kernel is held by a real one.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { ipvsKernel, runInGuest } from '../../lab/boot.ts';
import { CASE_NAMES, readCase, type GoldenCase } from '../golden/cases.ts';
import { kernelAfter } from '../golden/kernel-state-agent.ts';
import { narrowState, parseExpectedState } from '../golden/kernel-state-file.ts';
import {
  parseKernelState,
  parseSetHeaders,
  readKernelState,
  withoutAddress,
  type KernelState,
  type ToolOutput,
} from '../golden/kernel-state.ts';
import type { GoldenRun } from './golden-state-run.ts';

/** default/kubernetes, which kube-proxy was recorded with and which is not among the objects. */
const API_SERVER = '10.96.0.1';
const RECORDING = {
  ipvsadm: 'ipvsadm-Sn.txt',
  ipset: 'ipset-save.txt',
  link: 'kube-ipvs0.json',
  iptables: 'iptables-save.txt',
  ip6tables: 'ip6tables-save.txt',
} as const;

const recordingOf = (name: string): string => join(import.meta.dirname, '../golden', name, 'ipvs');
/** True for a case that kube-proxy was recorded in. */
export const isRecorded = (name: string): boolean => existsSync(recordingOf(name));
/** The cases that expect a kernel state. */
export const GOLDEN_STATES = CASE_NAMES.map(readCase).filter(
  ({ name, stages }) => isRecorded(name) || stages.some(({ stateFile }) => existsSync(stateFile)),
);

const reason = ipvsKernel.probe();

/** Runs these cases in one guest, and judges them. */
export function describeGoldenStates(cases: readonly GoldenCase[]): void {
  const stages = cases.flatMap((golden) =>
    golden.stages.map((stage, index) => [golden.name, stage.name, index, golden, stage.stateFile] as const),
  );
  const title = `golden cases on a real kernel${reason === null ? '' : ` (skipped: ${reason})`}`;
  describe.skipIf(reason !== null)(title, () => {
    let runs: Record<string, GoldenRun>;

    beforeAll(async () => {
      const names = cases.map(({ name }) => name);
      const guest = await runInGuest(new URL('./golden-state-guest.ts', import.meta.url), names, {
        memoryMb: 768,
      });
      const json = guest.files.get('result.json');
      if (json === undefined)
        throw new Error(
          `the cases did not finish (exit ${guest.exitCode}):\n${guest.stdout}\n${guest.stderr}`,
        );
      runs = JSON.parse(json.toString()) as Record<string, GoldenRun>;
    });

    const printed = (name: string, index: number): ToolOutput => {
      const output = runs[name]?.stages?.[index];
      if (output === undefined)
        throw new Error(`stage ${index} did not come to its end: ${runs[name]?.error}`);
      return output;
    };
    const found = (name: string, index: number): KernelState => parseKernelState(printed(name, index));

    it.each(stages)('%s, %s: is what the fake kernel holds', async (name, _, index, golden) => {
      const fake = await kernelAfter(golden, index + 1);
      expect(found(name, index)).toEqual(await readKernelState(fake));
      const marks = [...(fake.sets.get('POINTSMAN-VS')?.keys() ?? [])];
      expect(marksOf(printed(name, index))).toEqual(marks.sort());
    });

    it.each(stages.filter(([, , , , file]) => existsSync(file)))(
      '%s, %s: is what state.txt says',
      (name, _, index, __, file) => {
        const expected = parseExpectedState(readFileSync(file, 'utf8'));
        expect(narrowState(found(name, index), expected)).toEqual(expected);
      },
    );

    it.each(cases.map(({ name }) => name).filter(isRecorded))('%s: is what was recorded', (name) => {
      const entries = Object.entries(RECORDING).map(([part, file]) => [
        part,
        readFileSync(join(recordingOf(name), file), 'utf8'),
      ]);
      const recorded = Object.fromEntries(entries) as unknown as ToolOutput;
      expect(found(name, 0)).toEqual(withoutAddress(parseKernelState(recorded), API_SERVER));
      expect(parseSetHeaders(printed(name, 0).ipset)).toEqual(parseSetHeaders(recorded.ipset));
    });

    it.each(cases.map(({ name }) => name))('%s: leaves nothing to write to a second start', (name) => {
      expect(runs[name]).toMatchObject({ writesOfSecondStart: [] });
    });
  });
}

/** The marks of our IPv4 virtual servers, which a kernel state does not show. */
function marksOf({ ipset }: ToolOutput): string[] {
  return [...ipset.matchAll(/^add POINTSMAN-VS (.+)$/gm)].map(([, member = '']) => member).sort();
}
