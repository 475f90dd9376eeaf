import { beforeAll, describe, expect, it } from 'vitest';
import { ipvsKernel, runInGuest } from '../../lab/boot.ts';
import { REFUSALS, TRAFFIC } from './top-drain-cases.ts';

const reason = ipvsKernel.probe();

describe.skipIf(reason !== null)(
  `top and drain on a real kernel${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    let seen: any;

    beforeAll(async () => {
      const guest = await runInGuest(new URL('./top-drain-guest.ts', import.meta.url), [], {});
      const json = guest.files.get('result.json');
      if (json === undefined)
        throw new Error(
          `the guest did not finish (exit ${guest.exitCode}):\n${guest.stdout}\n${guest.stderr}`,
        );
      seen = JSON.parse(json.toString());
    });

    it('top has the rates of the traffic that was made, packet by packet', () => {
      const { exitCode, before, after, output } = seen.rates;
      const web = output.virtualServers.find(({ address }: any) => address === '10.96.0.10');
      expect(exitCode).toBe(0);
      expect(web).toMatchObject({ protocol: 'TCP', port: 80 });
      const rates = Object.values(web.ratesPerSecond) as number[];
      expect(after[0] - before[0]).toBe(TRAFFIC);
      for (const [index, rate] of rates.entries()) {
        const expected = after[index] - before[index];
        // The time is printed in milliseconds.
        expect(Math.abs(rate * output.seconds - expected)).toBeLessThan(1 + expected * 0.001);
      }
      const ofServers = web.realServers.map((each: any) =>
        Math.round(each.ratesPerSecond.connections * output.seconds),
      );
      expect(ofServers).toEqual([TRAFFIC / 2, TRAFFIC / 2]);
      expect(web.realServers.map(({ weight }: any) => weight)).toEqual([3, 1]);
      expect(Math.round(output.total.ratesPerSecond.connections * output.seconds)).toBe(TRAFFIC);
    });

    it('top has the total while the kernel does not count for services, and no zeros for what it cannot know', () => {
      const { exitCode, before, after, output, stderr } = seen.frozen;
      expect(exitCode).toBe(0);
      expect(after).toEqual(before);
      expect(output.countersStandStill).toBe(true);
      expect(Math.round(output.total.ratesPerSecond.connections * output.seconds)).toBe(TRAFFIC);
      for (const { ratesPerSecond } of output.virtualServers) expect(ratesPerSecond).toBeNull();
      expect(stderr).toContain('run_estimation=0');
    });

    it('drain keeps a held connection, sends new ones elsewhere, and ends when it is closed', () => {
      const { held, echo, whileDraining, textWhileHeld, exitCode, stdout, stderr } = seen.drain;
      expect(held).toEqual({ pod1: 1, pod2: 1 });
      expect(echo).toEqual(held);
      expect(whileDraining).toEqual({ pod2: 6 });
      expect(textWhileHeld).toMatch(
        /-> 10\.244\.1\.11:8080: weight 3 -> 0\n.*: 1 active, \d+ inactive, 0 persistent left\n/,
      );
      expect(textWhileHeld).not.toContain('drained');
      expect(stdout).toMatch(/0 active, \d+ inactive, 0 persistent left\n.*: drained\nto undo: /);
      expect(exitCode).toBe(0);
      expect(stderr).toBe('');
    });

    it('drain changes the weight alone, and undrain gives back the one that was remembered', () => {
      const { kernel, kernelAfter, file, undoExitCode, undoText, afterUndo } = seen.drain;
      const settings = { forwarding: 'masquerade', upperThreshold: 1000, lowerThreshold: 10 };
      expect(kernel).toMatchObject({ ...settings, weight: 0 });
      expect(JSON.parse(file).drains).toMatchObject([
        { service: 'TCP 10.96.0.10:80', server: '10.244.1.11:8080', weight: 3 },
      ]);
      expect(undoExitCode).toBe(0);
      expect(undoText).toBe('TCP 10.96.0.10:80 -> 10.244.1.11:8080: weight 0 -> 3\n');
      expect(kernelAfter).toMatchObject({ ...settings, weight: 3 });
      expect(afterUndo).toEqual({ pod1: 3, pod2: 3 });
    });

    it('drain leaves the server in place at its deadline, with its connection', () => {
      expect(seen.deadline).toMatchObject({ exitCode: 1, echo: { pod1: 1, pod2: 1 }, weight: 0 });
      expect(seen.deadline.stdout).toContain('the deadline has passed with 1 connection to wait for');
    });

    it('drain removes the server once its connection is closed', () => {
      expect(seen.remove).toMatchObject({ exitCode: 0, weight: null });
      expect(seen.remove.stdout).toMatch(/TCP 10\.96\.0\.10:80 -> 10\.244\.1\.11:8080: drained\n/);
      expect(seen.remove.stdout).toMatch(/TCP 10\.96\.0\.10:80 -> 10\.244\.1\.11:8080: removed\n/);
    });

    it('drain waits for persistent clients exactly when the kernel lets them come back', () => {
      expect(seen.sticky).toMatchObject({
        keptExitCode: 1,
        keepsComing: true,
        expiredExitCode: 0,
        moves: true,
      });
      expect(seen.sticky.keptNote).toContain('keep coming to a server of weight 0');
      expect(seen.sticky.expiredNote).toContain('go to another server with their next connection');
    });

    it('drain waits for UDP, which counts as inactive', () => {
      expect(seen.udp.exitCode).toBe(1);
      expect(seen.udp.stdout).toContain('(0 active, 1 inactive, 0 persistent left)');
      expect(seen.udp.stderr).toContain('inactive connections are waited for too');
    });

    it.each(REFUSALS.map(({ name }, index) => ({ name, index })))(
      'the stand-in for the table answers as the kernel does: $name',
      ({ index }) => {
        expect(seen.refusals.fake[index]).toBe(seen.refusals.kernel[index]);
      },
    );
  },
);
