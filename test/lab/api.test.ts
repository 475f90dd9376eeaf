// An agent that follows an API server, on a real kernel. What the server does to a client is tried in test/cluster.

import { beforeAll, describe, expect, it } from 'vitest';
import { ipvsKernel, runInGuest } from '../../lab/boot.ts';

const reason = ipvsKernel.probe();

describe.skipIf(reason !== null)(
  `an agent that follows an API server${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    let results: Record<string, unknown>;

    beforeAll(async () => {
      const guest = await runInGuest(new URL('./api-guest.ts', import.meta.url), [], { memoryMb: 768 });
      const json = guest.files.get('result.json');
      if (guest.exitCode !== 0 || json === undefined)
        throw new Error(`the guest ended with ${guest.exitCode}: ${guest.stderr.slice(-6000)}`);
      results = JSON.parse(json.toString()) as Record<string, unknown>;
    });

    it('writes nothing before the server was read, and says what it waits for', () => {
      expect(results.waiting).toMatchObject({
        ...{ isSynced: false, written: [] },
        facts: { isComplete: false, trouble: expect.stringContaining('/run/api/kubeconfig') },
      });
      expect(results.headline).toMatchObject({
        code: 1,
        line: expect.stringMatching(/not synced \(waiting for kubeconfig .*\/run\/api\/kubeconfig/),
      });
    });

    it('goes on by itself when kubeconfig and server are there', () => {
      expect(results.first).toMatchObject({ servers: 80, facts: { isComplete: true, trouble: '' } });
    });

    it('removes nothing while the server is away, and follows what changed meanwhile when it is back', () => {
      expect(results.keptWhileAway).toBe(true);
    });

    it('keeps everything when it was killed and starts without a server', () => {
      expect(results).toMatchObject({ keptWhenKilled: true, keptAfterwards: true, stopped: 0 });
    });

    it('has nothing left to do, by the server and by the recording of the killed agent', () => {
      expect(results).toMatchObject({ plan: [], planOfRecording: [] });
    });
  },
);
