// What is demanded of each take-over that take-over-guest.ts lives through; for the fast and the long tier.

import { readFileSync } from 'node:fs';
import { beforeAll, expect, it } from 'vitest';
import type { CommandResult } from '../../lab/agent-process.ts';
import { runInGuest } from '../../lab/boot.ts';
import { parseKernelState, type ToolOutput } from '../golden/kernel-state.ts';
import type { ModelSync } from './kube-proxy-model.ts';
import { recordedFile, type RecordedCase } from './recorded-proxy.ts';

/** As take-over-guest.ts writes it; null where nothing is given back. */
interface TakeOverRun {
  readonly error?: string;
  /** By client and frontend: "all of 4", or what else became of held connections. */
  readonly opened: Readonly<Record<string, string>>;
  readonly echoed: Readonly<Record<string, string>>;
  readonly echoedBack: Readonly<Record<string, string>> | null;
  readonly preview: CommandResult;
  readonly isUntouched: boolean;
  readonly rate: { readonly count: number; readonly failures: readonly string[] };
  readonly plan: CommandResult;
  readonly problems: readonly unknown[];
  readonly takeOver: { readonly state: string; readonly what: readonly string[] } | null;
  readonly taken: ToolOutput;
  readonly back: ModelSync | null;
  readonly given: ToolOutput;
  readonly again: CommandResult | null;
  readonly cleanup: CommandResult;
  readonly empty: ToolOutput;
  readonly cleaned: ToolOutput;
  readonly log: string;
}

/** Runs the cases, "MODE CASE" each, in one guest, and judges them. */
export function describeTakeOvers(names: readonly string[]): void {
  let runs: Record<string, TakeOverRun>;

  beforeAll(async () => {
    const guest = await runInGuest(new URL('./take-over-guest.ts', import.meta.url), names, {
      memoryMb: 1024,
    });
    const json = guest.files.get('result.json');
    if (json === undefined)
      throw new Error(`the cases did not finish (exit ${guest.exitCode}):\n${guest.stdout}\n${guest.stderr}`);
    runs = JSON.parse(json.toString()) as Record<string, TakeOverRun>;
  });

  const runOf = (name: string): TakeOverRun => {
    const run = runs[name];
    if (run === undefined || run.error !== undefined)
      throw new Error(`${name} did not come to its end: ${run?.error}`);
    return run;
  };
  const ipvs = names.filter((name) => name.startsWith('ipvs '));
  const iptables = names.filter((name) => name.startsWith('iptables '));

  it.each(names)('%s: held connections go on, and no new one fails', (name) => {
    const { opened, echoed, rate, log } = runOf(name);
    expect(new Set(Object.values(opened))).toEqual(new Set(['all of 4']));
    expect(echoed).toEqual(opened);
    expect(rate.failures, log).toEqual([]);
    expect(rate.count).toBeGreaterThan(Object.keys(opened).length);
  });

  it.each(names)('%s: is afterwards what is planned, and what kube-proxy in mode ipvs has', (name) => {
    const { plan, problems, taken } = runOf(name);
    expect(plan).toMatchObject({ code: 0, stderr: '' });
    expect(problems).toEqual([]);
    // Chains of others, kubelet's here, and where they jump from.
    expect(withoutKubelet(taken)).toEqual(parseKernelState(recordedOf(name)));
  });

  it.each(names)('%s: a plan beforehand says what will change, and changes nothing', (name) => {
    const { preview, isUntouched } = runOf(name);
    expect([preview.code, isUntouched]).toEqual([4, true]);
  });

  it.each(ipvs)('%s: the plan has nothing but marks, timeouts and switches', (name) => {
    const sections = runOf(name).preview.stdout.split('\n\n').slice(0, -1);
    for (const section of sections)
      expect(section).toMatch(
        /^kernel switches:|^IPVS timeouts:|^sets:(\n {2}\+ POINTSMAN-\S+)+$|^set members:(\n {2}\+ POINTSMAN-.*)+$/,
      );
    expect(sections).not.toEqual([]);
  });

  it.each(iptables)('%s: the rules go once ours are verified, and status and log say so', (name) => {
    const { takeOver, log } = runOf(name);
    expect(takeOver).toEqual({
      state: 'done',
      what: [
        expect.stringMatching(/^iptables-legacy: \d+ jumps, \d+ chains$/),
        expect.stringMatching(/^ip6tables-legacy: \d+ jumps, \d+ chains$/),
      ],
      reason: '',
    });
    expect(log).toContain('go on translating until ours are verified');
    expect(log).toContain('Removed the rules of the kube-proxy before us');
  });

  it.each(ipvs)('%s: a first sync of kube-proxy finds everything as it wants it; our marks stay', (name) => {
    const { back, given, echoedBack, opened, again } = runOf(name);
    expect(back).toEqual({ changes: [], refused: [] });
    expect(parseKernelState(given)).toEqual(parseKernelState(recordedOf(name)));
    expect(given.ipset).toMatch(/^create POINTSMAN-VS /m);
    expect(echoedBack).toEqual(opened);
    expect(again).toMatchObject({ code: 0 });
  });

  it.each(names)('%s: a clean-up leaves the kernel as it was', (name) => {
    const { cleanup, cleaned, empty } = runOf(name);
    expect([cleanup.code, cleanup.stderr]).toEqual([0, '']);
    expect(withoutKubelet(cleaned)).toEqual(parseKernelState(empty));
  });
}

function recordedOf(name: string): ToolOutput {
  const part = (file: string): string =>
    readFileSync(recordedFile(name.split(' ')[1] as RecordedCase, file), 'utf8');
  return {
    ipvsadm: part('ipvsadm-Sn.txt'),
    ipset: part('ipset-save.txt'),
    link: part('kube-ipvs0.json'),
    iptables: part('iptables-save.txt'),
    ip6tables: part('ip6tables-save.txt'),
  };
}

/** kubelet's chain was recorded beside mode iptables, and is none of kube-proxy's. */
function withoutKubelet(output: ToolOutput): ReturnType<typeof parseKernelState> {
  const plain = (text: string): string =>
    text.replaceAll(/^(?::KUBE-FIREWALL |-A KUBE-FIREWALL |-A \S+ -j KUBE-FIREWALL$).*\n/gm, '');
  return parseKernelState({
    ...output,
    iptables: plain(output.iptables),
    ip6tables: plain(output.ip6tables),
  });
}
