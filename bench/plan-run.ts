// One measurement of the model and the plan, in a process of its own; its result goes as JSON to standard output.
//   node --expose-gc bench/plan-run.ts compile|event|memory SERVICES ENDPOINTS
// The objects are what an agent gets: read from JSON. They are made while the clock stands still.

import { setTimeout as wait } from 'node:timers/promises';
import type { ServiceKey } from '../src/model/names.ts';
import type { ClusterEvent } from '../src/model/objects.ts';
import { Snapshot } from '../src/model/snapshot.ts';
import { Planner } from '../src/plan/planner.ts';
import { BENCH_NODE_OPTIONS, benchEvents, benchService, benchSlice } from './objects.ts';

const [what = '', servicesText = '', endpointsText = ''] = process.argv.slice(2);
const services = Number(servicesText);
const endpoints = Number(endpointsText);

/** Events of one kind between two looks at the clock. */
const BATCH_EVENTS = 16;
const WARM_UP_BATCHES = 400;
const MEASURED_BATCHES = 400;
/** A prime, so that the batches go all over the table. */
const STRIDE = 7919;

function fromJson(event: ClusterEvent): ClusterEvent {
  return JSON.parse(JSON.stringify(event)) as ClusterEvent;
}

/** From objects to the first plan, the first time in this process: taking in, then compiling. CPU is that of this thread alone. */
function measureCompile(): object {
  const events = [...benchEvents(services, endpoints)].map(fromJson);
  const snapshot = new Snapshot();
  collectGarbage();
  const cpuAtStart = process.threadCpuUsage();
  const startMs = performance.now();
  for (const event of events) snapshot.apply(event);
  const takenInMs = performance.now();
  const planner = new Planner(snapshot, BENCH_NODE_OPTIONS);
  for (const key of snapshot.services()) planner.recompile(key);
  const changes = planner.takeChanges();
  const endMs = performance.now();
  const cpu = process.threadCpuUsage(cpuAtStart);
  if (changes.size !== services) throw new Error(`${changes.size} of ${services} Services have a plan`);
  return {
    totalMs: endMs - startMs,
    takingInMs: takenInMs - startMs,
    compilingMs: endMs - takenInMs,
    cpuMs: (cpu.user + cpu.system) / 1000,
  };
}

const KINDS = ['endpoint added', 'endpoint removed', 'Service deleted', 'Service added'] as const;
type Kind = (typeof KINDS)[number];

/** An event that changes the plan of one Service. The Service that is deleted is added again: its slice stays in between. */
function eventOf(kind: Kind, index: number): ClusterEvent {
  switch (kind) {
    case 'endpoint added':
      return { type: 'apply', object: benchSlice(index, endpoints + 1, endpoints + 1) };
    case 'endpoint removed':
      return { type: 'apply', object: benchSlice(index, endpoints, endpoints + 1) };
    case 'Service deleted':
      return { type: 'delete', kind: 'Service', namespace: 'bench', name: `svc-${index}` };
    case 'Service added':
      return { type: 'apply', object: benchService(index) };
  }
}

/** Takes in one event and compiles what it names; returns the number of plans that changed. */
function take(event: ClusterEvent, snapshot: Snapshot, planner: Planner): number {
  for (const key of snapshot.apply(event).services) planner.recompile(key);
  return planner.takeChanges().size;
}

/** One event at a time, at a table of this size: microseconds for each kind, over batches, and of the slowest single event. */
async function measureEvent(): Promise<object> {
  const snapshot = new Snapshot();
  const planner = new Planner(snapshot, BENCH_NODE_OPTIONS);
  fill(snapshot);
  compileAll(snapshot, planner);
  const measured = new Map<Kind, BatchTimes[]>(KINDS.map((kind) => [kind, []]));
  for (let batch = 0; batch < WARM_UP_BATCHES + MEASURED_BATCHES; batch++) {
    if (batch === WARM_UP_BATCHES) collectGarbage();
    for (const kind of KINDS) {
      const events = Array.from({ length: BATCH_EVENTS }, (_, i) =>
        fromJson(eventOf(kind, ((batch * BATCH_EVENTS + i) * STRIDE) % services)),
      );
      const times = timesOf(events, snapshot, planner);
      if (batch >= WARM_UP_BATCHES) measured.get(kind)?.push(times);
    }
    // As in an agent, the loop turns: what V8 does beside us gets its time.
    if (batch % BATCH_EVENTS === 0) await wait(1);
  }
  return Object.fromEntries([...measured].map(([kind, batches]) => [kind, summary(batches)]));
}

/** What a batch took per event, and its slowest event; microseconds. */
interface BatchTimes {
  readonly wallUs: number;
  readonly longestUs: number;
}

function timesOf(events: readonly ClusterEvent[], snapshot: Snapshot, planner: Planner): BatchTimes {
  let changes = 0;
  let longestMs = 0;
  const startMs = performance.now();
  let beforeMs = startMs;
  for (const event of events) {
    changes += take(event, snapshot, planner);
    const nowMs = performance.now();
    longestMs = Math.max(longestMs, nowMs - beforeMs);
    beforeMs = nowMs;
  }
  if (changes !== events.length) throw new Error(`${changes} changes of ${events.length} events`);
  return { wallUs: ((beforeMs - startMs) * 1000) / events.length, longestUs: longestMs * 1000 };
}

function summary(batches: readonly BatchTimes[]): object {
  const at = (name: keyof BatchTimes, share: number): number => {
    const values = batches.map((batch) => batch[name]).sort((a, b) => a - b);
    return values[Math.min(values.length - 1, Math.floor(values.length * share))] ?? 0;
  };
  return {
    medianUs: at('wallUs', 0.5),
    p99Us: at('wallUs', 0.99),
    maxUs: at('wallUs', 1),
    longestUs: at('longestUs', 1),
  };
}

/** Bytes kept by the snapshot, and by the snapshot and the planner; nothing of the objects is. */
function measureMemory(): object {
  const snapshot = new Snapshot();
  const planner = new Planner(snapshot, BENCH_NODE_OPTIONS);
  const atStart = heapBytes();
  fill(snapshot);
  const snapshotBytes = heapBytes() - atStart;
  compileAll(snapshot, planner);
  const totalBytes = heapBytes() - atStart;
  if (planner.size !== services) throw new Error(`${planner.size} of ${services} Services have a plan`);
  return { snapshotBytes, totalBytes };
}

function fill(snapshot: Snapshot): void {
  for (const event of benchEvents(services, endpoints)) snapshot.apply(fromJson(event));
}

function compileAll(snapshot: Snapshot, planner: Planner): void {
  const keys: ServiceKey[] = [...snapshot.services()];
  for (const key of keys) planner.recompile(key);
  planner.takeChanges();
}

function heapBytes(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

function collectGarbage(): void {
  if (globalThis.gc === undefined) throw new Error('start it with --expose-gc');
  globalThis.gc();
}

const MEASUREMENTS: Readonly<Record<string, () => object | Promise<object>>> = {
  compile: measureCompile,
  event: measureEvent,
  memory: measureMemory,
};
const measure = MEASUREMENTS[what];
if (measure === undefined) throw new Error(`no such measurement: ${what}`);
process.stdout.write(JSON.stringify(await measure()));
