// The whole source against a server in memory and a clock of its own: when the first snapshot is complete, what its status says, how it
// ends; and a single read. How it takes misfortunes is in reflector-histories.test.ts, and in test/cluster/ with real sockets.

import { describe, expect, test } from 'vitest';
import { ApiStore } from '../../test/cluster/api-store.ts';
import { ScriptedApi } from '../../test/cluster/scripted-api.ts';
import { FakeTimers, settled } from '../../test/fake-timers.ts';
import type { ClusterEvent } from '../model/objects.ts';
import type { CredentialSource } from './api-access.ts';
import { readCluster } from './api-source-read.ts';
import { ApiSource, type ApiSourceOptions } from './api-source.ts';

const NO_CREDENTIALS: CredentialSource = {
  description: 'none',
  access: () => Promise.reject(new Error('not asked for')),
  reject: () => {},
};

class World {
  readonly timers = new FakeTimers();
  readonly store = new ApiStore();
  readonly api = new ScriptedApi(this.store, this.timers);
  readonly events: string[] = [];
  isComplete = false;
  readonly source: ApiSource;

  constructor(more: Partial<ApiSourceOptions> = {}) {
    for (const name of ['a', 'b', 'c']) {
      this.store.put('services', { metadata: { name } });
      this.store.put('endpointslices', { metadata: { name: `${name}-1` } });
    }
    this.source = new ApiSource({ ...this.options, ...more });
  }

  get options() {
    return {
      credentials: NO_CREDENTIALS,
      nodeName: 'node-1',
      userAgent: 'pointsman/0.1.0',
      qps: 0,
      burst: 0,
      timers: this.timers,
      random: () => 0,
      transport: this.api,
      onEvents: (events: readonly ClusterEvent[]) => this.hear(events),
    };
  }

  putNode(): void {
    this.store.put('nodes', { metadata: { name: 'node-1' } });
  }

  start(): void {
    this.source.start();
    void this.source.complete().then(() => (this.isComplete = true));
  }

  /** Time passes, and then everything that can go on in a few turns of the event loop. */
  async pass(ms: number): Promise<void> {
    await this.timers.advance(ms);
    for (let turn = 0; turn < 20; turn++) await settled();
  }

  private hear(events: readonly ClusterEvent[]): void {
    for (const event of events)
      this.events.push(
        event.type === 'apply'
          ? `${event.object.kind} ${event.object.metadata?.name}`
          : `no ${event.kind} ${event.name}`,
      );
  }
}

const EVERYTHING = [
  'EndpointSlice a-1',
  'EndpointSlice b-1',
  'EndpointSlice c-1',
  'Node node-1',
  'Service a',
  'Service b',
  'Service c',
];

describe('the first snapshot', () => {
  test('is complete when everything was told', async () => {
    const world = new World();
    world.putNode();
    world.start();
    await world.pass(100);
    expect(world.isComplete).toBe(true);
    expect(world.events.toSorted()).toEqual(EVERYTHING);
    await world.source.close();
  });

  test('waits half a minute for a Node that is missing', async () => {
    const world = new World();
    world.start();
    await world.pass(29_900);
    expect(world.isComplete).toBe(false);
    await world.pass(200);
    expect(world.isComplete).toBe(true);
    world.putNode();
    await world.pass(100);
    expect(world.events).toContain('Node node-1');
    await world.source.close();
    expect(world.timers.delaysMs).toEqual([]);
  });

  test('is complete as soon as a missing Node comes', async () => {
    const world = new World();
    world.start();
    await world.pass(5000);
    world.putNode();
    await world.pass(0);
    await settled();
    expect(world.isComplete).toBe(true);
    await world.source.close();
  });

  test('waits for a server that is away as long as it takes', async () => {
    const world = new World();
    world.putNode();
    world.api.isAway = true;
    world.start();
    await world.pass(3_600_000);
    expect(world.isComplete).toBe(false);
    expect(world.source.status.Service).toMatchObject({
      state: 'waiting',
      objects: 0,
      isComplete: false,
      resourceVersion: '',
    });
    expect(world.source.status.Service.lastError).toMatch(/cannot reach the scripted API server/);
    expect(world.source.status.Service.backoffs).toBeGreaterThan(100);
    world.api.isAway = false;
    await world.pass(31_000);
    expect(world.isComplete).toBe(true);
    expect(world.source.status.Service).toMatchObject({
      state: 'watching',
      objects: 3,
      isComplete: true,
      lastError: '',
      resourceVersion: String(world.store.version),
    });
    await world.source.close();
  });
});

