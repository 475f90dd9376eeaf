// Verification as the daemon has it: events of kube-ipvs0, the clock and syncs together, on the fake kernel.

import { expect, it } from 'vitest';
import { address } from '../../test/addresses.ts';
import { NODE, service } from '../../test/agent-events.ts';
import { FakeIpvsKernel } from '../../test/fake-ipvs-kernel.ts';
import { FakeTimers, settled } from '../../test/fake-timers.ts';
import { startAgent } from '../../test/in-memory-agent.ts';
import { PointsmanError } from '../model/errors.ts';
import { collectFacts } from './status.ts';
import { SyncLoop } from './sync-loop.ts';
import { Verification } from './verification.ts';

const VIP = address('172.30.0.41');

function start() {
  const kernel = new FakeIpvsKernel();
  const { agent, backend } = startAgent(kernel, NODE, [service('web', VIP)]);
  const timers = new FakeTimers();
  const syncLoop = new SyncLoop(
    (reason) => agent.sync(reason),
    (error) => {
      throw error;
    },
    { minIntervalMs: 0, retryInitialMs: 1000, retryMaxMs: 30_000, timers },
  );
  const errors: unknown[] = [];
  const log = {
    info: () => {},
    warn: () => {},
    verbose: () => {},
    error: (text: string) => errors.push(text),
  };
  const verification = new Verification({ backend, agent, syncLoop, log, timers, afterWork: () => {} });
  const sync = async (): Promise<void> => {
    syncLoop.request();
    await syncLoop.idle();
    await settled();
  };
  return { kernel, agent, backend, timers, verification, sync, errors };
}

it('puts an address back at once, also when something was said of the link before the first sync', async () => {
  const { kernel, timers, verification, sync } = start();
  verification.onServiceLink({ kind: 'lost' });
  await settled();
  await sync();
  kernel.addresses?.delete(VIP);
  verification.onServiceLink({ kind: 'address-gone', address: VIP });
  await timers.advance(1000);
  expect([...(kernel.addresses ?? [])]).toEqual([VIP]);
});

it('tries an urgent repair again that failed, after 1 s, 2 s and so on', async () => {
  const { kernel, agent, backend, timers, verification, sync, errors } = start();
  await sync();
  const read = kernel.boundAddresses.bind(kernel);
  let failures = 3;
  const triedAtMs: number[] = [];
  kernel.boundAddresses = async () => {
    triedAtMs.push(timers.now());
    if (failures-- > 0)
      throw new PointsmanError('DUMP_INTERRUPTED', 'the list changed during each of 5 dumps');
    return read();
  };
  kernel.addresses = null;
  verification.onServiceLink({ kind: 'link-gone' });
  await timers.advance(60_000);
  expect(triedAtMs).toEqual([0, 1000, 3000, 7000]);
  expect(kernel.addresses).toEqual(new Set([VIP]));
  expect(errors).toHaveLength(1);
  expect(collectFacts(agent, backend).isSynced).toBe(true);
});
