// A reflector against random histories of a server and random misfortunes, on a clock of its own: whatever happens, what was told is always
// a state that the server had, and in the end the state that it has.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ApiStore } from '../../test/cluster/api-store.ts';
import { ScriptedApi, type ScriptedFault, type ScriptedStreaming } from '../../test/cluster/scripted-api.ts';
import { FakeTimers, settled } from '../../test/fake-timers.ts';
import type { ClusterEvent } from '../model/objects.ts';
import { SERVICES } from './api-kinds.ts';
import { rateLimited, TokenBucket } from './rate-limit.ts';
import { Reflector } from './reflector.ts';

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];
/** Between a backup and the day when it is needed. */
const BACKUP_VERSIONS = 1_000_000;
/** A server that comes to versions of its lost history again was away for longer than it takes to make them. */
const DISASTER_MS = 400_000;

/** The longest of a stall (3 minutes), a Retry-After and a back-off, and a list after it. */
const SETTLE_MS = 480_000;

type Act =
  | { readonly do: 'put' | 'delete'; readonly name: string }
  | { readonly do: 'compact' | 'backup' | 'restore' | 'cut' | 'leave' | 'return' }
  /** The last changes are lost, others take their place under the same versions, and only then the server answers again. */
  | { readonly do: 'disaster'; readonly names: readonly string[] }
  | { readonly do: 'pass'; readonly ms: number };

const count = fc.nat({ max: 8 });
const code = fc.constantFrom(403, 410, 429, 500, 503, 504);
const faultArbitrary: fc.Arbitrary<ScriptedFault> = fc.oneof(
  { arbitrary: fc.constant({ kind: 'none' as const }), weight: 6 },
  fc.record({ kind: fc.constant('refuse' as const), code, retryAfterMs: fc.constantFrom(0, 1000, 60_000) }),
  fc.constant({ kind: 'unreachable' as const }),
  fc.record({
    kind: fc.constant('error' as const),
    code: fc.constantFrom(410, 429, 500, 504, 0),
    after: count,
  }),
  fc.record({ kind: fc.constantFrom('cut' as const, 'truncate' as const), after: count }),
  fc.record({ kind: fc.constantFrom('silent' as const, 'garbage' as const), after: count }),
  fc.constantFrom({ kind: 'twice' as const }, { kind: 'again' as const }, { kind: 'noBookmarks' as const }),
);
const actArbitrary: fc.Arbitrary<Act> = fc.oneof(
  { arbitrary: fc.record({ do: fc.constant('put' as const), name: fc.constantFrom(...NAMES) }), weight: 6 },
  {
    arbitrary: fc.record({ do: fc.constant('delete' as const), name: fc.constantFrom(...NAMES) }),
    weight: 3,
  },
  {
    arbitrary: fc.record({
      do: fc.constant('pass' as const),
      ms: fc.constantFrom(10, 1000, 20_000, 240_000),
    }),
    weight: 6,
  },
  fc.record({ do: fc.constantFrom('compact' as const, 'backup' as const, 'restore' as const) }),
  fc.record({ do: fc.constantFrom('cut' as const, 'leave' as const, 'return' as const) }),
  fc.record({
    do: fc.constant('disaster' as const),
    names: fc.array(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 3 }),
  }),
);

/** What the reflector told, and whether it may tell it. */
class Told {
  readonly facts = new Map<string, string>();
  isComplete = false;
  readonly wrong: string[] = [];
  private readonly states = new Set<string>();
  isHalf = false;

  /** The server has come to this state. */
  allow(store: ApiStore): void {
    this.states.add(stateOf(store));
  }

  hear(events: readonly ClusterEvent[], more: boolean): void {
    for (const event of events) {
      if (event.type === 'delete') this.facts.delete(`${event.namespace}/${event.name}`);
      else {
        const { metadata } = event.object;
        const {
          kind: _kind,
          apiVersion: _apiVersion,
          ...rest
        } = event.object as unknown as Record<string, unknown>;
        this.facts.set(`${metadata?.namespace}/${metadata?.name}`, JSON.stringify(rest));
      }
    }
    this.isHalf = more;
    if (!this.isComplete && events.some(({ type }) => type === 'delete') && more)
      this.wrong.push('a deletion out of half a list');
    if (this.isComplete) this.look('told');
  }

  complete(): void {
    this.isComplete = true;
    this.isHalf = false;
    this.look('complete');
  }

  text(): string {
    return JSON.stringify([...this.facts].sort());
  }

  private look(when: string): void {
    if (!this.isHalf && !this.states.has(this.text()))
      this.wrong.push(`${when}: never a state of the server: ${this.text()}`);
  }
}

function stateOf(store: ApiStore): string {
  return JSON.stringify(
    store
      .entries('services')
      .map(({ key, json }) => [key, json.toString()])
      .sort(),
  );
}

