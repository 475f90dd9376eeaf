// What the probes find out on Linux 6.1 as it is, and when it is made to behave like other kernels; and that they leave nothing behind.

import { beforeAll, describe, expect, it } from 'vitest';
import type { KernelBehaviour } from '../../src/backends/ipvs/kernel-behaviour.ts';
import type { SchedulerAvailability } from '../../src/backends/ipvs/schedulers-probe.ts';
import { ipvsKernel, runInGuest } from '../../lab/boot.ts';

interface Namespace {
  readonly namespace: string;
  readonly virtualServers: number;
  readonly switches: readonly string[];
  readonly descriptors: number;
}

interface Seen {
  readonly behaviours: Readonly<Record<string, KernelBehaviour>>;
  readonly schedulers: Readonly<Record<string, SchedulerAvailability>>;
  readonly withoutModprobe: {
    readonly before: string;
    readonly fo: SchedulerAvailability;
    readonly after: string;
  };
  readonly modules: { readonly before: Record<string, string>; readonly after: Record<string, string> };
  readonly scratch: { readonly namespace: string; readonly links: number; readonly reuse: string };
  readonly before: Namespace;
  readonly after: Namespace;
  readonly afterAll: Namespace;
}

const reason = ipvsKernel.probe();

describe.skipIf(reason !== null)(
  `the behaviour of this kernel${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    let seen: Seen;

    beforeAll(async () => {
      const guest = await runInGuest(new URL('./kernel-behaviour-guest.ts', import.meta.url), [], {
        memoryMb: 512,
      });
      const json = guest.files.get('result.json');
      if (json === undefined)
        throw new Error(
          `the cases did not finish (exit ${guest.exitCode}):\n${guest.stdout}\n${guest.stderr}`,
        );
      seen = JSON.parse(json.toString()) as Seen;
    });

    it.each([
      ['asItIs', 'served', 'ends'],
      ['again', 'served', 'ends'],
      ['withOldEntries', 'dropped', 'ends'],
      ['withoutReuse', 'sticks', 'ends'],
      ['withoutExpiry', 'served', 'silent'],
      ['withRefusals', 'unknown', 'unknown'],
      ['withoutAnswers', 'unknown', 'unknown'],
      ['untracked', 'unknown', 'ends'],
      ['failing', 'unknown', 'unknown'],
    ])('is found out %s: reused ports %s, removed servers %s', (name, connectionReuse, removedServer) => {
      const found = seen.behaviours[name];
      expect([found?.connectionReuse, found?.removedServer]).toEqual([
        { result: connectionReuse, reason: expect.stringMatching(/./) },
        { result: removedServer, reason: expect.stringMatching(/./) },
      ]);
      // Every wait is bounded; this is far above their sum, for machines that are busy with other things.
      expect(found?.tookMs).toBeLessThan(5000);
    });

    it('is to keep rates in a timer that can be switched off', () => {
      expect(seen.behaviours['asItIs']?.estimation).toMatchObject({
        result: 'timer',
        canSwitchOff: true,
        possibleCpus: 1,
      });
    });

    it('is found out in a namespace of its own, with switches of its own', () => {
      expect(seen.scratch).toEqual({ namespace: expect.stringMatching(/^net:/), links: 1, reuse: '2' });
      expect(seen.scratch.namespace).not.toBe(seen.before.namespace);
    });

    it('leaves namespace, table, addresses, rules, switches and descriptors as they were', () => {
      expect(seen.after).toEqual(seen.before);
      // The first process that Node starts by itself (modprobe) costs it descriptors of its own.
      expect({ ...seen.afterAll, descriptors: 0 }).toEqual({ ...seen.before, descriptors: 0 });
      expect(seen.before.switches).toEqual(['0', '3', '0']);
    });

    it.each(['rr', 'wrr', 'mh'])('allows scheduler %s, whose module is loaded by asking', (name) => {
      expect(seen.schedulers[name]).toEqual({ isAvailable: true });
    });

    it('loads the module of a scheduler when it is asked for it', () => {
      expect(seen.modules).toEqual({ before: { ovf: 'absent' }, after: { ovf: 'loaded' } });
    });

    it('loads the module itself where the kernel cannot', () => {
      expect(seen.withoutModprobe).toEqual({ before: 'absent', fo: { isAvailable: true }, after: 'loaded' });
    });

    it.each([
      ['nonesuch', /ip_vs_nonesuch is not there/, /load the module ip_vs_nonesuch/],
      ['tooLong', /EINVAL/, /choose another scheduler/],
    ])('has no scheduler %s, and it is said what to do', (name, why, remedy) => {
      expect(seen.schedulers[name]).toEqual({
        isAvailable: false,
        reason: expect.stringMatching(why),
        remedy: expect.stringMatching(remedy),
      });
    });
  },
);
