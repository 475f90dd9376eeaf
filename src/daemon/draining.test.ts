// When the daemon looks at what drains, with the real backend and sync loop on a clock that stands still.

import { expect, it } from 'vitest';
import { NODE, service, slice } from '../../test/agent-events.ts';
import { FakeIpvsKernel } from '../../test/fake-ipvs-kernel.ts';
import { FakeTimers } from '../../test/fake-timers.ts';
import { startAgent } from '../../test/in-memory-agent.ts';
import { Draining } from './draining.ts';
import { SyncLoop } from './sync-loop.ts';

const SERVER = 'TCP 172.30.0.41:80 -> 10.0.0.1:8080';

async function start() {
  const kernel = new FakeIpvsKernel();
  const timers = new FakeTimers();
  const { agent, backend, clock } = startAgent(kernel, NODE, [
    service('web', '172.30.0.41'),
    slice('web', ['10.0.0.1', '10.0.0.2']),
  ]);
  const syncLoop = new SyncLoop(
    async (reason) => {
      const result = await agent.sync(reason);
      draining.afterSync();
      return result;
    },
    (error) => {
      throw error;
    },
    { minIntervalMs: 0, retryInitialMs: 1000, retryMaxMs: 30_000, timers },
  );
  const draining: Draining = new Draining({
    backend,
    agent,
    beside: (task) => syncLoop.beside(task),
    timers,
  });
  const advance = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 50) {
      clock.nowMs += 50;
      await timers.advance(50);
    }
  };
  const sync = async (): Promise<void> => {
    syncLoop.request();
    await advance(50);
  };
  await sync();
  const looks = (): number => kernel.lists.filter((list) => list.startsWith('destinations')).length;
  return { kernel, agent, backend, draining, advance, sync, looks, timers };
}

it('looks at once, then less and less often, and no more when nothing drains', async () => {
  const { kernel, agent, advance, sync, looks, timers } = await start();
  kernel.connections.set(SERVER, 1);
  agent.onEvents([slice('web', ['10.0.0.2'])]);
  kernel.lists = [];
  await sync();
  expect(looks()).toBe(1);
  await advance(1000);
  expect(looks()).toBeGreaterThanOrEqual(3);
  await advance(60_000);
  const before = looks();
  await advance(30_000);
  expect(looks() - before).toBeLessThanOrEqual(7);
  kernel.connections.clear();
  await advance(6000);
  expect(kernel.table.get('TCP 172.30.0.41:80')?.destinations.size).toBe(1);
  expect(timers.delaysMs).toEqual([]);
});

it('cuts at once what an operator ends', async () => {
  const { kernel, agent, backend, draining, advance, sync } = await start();
  kernel.connections.set(SERVER, 1);
  agent.onEvents([slice('web', ['10.0.0.2'])]);
  await sync();
  await advance(20_000);
  expect(backend.endDrains(() => true)).toBe(1);
  await draining.lookNow();
  expect(kernel.cut).toEqual([SERVER]);
});

it('asks for a retry when a drained server cannot be deleted', async () => {
  const { kernel, agent, advance, sync } = await start();
  kernel.faults.push({ matches: (write) => write.startsWith('DEL_DEST'), errno: 'ENOMEM', times: 3 });
  agent.onEvents([slice('web', ['10.0.0.2'])]);
  await sync();
  expect(agent.status.lastReport?.nodeFailures).toEqual(['drained servers of TCP 172.30.0.41:80']);
  await advance(10_000);
  expect(agent.status.lastReport?.nodeFailures).toEqual([]);
  expect(kernel.table.get('TCP 172.30.0.41:80')?.destinations.size).toBe(1);
});

it('starts nothing after it was stopped', async () => {
  const { kernel, agent, draining, advance, sync, looks } = await start();
  kernel.connections.set(SERVER, 1);
  agent.onEvents([slice('web', ['10.0.0.2'])]);
  await sync();
  await draining.stop();
  const before = looks();
  await advance(10_000);
  expect(looks()).toBe(before);
});
