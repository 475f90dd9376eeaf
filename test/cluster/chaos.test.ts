// Churn and chaos are the same for the same seed; chaos does every fault that it has and leaves a server that serves.

import { afterEach, describe, expect, it } from 'vitest';
import { startProgram, endHelpers } from '../helper-process.ts';
import { FakeTimers, settled } from '../fake-timers.ts';
import { ApiStore } from './api-store.ts';
import { Chaos } from './chaos.ts';
import { Churn } from './churn.ts';
import { FakeApiServer } from './fake-api-server.ts';
import { fillStore } from './make-objects.ts';
import { get, getJson, PlainStream } from './plain-client.ts';

afterEach(endHelpers);

function churned(seed: number, changes: number): string {
  const store = new ApiStore();
  fillStore(store, { count: 30 });
  const churn = new Churn(store, { seed, count: 30 });
  for (let change = 0; change < changes; change++) churn.step();
  const names = ['services', 'endpointslices', 'nodes'] as const;
  return JSON.stringify([store.version, ...names.map((name) => [...store.objectsOf(name)])]);
}

describe('churn', () => {
  it('is the same for the same seed and another for another', () => {
    expect(churned(7, 300)).toBe(churned(7, 300));
    expect(churned(7, 300)).not.toBe(churned(8, 300));
    expect(churned(7, 300)).not.toBe(churned(7, 301));
  });
});

describe('chaos', () => {
  it('does all that it has, in an order drawn from the seed, and leaves a server that serves', async () => {
    const orders: string[][] = [];
    for (const seed of [1, 1, 2]) {
      const server = await FakeApiServer.start({ bookmarkMs: null });
      fillStore(server.store, { count: 20 });
      const timers = new FakeTimers();
      const order: string[] = [];
      const chaos = new Chaos(server, { seed, everyMs: 10_000, timers, onFault: (name) => order.push(name) });
      const { url } = server;
      const streams: PlainStream[] = [];
      for (const _name of chaos.names) {
        streams.push(
          new PlainStream(`${url}/api/v1/services?watch=true`),
          new PlainStream(`${url}/api/v1/services`),
        );
        await chaos.step();
      }
      await chaos.stop();
      expect([...chaos.done.values()]).toEqual(chaos.names.map(() => 1));
      expect(order.toSorted()).toEqual(chaos.names.toSorted());
      expect(timers.delaysMs).toEqual([]);
      expect((await get(`${url}/api/v1/nodes`)).code).toBe(200);
      await server.close();
      await Promise.all(streams.map(({ ended }) => ended));
      orders.push(order);
    }
    expect(orders[0]).toEqual(orders[1]);
    expect(orders[0]).not.toEqual(orders[2]);
  });

  it('goes on by the clock until it is stopped', async () => {
    const server = await FakeApiServer.start({ bookmarkMs: null });
    const timers = new FakeTimers();
    const order: string[] = [];
    const chaos = new Chaos(server, { seed: 3, everyMs: 1000, timers, onFault: (name) => order.push(name) });
    chaos.start();
    await timers.advance(5500);
    await server.until(() => order.length === 5);
    await chaos.stop();
    await timers.advance(5000);
    await settled();
    expect(order).toHaveLength(5);
    await server.close();
  });
});

describe('the process', () => {
  it('serves, obeys and ends', { timeout: 120_000 }, async () => {
    const program = startProgram(new URL('serve.ts', import.meta.url), [
      '--services',
      '5',
      '--endpoints',
      '2',
    ]);
    const lines = (): any[] =>
      program.stdout
        .split('\n')
        .slice(0, -1)
        .map((line) => JSON.parse(line) as unknown);
    await program.until('\n');
    const { url } = lines()[0];
    expect((await getJson(`${url}/apis/discovery.k8s.io/v1/endpointslices`)).items).toHaveLength(5);
    const commands = [
      '{"do":"churn","count":10}',
      '{"do":"quiet"}',
      '{"do":"log"}',
      '{"do":"objects"}',
      '{"do":"x"}',
    ];
    program.child.stdin?.write(`${commands.join('\n')}\n`);
    await program.until('unknown command');
    expect(lines()[3]).toMatchObject({ requests: 1, lists: { endpointslices: 1 }, changes: 10 });
    expect(await program.finish()).toBe(0);
    expect((await get(url)).error).toBe('ECONNREFUSED');
  });
});