function perform(
  act: Act,
  store: ApiStore,
  api: ScriptedApi,
  backups: ReturnType<ApiStore['snapshot']>[],
  at: number,
): void {
  switch (act.do) {
    case 'put':
      store.put('services', { metadata: { name: act.name }, spec: { clusterIP: '10.96.0.1', at } });
      break;
    case 'delete':
      store.delete('services', `default/${act.name}`);
      break;
    case 'compact':
      store.compact();
      break;
    case 'backup':
      backups.push(store.snapshot());
      // A backup is old when it is needed: versions never catch up in the time of a test.
      store.skipVersions(BACKUP_VERSIONS);
      break;
    case 'restore': {
      const backup = backups.pop();
      if (backup === undefined) break;
      store.restore(backup);
      api.cutAll();
      break;
    }
    case 'cut':
      api.cutAll();
      break;
    case 'leave':
      api.isAway = true;
      api.cutAll();
      break;
    case 'return':
      api.isAway = false;
      break;
    case 'pass':
    case 'disaster':
      break;
  }
}

/** `snapshot` is of a while before. */
async function strike(names: readonly string[], world: World, at: number): Promise<void> {
  const { api, store, timers, told, snapshot } = world;
  api.isAway = true;
  api.cutAll();
  store.restore(snapshot);
  told.allow(store);
  for (const name of names) {
    store.put('services', { metadata: { name }, spec: { clusterIP: '10.96.0.2', at } });
    told.allow(store);
  }
  await timers.advance(DISASTER_MS);
  api.isAway = false;
}

interface World {
  readonly api: ScriptedApi;
  readonly store: ApiStore;
  readonly timers: FakeTimers;
  readonly told: Told;
  readonly snapshot: ReturnType<ApiStore['snapshot']>;
}

async function live(
  acts: readonly Act[],
  faults: readonly ScriptedFault[],
  streaming: ScriptedStreaming,
  seed: readonly number[],
): Promise<void> {
  const timers = new FakeTimers();
  const store = new ApiStore({ historySize: 20 });
  const api = new ScriptedApi(store, timers);
  api.streaming = streaming;
  api.faults = [...faults];
  const told = new Told();
  let draws = 0;
  const bucket = new TokenBucket(5, 10, timers);
  const reflector = new Reflector({
    kind: SERVICES,
    transport: rateLimited(api, bucket),
    timers,
    random: () => seed[draws++ % seed.length] ?? 0,
    nextTurn: () => Promise.resolve(),
    sink: {
      onEvents: (events, more) => told.hear(events, more),
      onComplete: () => told.complete(),
      onSkipped: (problem) => told.wrong.push(problem),
    },
  });
  const backups: ReturnType<ApiStore['snapshot']>[] = [];
  for (const name of NAMES.slice(0, 5)) perform({ do: 'put', name }, store, api, backups, -1);
  told.allow(store);
  reflector.start();
  // Of the act before, within one history.
  let earlier: ReturnType<ApiStore['snapshot']> | null = null;
  for (const [at, act] of acts.entries()) {
    const snapshot = store.snapshot();
    const { oldest } = store;
    perform(act, store, api, backups, at);
    told.allow(store);
    if (act.do === 'disaster')
      await strike(act.names, { api, store, timers, told, snapshot: earlier ?? snapshot }, at);
    earlier = store.oldest === oldest ? snapshot : null;
    if (act.do === 'pass') await timers.advance(act.ms);
    else if (at % 2 === 0) await settled();
    if (told.isComplete && told.isHalf && act.do === 'pass')
      told.wrong.push('the rest of a difference never came');
  }
  api.isAway = false;
  api.faults = [];
  await timers.advance(SETTLE_MS);
  const { status } = reflector;
  expect(told.wrong).toEqual([]);
  expect(told.isComplete).toBe(true);
  expect(told.text()).toBe(stateOf(store));
  expect(status).toMatchObject({
    state: 'watching',
    lastError: '',
    objects: store.entries('services').length,
  });
  expectWithinBucket(api.requestsAtMs, 5, 10);
  const before = told.text();
  await reflector.close();
  store.put('services', { metadata: { name: 'late' } });
  await timers.advance(1_800_000);
  expect(told.text()).toBe(before);
  expect(timers.delaysMs).toEqual([]);
}

/** In no stretch of time more than what a full bucket and its filling allow. */
function expectWithinBucket(atMs: readonly number[], qps: number, burst: number): void {
  for (const [first, startMs] of atMs.entries()) {
    const sent = atMs.length - first;
    const last = Math.min(atMs.length - 1, first + 40);
    for (let to = first; to <= last; to++) {
      const allowed = burst + (((atMs[to] ?? 0) - startMs) / 1000) * qps + 1e-6;
      if (to - first + 1 > allowed)
        throw new Error(`${to - first + 1} of ${sent} requests in ${(atMs[to] ?? 0) - startMs} ms`);
    }
  }
}

test('whatever happens, only states of the server are told, and its state in the end', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(actArbitrary, { maxLength: 30 }),
      fc.array(faultArbitrary, { maxLength: 20 }),
      fc.constantFrom('on' as const, 'refused' as const, 'ignored' as const),
      fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { minLength: 1, maxLength: 5 }),
      live,
    ),
    { numRuns: 300 },
  );
});
