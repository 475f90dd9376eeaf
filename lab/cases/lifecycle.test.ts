import { beforeAll, describe, expect, it } from 'vitest';
import type { CommandResult } from '../agent-process.ts';
import { ipvsKernel, runInGuest } from '../boot.ts';

interface Stopped {
  readonly code: number | string;
  readonly tookMs: number;
  readonly error: string;
}

interface Results {
  readonly loser: Stopped & { readonly log: string };
  readonly winner: number;
  readonly full: { readonly log: string; readonly socket: boolean };
  readonly oldStopped: Stopped;
  readonly isUnchangedByUpgrade: boolean;
  readonly clock: readonly number[];
  readonly limits: readonly number[];
  readonly isAliveWithoutDescriptors: boolean;
  readonly descriptorLog: readonly string[];
  readonly hasStaleSocket: boolean;
  readonly proxy: number;
  readonly besideProxy: CommandResult;
  readonly forced: Stopped & { readonly log: string };
  readonly deaf: Stopped;
  readonly late: Stopped;
  readonly leftOver: number;
  readonly twice: Stopped;
  readonly isUnchangedByLateStop: boolean;
  readonly onceStopped: Stopped;
  readonly onceAfterwards: CommandResult;
  readonly planAtEnd: number;
  readonly insideStatus: number;
  readonly insideStopped: Stopped;
  readonly insideLog: string;
}

const reason = ipvsKernel.probe();
const GOOD = { code: 0, error: '' };

describe.skipIf(reason !== null)(
  `the agent's life in the lab${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    let results: Results;

    beforeAll(async () => {
      const guest = await runInGuest(new URL('./lifecycle.ts', import.meta.url), []);
      const json = guest.files.get('result.json');
      if (json === undefined)
        throw new Error(`the cases did not finish (exit ${guest.exitCode}):\n${guest.stderr}`);
      results = JSON.parse(json.toString()) as Results;
    });

    it('of two that start at once one runs; the other writes nothing and names it', () => {
      const { code, error, log } = results.loser;
      expect(code).toBe(3);
      expect(error).toMatch(`another agent runs in this network namespace: process ${results.winner}, still`);
      expect(log).not.toMatch(/Using iptables|Synced/);
    });

    it('an upgrade hands over, and nothing changes in the kernel', () => {
      expect(results.oldStopped).toMatchObject(GOOD);
      expect(results.isUnchangedByUpgrade).toBe(true);
    });

    it('forwards without a control socket, says so once, and has it when there is room', () => {
      const lines = results.insideLog.split('\n').filter((line) => line.includes('ontrol socket'));
      expect(results.full.socket).toBe(false);
      expect(results.full.log).toMatch(/"Synced" services=3 .* failed=0/);
      expect(lines).toEqual([
        expect.stringMatching(/^W.*No control socket.*ENOSPC/),
        expect.stringMatching(/^I.*The control socket is there/),
      ]);
      expect(results.insideStatus).toBe(0);
    });

    it('stops although its socket is on a disk that became read-only', () => {
      expect(results.insideStopped).toMatchObject(GOOD);
    });

    it('follows changes while the wall clock jumps', () => {
      expect(results.clock).toEqual([0, 0]);
    });

    it('lives without a free descriptor, and does later what failed', () => {
      expect(results.limits).toEqual([0, 0]);
      expect(results.isAliveWithoutDescriptors).toBe(true);
      expect(results.descriptorLog.length).toBeGreaterThan(0);
    });

    it('refuses to run beside a kube-proxy, unless forced', () => {
      expect(results.besideProxy.code).toBe(3);
      expect(results.besideProxy.stderr).toMatch(
        new RegExp(
          `^error: kube-proxy runs in this network namespace \\(process ${results.proxy}, [^\\n]+\\n$`,
          'm',
        ),
      );
      expect(results.forced).toMatchObject(GOOD);
      expect(results.forced.log).toMatch(/^W.*kube-proxy runs .* because of --force/m);
    });

    it('replaces the socket of one that was killed', () => {
      expect(results.hasStaleSocket).toBe(true);
      expect(results.forced.log).not.toMatch(/ontrol socket|waiting/);
    });

    it('goes on when nobody hears it, with a kube-proxy in another namespace', () => {
      expect(results.deaf).toMatchObject(GOOD);
    });

    it('ends in bounded time when a sync hangs, and says what it waited for', () => {
      expect(results.late).toMatchObject({
        code: 1,
        // A verification that has the hanging restore before it is named instead.
        error: expect.stringMatching(
          /^error: not stopped within 10 s: it still waits for the (sync|verification) that runs; ended, forwarding stays as it is$/,
        ),
      });
      expect(results.late.tookMs).toBeGreaterThan(9_900);
      expect(results.late.tookMs).toBeLessThan(20_000);
      expect(results.leftOver).toBe(0);
    });

    it('ends at once at the second signal', () => {
      expect(results.twice).toMatchObject({
        code: 1,
        error: 'error: SIGINT came while stopping; ended at once, forwarding stays as it is',
      });
      expect(results.twice.tookMs).toBeLessThan(5000);
      expect(results.isUnchangedByLateStop).toBe(true);
    });

    it('with --once says that the sync was not done, and the next one does it', () => {
      expect(results.onceStopped).toMatchObject({
        code: 1,
        error: 'error: SIGTERM came before the sync was done',
      });
      expect(results.onceAfterwards.code).toBe(0);
      expect(results.planAtEnd).toBe(0);
    });
  },
);
