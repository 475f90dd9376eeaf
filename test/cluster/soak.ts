// A soak of the client of the API: an ApiSource in this process, a fake API server in another that changes all the time and has a fault
// every few seconds, both drawn from a seed. Then all is quiet, and what was told must be what there is. Prints one line of JSON.
//
//   node --expose-gc test/cluster/soak.ts --seconds 60 --services 2000 --changes-per-second 200 --fault-ms 10000 --seed 1 --factor 1
//
// factor: how much faster the client's patience is than in earnest (a half-open watch is given up after three minutes).

import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { startProgram, type HelperProcess } from '../helper-process.ts';
import { API_RESOURCES, type ResourceName } from './api-resources.ts';
import { SELECTIONS } from './api-world.ts';
import { parseSelectors } from './api-selectors.ts';
import { ApiStore, type ApiObject } from './api-store.ts';
import { ScaledTimers } from './scaled-timers.ts';
import { digestOf, growth, keyOf, overdraft, SoakClient, type Digests } from './soak-client.ts';

/** What came of it. */
export interface SoakReport {
  /** Differences between what was told and what there is; ten at most. Empty is right. */
  readonly missed: readonly string[];
  readonly unhandled: readonly string[];
  /** Median of the heap after garbage collection in the last third over that in the middle third. */
  readonly growth: number;
  readonly heapsMb: readonly number[];
  readonly rssMb: number;
  /** Requests that were sent, and how many beyond what qps and burst give (0 is right; a fraction is rounding). */
  readonly requests: number;
  readonly overdraft: number;
  /** Requests that came to the server: no more than were sent. */
  readonly received: number;
  readonly facts: number;
  readonly events: number;
  readonly changes: number;
  readonly faults: readonly string[];
  readonly lists: Readonly<Record<string, number>>;
  /** CPU of the client alone. */
  readonly cpuSeconds: number;
  readonly status: unknown;
}

const SAMPLES = 30;
/** Until everything is told after all is quiet. */
const SETTLE_MS = 420_000;

/** The server's process: one answer for each command. */
class ServerProcess {
  readonly program: HelperProcess;
  private readonly answers: AsyncIterator<string>;

  constructor(args: readonly string[]) {
    this.program = startProgram(new URL('serve.ts', import.meta.url), args);
    const { stdout } = this.program.child;
    if (stdout === null) throw new Error('no standard output');
    this.answers = createInterface({ input: stdout })[Symbol.asyncIterator]();
  }

  async next(): Promise<any> {
    const { value, done = false } = await this.answers.next();
    if (done) throw new Error(`the server ended: ${this.program.stderr}`);
    return JSON.parse(value as string);
  }

  ask(command: object): Promise<any> {
    this.program.child.stdin?.write(`${JSON.stringify(command)}\n`);
    return this.next();
  }
}

async function soak(args: ReturnType<typeof readArgs>): Promise<SoakReport> {
  const unhandled: string[] = [];
  process.on('unhandledRejection', (reason) => unhandled.push(String(reason)));
  process.on('uncaughtException', (error) => unhandled.push(String(error)));
  const server = new ServerProcess([
    ...['--services', String(args.services), '--changes-per-second', String(args.changesPerSecond)],
    ...['--chaos-ms', String(args.faultMs), '--seed', String(args.seed)],
    ...['--bookmark-ms', String(60_000 / args.factor)],
  ]);
  const { url } = (await server.next()) as { url: string };
  const client = new SoakClient(url, new ScaledTimers(args.factor));
  client.source.start();
  await client.source.complete();
  const cpuBefore = process.cpuUsage();
  for (let sample = 0; sample < SAMPLES; sample++) {
    await new Promise((resolve) => setTimeout(resolve, (args.seconds * 1000) / SAMPLES));
    client.sample();
  }
  const { user, system } = process.cpuUsage(cpuBefore);
  const { rss } = process.memoryUsage();
  await server.ask({ do: 'quiet' });
  const expected = await digestsOf(server);
  const missed = await settle(client, expected);
  const log = await server.ask({ do: 'log' });
  const { status } = client.source;
  await client.close();
  await server.program.finish();
  return {
    missed,
    unhandled,
    growth: growth(client.heaps),
    heapsMb: client.heaps.map((bytes) => Math.round(bytes / 104_857.6) / 10),
    rssMb: Math.round(rss / 1_048_576),
    requests: client.requestsMs.length,
    overdraft: overdraft(client.requestsMs),
    received: log.requests,
    facts: client.told.size,
    events: client.events,
    changes: log.changes,
    faults: log.faults,
    lists: log.lists,
    cpuSeconds: Math.round((user + system) / 10_000) / 100,
    status,
  };
}

/** Waits until all is told; what is not after a long time. */
async function settle(client: SoakClient, expected: Digests): Promise<string[]> {
  const endMs = performance.now() + SETTLE_MS;
  for (;;) {
    const missed = differences(client.told, expected);
    if (missed.length === 0 || performance.now() > endMs) return missed.slice(0, 10);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function differences(told: Digests, expected: Digests): string[] {
  const wrong = [...expected].filter(([key, digest]) => told.get(key) !== digest);
  const extra = [...told.keys()].filter((key) => !expected.has(key));
  return [
    ...wrong.map(([key]) => `${key} is ${told.has(key) ? 'not as it is' : 'not told'}`),
    ...extra.map((key) => `${key} is not there any more`),
  ];
}

async function digestsOf(server: ServerProcess): Promise<Digests> {
  const digests: Digests = new Map();
  for (const [name, labels, fields] of SELECTIONS) {
    const { objects } = (await server.ask({ do: 'objects', resource: name })) as {
      objects: Record<string, ApiObject>;
    };
    for (const [key, digest] of select(name, labels, fields, objects)) digests.set(key, digest);
  }
  return digests;
}

function* select(
  name: ResourceName,
  labels: string,
  fields: string,
  objects: Readonly<Record<string, ApiObject>>,
): Generator<readonly [string, string]> {
  const resource = API_RESOURCES[name];
  const isSelected = parseSelectors(resource, labels, fields);
  const store = new ApiStore();
  for (const [key, object] of Object.entries(objects)) store.putText(name, key, JSON.stringify(object));
  for (const entry of store.entries(name))
    if (isSelected(entry))
      yield [keyOf(resource.kind, entry.namespace, entry.name), digestOf(objects[entry.key] ?? {})];
}

function readArgs(): {
  seconds: number;
  services: number;
  changesPerSecond: number;
  faultMs: number;
  seed: number;
  factor: number;
} {
  const { values } = parseArgs({
    options: {
      seconds: { type: 'string', default: '60' },
      services: { type: 'string', default: '2000' },
      'changes-per-second': { type: 'string', default: '200' },
      'fault-ms': { type: 'string', default: '10000' },
      seed: { type: 'string', default: '1' },
      factor: { type: 'string', default: '1' },
    },
  });
  return {
    seconds: Number(values.seconds),
    services: Number(values.services),
    changesPerSecond: Number(values['changes-per-second']),
    faultMs: Number(values['fault-ms']),
    seed: Number(values.seed),
    factor: Number(values.factor),
  };
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await soak(readArgs()))}\n`);