describe('the end', () => {
  test('comes at once, whatever goes on, and lets nothing through after it', async () => {
    const world = new World();
    world.api.faults = [{ kind: 'silent', after: 1 }, { kind: 'unreachable' }];
    world.source.start();
    await settled();
    const complete = world.source.complete();
    const closed = world.source.close();
    await expect(complete).rejects.toMatchObject({ code: 'API_UNREACHABLE' });
    await closed;
    const { length } = world.events;
    world.store.put('services', { metadata: { name: 'late' } });
    await world.pass(3_600_000);
    expect(world.events).toHaveLength(length);
    expect(world.timers.delaysMs).toEqual([]);
  });

  test('before the start is one as well', async () => {
    const world = new World();
    await world.source.close();
    await expect(world.source.complete()).rejects.toMatchObject({ code: 'API_UNREACHABLE' });
  });
});

test('objects without a name are skipped and told of, and the rest is followed', async () => {
  const skipped: string[] = [];
  const world = new World({ onSkipped: (problem) => skipped.push(problem) });
  world.putNode();
  world.store.putText('services', 'default/aa', '{"metadata":{"namespace":"default"}}');
  world.store.putText('services', 'default/bb', 'null');
  world.start();
  await world.pass(100);
  world.store.putText('services', 'default/cc', '"text"');
  world.store.put('services', { metadata: { name: 'd' } });
  await world.pass(100);
  expect(world.events.toSorted()).toEqual([...EVERYTHING, 'Service d']);
  expect(skipped).toHaveLength(3);
  expect(world.source.status.Service).toMatchObject({ skipped: 3, lastSkipped: skipped[2], lastError: '' });
  expect(skipped[0]).toBe('an object in /api/v1/services is skipped: it has no metadata.name');
  await world.source.close();
});

test('facts that are lost on the way, by a mistake of ours, are told again', async () => {
  let isBroken = false;
  const heard = new Set<string>();
  const world = new World({
    onEvents: (events) => {
      if (isBroken) throw new Error('broken');
      for (const event of events) {
        if (event.type === 'delete') heard.delete(`${event.kind} ${event.name}`);
        else heard.add(`${event.object.kind} ${event.object.metadata?.name}`);
      }
    },
  });
  world.putNode();
  world.start();
  await world.pass(100);
  isBroken = true;
  world.store.delete('services', 'default/a');
  world.store.put('services', { metadata: { name: 'd' } });
  await world.pass(10_000);
  expect(world.source.status.Service.lastError).toBe('events were lost: broken');
  isBroken = false;
  await world.pass(31_000);
  expect([...heard].toSorted()).toEqual([...EVERYTHING.filter((each) => each !== 'Service a'), 'Service d']);
  await world.source.close();
});

describe('a single read', () => {
  const signal = new AbortController().signal;

  test('tells the newest of everything, page by page', async () => {
    const world = new World();
    world.putNode();
    const reading = readCluster(world.options, signal);
    await world.pass(1000);
    expect(await reading).toEqual({ skipped: [] });
    expect(world.events.toSorted()).toEqual(EVERYTHING);
    expect(world.api.requests).toEqual(['list ', 'list ...', 'list ', 'list ...', 'list ']);
    expect(world.timers.delaysMs).toEqual([]);
  });

  test('tells of a change in the middle: what an expired list told too much is taken back', async () => {
    const world = new World();
    world.api.faults = [{ kind: 'none' }, { kind: 'refuse', code: 410, retryAfterMs: 0 }];
    const reading = readCluster(world.options, signal);
    await settled();
    world.store.delete('services', 'default/a');
    await world.pass(10_000);
    await reading;
    expect(world.events).toContain('no Service a');
  });

  test.each([
    ['is refused', { kind: 'refuse', code: 403, retryAfterMs: 0 }, { code: 'API_REFUSED', status: 403 }],
    ['is not answered', { kind: 'unreachable' }, { code: 'API_UNREACHABLE' }],
    ['is answered with half a list', { kind: 'truncate', after: 1 }, { code: 'API_PROTOCOL' }],
  ] as const)('ends at once when it %s', async (_name, fault, expected) => {
    const world = new World();
    world.api.faults = [fault];
    await expect(readCluster(world.options, signal)).rejects.toMatchObject(expected);
    expect(world.api.requests).toHaveLength(1);
  });

  test('asks a busy server again, but not for ever', async () => {
    const world = new World();
    world.api.faults = Array.from({ length: 9 }, () => ({ kind: 'refuse', code: 429, retryAfterMs: 1000 }));
    const reading = readCluster(world.options, signal).catch((error: unknown) => error);
    await world.pass(60_000);
    expect(await reading).toMatchObject({ status: 429 });
    expect(world.api.requests).toHaveLength(4);
  });

  test('can be given up', async () => {
    const world = new World();
    world.api.faults = [{ kind: 'silent', after: 0 }];
    const controller = new AbortController();
    const reading = readCluster(world.options, controller.signal);
    await settled();
    controller.abort(new Error('enough'));
    await expect(reading).rejects.toThrow('enough');
    expect(world.timers.delaysMs).toEqual([]);
  });
});
