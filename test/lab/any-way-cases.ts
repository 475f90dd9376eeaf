// The properties of test/any-way.ts on a real kernel, at smaller size: any sequence of changes, with failures on the way, ends in the
// state that a fake kernel has from scratch, and then nothing is left to do; and whatever the ordinary tools do to it is put right.

import { beforeAll, describe, expect, it } from 'vitest';
import { ipvsKernel, runInGuest } from '../../lab/boot.ts';
import type { ClusterEvent } from '../../src/model/objects.ts';
import type { NodeOptions } from '../../src/plan/plan.ts';
import { FakeIpvsKernel } from '../fake-ipvs-kernel.ts';
import { parseKernelState, readKernelState, type ToolOutput } from '../golden/kernel-state.ts';
import { startAgent } from '../in-memory-agent.ts';
import type { Results } from './any-way-run.ts';
import { eventsOf, histories, lastNodeOf } from './histories.ts';
import { INTERFERENCES } from './interference-cases.ts';
import { settle } from './live-history.ts';

/** A fresh fake kernel after one agent's work. */
async function fresh(events: readonly ClusterEvent[], node: NodeOptions): Promise<FakeIpvsKernel> {
  const kernel = new FakeIpvsKernel();
  await settle(startAgent(kernel, node, events));
  return kernel;
}

/** The marks of our virtual servers, which a kernel state does not show, as lines of `ipset save`. */
function marksOf({ ipset }: ToolOutput): string[] {
  return (ipset.match(/^add POINTSMAN-\S+ .+$/gm) ?? []).sort();
}

function marksIn(kernel: FakeIpvsKernel): string[] {
  const marks = [...kernel.sets].filter(([name]) => name.startsWith('POINTSMAN-'));
  return marks.flatMap(([name, members]) => [...members.keys()].map((id) => `add ${name} ${id}`)).sort();
}

function printed(output: ToolOutput | null | undefined, error: string | null | undefined): ToolOutput {
  if (output === null || output === undefined) throw new Error(`it did not come to its end: ${error}`);
  return output;
}

/** The cases, with this many histories: two to six seconds each in the guest, nearly all of it the starts of iptables' tools. */
export function describeAnyWay(count: number): void {
  const reason = ipvsKernel.probe();
  const all = histories(count);
  describe.skipIf(reason !== null)(
    `the backend on a real kernel${reason === null ? '' : ` (skipped: ${reason})`}`,
    () => {
      let results: Results;

      beforeAll(async () => {
        const args = [String(all.length)];
        const guest = await runInGuest(new URL('./any-way-guest.ts', import.meta.url), args, {
          memoryMb: 768,
        });
        const json = guest.files.get('result.json');
        if (json === undefined)
          throw new Error(
            `the cases did not finish (exit ${guest.exitCode}):\n${guest.stdout}\n${guest.stderr}`,
          );
        results = JSON.parse(json.toString()) as Results;
      });

      describe.each(all.map((history, index) => [index, history] as const))(
        'after history %i with failures',
        (index, history) => {
          it('holds what a fresh fake kernel holds', async () => {
            const run = results.histories[index];
            const output = printed(run?.end, run?.error);
            const fake = await fresh(eventsOf(history), lastNodeOf(history));
            expect(parseKernelState(output)).toEqual(await readKernelState(fake));
            expect(marksOf(output)).toEqual(marksIn(fake));
          });

          it('leaves nothing to the checks every few seconds but switches that could not be written', () => {
            const writes = results.histories[index]?.writesOfChecks ?? ['none'];
            expect(writes.filter((write) => !write.startsWith('SYSCTL'))).toEqual([]);
          });

          it('has nothing left to do: in a second pass, at another start, in a whole comparison', () => {
            expect(results.histories[index]).toMatchObject({
              ...{ error: null, writesOfSecondPass: [], writesOfRestart: [], writesOfCycle: [], repairs: [] },
            });
          });

          it('is empty when all Services are gone, but for sets, chains and the link', async () => {
            const run = results.histories[index];
            const output = printed(run?.cleaned, run?.error);
            const state = parseKernelState(output);
            expect(state).toEqual(await readKernelState(await fresh([], lastNodeOf(history))));
            expect({ ...state, sets: output.ipset.match(/^add .*$/gm) }).toMatchObject({
              ...{ virtualServers: [], addresses: [], sets: null },
            });
          });
        },
      );

      it('met failures in most histories', () => {
        const struck = results.histories.filter(({ strikes }) => strikes > 0);
        expect(struck.length).toBeGreaterThan(all.length / 2);
      });

      it.each(INTERFERENCES.map((each, index) => [each.name, index, each] as const))(
        'puts right: %s',
        (_, index, { repairs }) => {
          const { before, runs, error } = results.interference;
          const run = runs[index];
          const wanted = parseKernelState(printed(before, error));
          const repaired = printed(run?.repaired, run?.error);
          expect(parseKernelState(repaired)).toEqual(wanted);
          expect(marksOf(repaired)).toEqual(marksOf(printed(before, error)));
          if (repairs !== null) expect([...(run?.repairs ?? [])].sort()).toEqual([...repairs].sort());
          // Something was found: it was really changed.
          expect(run?.repairs).not.toEqual([]);
        },
      );

      it('has nothing left to do after all of them', () => {
        expect(results.interference).toMatchObject({ error: null, writesAtEnd: [] });
      });

      it('leaves what others put there from the beginning to the end', () => {
        const { before, cleaned, error } = results.interference;
        for (const output of [printed(before, error), printed(cleaned, error)]) {
          const { virtualServers, sets, addresses, rules } = parseKernelState(output);
          expect(virtualServers).toEqual(
            expect.arrayContaining([
              '-A -f 7 -s rr',
              '-A -t 192.0.2.77:80 -s wlc',
              '-a -t 192.0.2.77:80 -r 192.0.2.9:80 -m -w 3',
            ]),
          );
          expect(sets).toMatchObject({ OTHERS: ['192.0.2.5'] });
          expect(addresses).toEqual(expect.arrayContaining(['192.0.2.99', '2001:db8:99::1']));
          for (const family of ['IPv4', 'IPv6'] as const) {
            const { nat, filter } = rules[family];
            expect(nat).toMatchObject({ OTHERS: ['-p udp -j RETURN'] });
            expect(nat['PREROUTING']?.at(-1)).toBe('-p tcp -j OTHERS');
            expect(nat['POSTROUTING']?.at(-1)).toBe('-p sctp -j ACCEPT');
            expect(filter['INPUT']?.at(-1)).toBe('-p udp -m udp --dport 9 -j DROP');
          }
          expect(rules.IPv4.filter['FORWARD']?.at(-1)).toBe('-m set --match-set OTHERS src -j DROP');
        }
      });

      it('leaves nothing of its own in the end, but for sets, chains and the link', () => {
        const { cleaned, error } = results.interference;
        const { virtualServers, addresses } = parseKernelState(printed(cleaned, error));
        expect(virtualServers).toHaveLength(3);
        expect(addresses).toHaveLength(2);
        expect(cleaned?.ipset.match(/^add .*$/gm)).toEqual(['add OTHERS 192.0.2.5']);
      });
    },
  );
}
