// The fake API server as a process of its own, for soaks, benches and trying things by hand:
//
//   node test/cluster/serve.ts --services 2000 --endpoints 10 --changes-per-second 200 --chaos-ms 10000 --seed 1 [--tls FOLDER]
//
// prints one line of JSON, {"url":"http://127.0.0.1:40123"}, and then one line for each line of standard input, which is a command:
// {"do":"quiet"} ends changes and faults, {"do":"churn","count":1000} makes so many changes at once, {"do":"log"} tells what came and what
// was done, {"do":"objects","resource":"services"} gives the objects, {"do":"put","resource":"services","object":{...}} adds or replaces one,
// {"do":"quit"} ends it; so does the end of standard input.

import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import { API_RESOURCES, type ResourceName } from './api-resources.ts';
import type { ApiObject } from './api-store.ts';
import { makeCertificates, serverTls } from './certificates.ts';
import { Chaos } from './chaos.ts';
import { Churn } from './churn.ts';
import { FakeApiServer } from './fake-api-server.ts';
import { fillStore } from './make-objects.ts';
import { ScaledTimers } from './scaled-timers.ts';

const { values } = parseArgs({
  options: {
    services: { type: 'string', default: '100' },
    endpoints: { type: 'string', default: '10' },
    'changes-per-second': { type: 'string', default: '0' },
    'chaos-ms': { type: 'string', default: '0' },
    'bookmark-ms': { type: 'string', default: '60000' },
    seed: { type: 'string', default: '1' },
    tls: { type: 'boolean', default: false },
  },
});

const TICK_MS = 50;
const [count, endpoints, perSecond, chaosMs, bookmarkMs, seed] = [
  values.services,
  values.endpoints,
  values['changes-per-second'],
  values['chaos-ms'],
  values['bookmark-ms'],
  values.seed,
].map(Number) as [number, number, number, number, number, number];

const certificates = values.tls ? makeCertificates() : null;
const server = await FakeApiServer.start({
  bookmarkMs,
  tls: certificates === null ? null : serverTls(certificates),
});
fillStore(server.store, { count, endpoints });
const churn = new Churn(server.store, { seed, count, endpoints });
const faults: string[] = [];
const chaos = new Chaos(server, {
  seed,
  everyMs: chaosMs,
  timers: new ScaledTimers(1),
  onFault: (name) => faults.push(name),
});

let owed = 0;
let lastMs = performance.now();
const ticks = setInterval(() => {
  const nowMs = performance.now();
  // A machine that stood still does not make up for all of it at once.
  owed += (Math.min(nowMs - lastMs, 1000) / 1000) * perSecond;
  lastMs = nowMs;
  for (; owed >= 1; owed--) churn.step();
}, TICK_MS);
if (chaosMs > 0) chaos.start();

async function quiet(): Promise<void> {
  clearInterval(ticks);
  await chaos.stop();
}

async function quit(): Promise<void> {
  await quiet();
  await server.close();
  certificates?.remove();
  lines.close();
}

interface Command {
  readonly do: string;
  readonly resource?: ResourceName;
  readonly count?: number;
  readonly object?: ApiObject;
}

async function obey(command: Command): Promise<unknown> {
  if (command.do === 'quiet') await quiet();
  else if (command.do === 'churn') for (let step = 0; step < (command.count ?? 1); step++) churn.step();
  else if (command.do === 'put' && command.object !== undefined)
    server.store.put(command.resource ?? 'services', command.object);
  else if (command.do === 'objects')
    return {
      version: server.store.version,
      objects: Object.fromEntries(server.store.objectsOf(command.resource ?? 'services')),
    };
  else if (command.do === 'log')
    return {
      requests: server.log.count(),
      times: server.log.requests.map(({ atMs }) => Math.round(atMs)),
      lists: Object.fromEntries(
        Object.keys(API_RESOURCES).map((name) => [name, server.count('list', name as ResourceName)]),
      ),
      changes: churn.changes,
      faults,
      connections: server.acceptedConnections,
    };
  else if (command.do === 'quit') await quit();
  else return { error: `unknown command: ${command.do}` };
  return { version: server.store.version };
}

const lines = createInterface({ input: process.stdin });
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`);
say({ url: server.url, ...(certificates === null ? {} : { ca: certificates.ca }) });
for await (const line of lines) say(await obey(JSON.parse(line) as Command));
if (server.openConnections >= 0) await quit();
