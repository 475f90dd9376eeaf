import { beforeAll, describe, expect, it } from 'vitest';
import { ipvsKernel, runInGuest } from '../boot.ts';

interface Results {
  readonly early: readonly string[];
  readonly deleted: readonly number[];
  readonly served: readonly string[];
  readonly moved: readonly (readonly string[])[];
  readonly again: readonly string[];
  readonly deletedAgain: readonly number[];
  readonly log: string;
}

const missing = ipvsKernel.probe();
const SERVERS = ['pod1', 'pod2', 'remote1', 'remote2'];

describe.skipIf(missing !== null)('UDP clients that keep their port, of a running agent', () => {
  let results: Results;
  beforeAll(async () => {
    const guest = await runInGuest(new URL('./udp-clients.ts', import.meta.url), []);
    const found = guest.files.get('result.json');
    if (guest.exitCode !== 0 || found === undefined)
      throw new Error(`the guest ended with ${guest.exitCode}: ${guest.stderr.slice(-3000)}`);
    results = JSON.parse(found.toString()) as Results;
  });

  it('are served when their Service comes after them', () => {
    const { early, deleted, served } = results;
    expect(new Set(early)).toEqual(new Set(['refused']));
    expect(deleted).toEqual([early.length / 2, early.length / 2]);
    expect([...new Set(served)].sort()).toEqual(SERVERS);
  });

  it('leave a server that goes, and only that', () => {
    const { served, moved } = results;
    const [first = [], second = []] = moved;
    expect(first).not.toContain('pod1');
    for (const [i, server] of served.entries()) {
      if (server === 'pod1') expect(SERVERS.slice(1)).toContain(second[i]);
      else expect([first[i], second[i]]).toEqual([server, server]);
    }
  });

  it('stay where they are when the agent is killed and starts anew', () => {
    const { moved, again, deletedAgain } = results;
    expect(again).toEqual(moved[1]);
    expect(deletedAgain).toEqual([0, 0]);
  });
});
