// The facts of an agent from a real HTTP server, a recording and a folder: what the daemon hears, when it may write, and what status says.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { defaultConfig } from '../config/load.ts';
import type { ClusterEvent } from '../model/objects.ts';
import { Snapshot } from '../model/snapshot.ts';
import { FakeApiServer } from '../../test/cluster/fake-api-server.ts';
import { fillStore } from '../../test/cluster/make-objects.ts';
import { ScaledTimers } from '../../test/cluster/scaled-timers.ts';
import { chooseSource, type FactsOrigin } from './facts-origin.ts';
import { Facts } from './facts.ts';
import { readFactsOnce } from './read-facts.ts';

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

function folderOf(): string {
  const folder = mkdtempSync(join(tmpdir(), 'facts-'));
  closers.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function serverOf(count: number): Promise<FakeApiServer> {
  const server = await FakeApiServer.start();
  fillStore(server.store, { count });
  closers.push(() => server.close());
  return server;
}

const config = { ...defaultConfig(), clientConnection: { ...defaultConfig().clientConnection, qps: -1 } };
const choose = (origin: FactsOrigin): ReturnType<typeof chooseSource> =>
  chooseSource(origin, config, { asker: 'agent', hasConfigFile: false, env: {}, onVoid: () => {} });

interface Opened {
  readonly facts: Facts;
  readonly events: ClusterEvent[];
  readonly snapshot: Snapshot;
  readonly lines: string[];
}

async function open(origin: FactsOrigin, record?: string): Promise<Opened> {
  const events: ClusterEvent[] = [];
  const snapshot = new Snapshot();
  const lines: string[] = [];
  const say = (line: string): void => void lines.push(line);
  const facts = new Facts({
    source: choose(origin),
    ...{ config, nodeName: 'node-1', record, timers: new ScaledTimers(20) },
    log: { info: say, warn: say, error: say, verbose: () => {} },
    onFacts: (more) => {
      events.push(...more);
      for (const event of more) snapshot.apply(event);
    },
  });
  closers.push(() => facts.close());
  await facts.open();
  return { facts, events, snapshot, lines };
}

const until = (condition: () => boolean): Promise<boolean> =>
  vi.waitUntil(condition, { timeout: 60_000, interval: 5 });
const keysOf = (snapshot: Snapshot): string[] => [...snapshot.services()].sort();

describe('facts from an API server', () => {
  it('are told before they count as complete, and followed from then on', async () => {
    const server = await serverOf(30);
    const { facts, snapshot } = await open({ master: server.url });
    expect(facts.isFromServer).toBe(true);
    expect(facts.status).toMatchObject({ isComplete: false, recording: null });
    await facts.readAll();
    expect(keysOf(snapshot)).toHaveLength(30);
    expect(facts.status).toMatchObject({
      ...{ isComplete: true, trouble: '' },
      kinds: { Service: { state: 'watching', objects: 30 }, EndpointSlice: { objects: 30 } },
    });
    facts.watch();
    const [{ key } = { key: '' }] = server.store.entries('services');
    server.store.delete('services', key);
    await until(() => keysOf(snapshot).length === 29);
  });

  it('wait for a server that is away, say why, and say when it is back', async () => {
    const server = await serverOf(3);
    await server.goAway();
    const { facts, lines, events } = await open({ master: server.url });
    const read = facts.readAll();
    await until(() => facts.status.trouble !== '');
    expect(facts.status).toMatchObject({ isComplete: false });
    expect(events).toEqual([]);
    expect(lines[0]).toMatch(/^Cannot follow the API server/);
    await server.comeBack();
    await read;
    expect(facts.status).toMatchObject({ isComplete: true, trouble: '' });
    await until(() => lines.at(-1)?.startsWith('The API server answers') === true);
  });

  it('lose nothing while the server is away, and end when they are closed', async () => {
    const server = await serverOf(5);
    const { facts, snapshot, lines } = await open({ master: server.url });
    await facts.readAll();
    await server.goAway();
    await until(() => lines.length > 0);
    expect(keysOf(snapshot)).toHaveLength(5);
    await facts.close();
    expect(keysOf(snapshot)).toHaveLength(5);
  });

  it('are recorded, and the recording says the same', async () => {
    const server = await serverOf(10);
    const path = join(folderOf(), 'facts.jsonl.gz');
    const { facts, snapshot } = await open({ master: server.url }, path);
    await facts.readAll();
    const [{ key } = { key: '' }] = server.store.entries('services');
    server.store.delete('services', key);
    await until(() => keysOf(snapshot).length === 9);
    expect(facts.status.recording).toMatchObject({ path, state: 'recording' });
    await facts.close();
    expect(facts.status.recording).toMatchObject({ state: 'closed' });

    const again = await open({ replay: path, replaySpeed: 'max' });
    expect(again.facts.isFromServer).toBe(false);
    await again.facts.readAll();
    expect(keysOf(again.snapshot)).toHaveLength(10);
    again.facts.watch();
    await until(() => keysOf(again.snapshot).length === 9);
    expect(keysOf(again.snapshot)).toEqual(keysOf(snapshot));
    expect([...again.snapshot.services()].map((service) => again.snapshot.get(service))).toEqual(
      [...again.snapshot.services()].map((service) => snapshot.get(service)),
    );
    await until(() => again.lines.length === 1);
  });

  it('are not recorded over a file that is there', async () => {
    const server = await serverOf(1);
    const path = join(folderOf(), 'there');
    writeFileSync(path, 'mine');
    await expect(open({ master: server.url }, path)).rejects.toMatchObject({ code: 'USAGE' });
  });
});

describe('facts once', () => {
  it('are the same from a server and from what was recorded of it', async () => {
    const server = await serverOf(7);
    const path = join(folderOf(), 'facts.jsonl.gz');
    const { facts, snapshot } = await open({ master: server.url }, path);
    await facts.readAll();
    await facts.close();
    for (const origin of [{ master: server.url }, { replay: path }]) {
      const { events, problems, warnings } = await readFactsOnce(
        choose(origin),
        config,
        'node-1',
        new ScaledTimers(20),
      );
      const other = new Snapshot();
      for (const event of events) other.apply(event);
      expect([problems, warnings]).toEqual([[], []]);
      expect(keysOf(other)).toEqual(keysOf(snapshot));
    }
  });

  it('of a server that does not answer are one clear error', async () => {
    const server = await serverOf(1);
    await server.goAway();
    await expect(
      readFactsOnce(choose({ master: server.url }), config, 'node-1', new ScaledTimers(20)),
    ).rejects.toMatchObject({ code: 'API_UNREACHABLE', message: expect.stringContaining(server.url) });
  });
});
