// Repeats the recorded scheduler experiments inside a guest with real connections, and writes what each step showed; the assertions
// stand outside, in schedulers.test.ts. Every connection has a source port of its own, so that none meets what an earlier one left.

import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { Traffic, type OpenConnections } from '../../lab/traffic.ts';
import { readRecordings } from './schedulers-recordings.ts';
import {
  RESERVED_SOURCE_PORTS,
  connectionStates,
  repetitionsOf,
  type Connection,
  type Step,
} from './schedulers-repetitions.ts';
import { applyRules, listConnections, listTable } from './schedulers-rules.ts';
import { buildDirector, client, clientAddress, servers, setSwitch } from './schedulers-topology.ts';

const FIRST_SOURCE_PORT = 10_000;
/** Long: a busy machine must not turn a slow connection into a lost one. */
const CONNECT_TIMEOUT_MS = 60_000;
const QUIET_TIMEOUT_MS = 60_000;
const POLL_MS = 5;

let nextSourcePort = FIRST_SOURCE_PORT;
const traffic = new Traffic();
buildDirector();
await traffic.serve(
  servers.map((at) => ({ at, name: at.name, protocol: 'TCP', port: 8080, address: at.ipv4 })),
);

const seen: string[][] = [];
for (const { name, steps } of repetitionsOf(readRecordings())) {
  const texts: string[] = [];
  for (const step of steps) texts.push(await perform(step));
  seen.push(texts);
  // Where the time went, for the message of a run that does not finish.
  process.stdout.write(`${Math.round(performance.now())} ms: ${name}\n`);
}
writeFileSync(join(process.env.POINTSMAN_RESULTS ?? '/tmp', 'result.json'), JSON.stringify(seen));
await traffic.close();
process.exit(0);

async function perform(step: Step): Promise<string> {
  switch (step.kind) {
    case 'apply': {
      const { code, stderr } = await applyRules(step.rules);
      return `exit ${code} ${stderr}`.trim();
    }
    case 'sysctl':
      setSwitch(step.name, step.value);
      return readFileSync(`/proc/sys/${step.name.replaceAll('.', '/')}`, 'ascii').trim();
    case 'mark':
      return setMark(step.mark);
    case 'connect':
      return connectAll(step);
    case 'table':
      await until(() => activeConnections() === 0);
      return rowsOf((await listTable()).stdout, step.service);
    case 'connections':
      await until(() => activeConnections() === 0);
      return connectionStates((await listConnections()).stdout.split('\n'), step.client, step.virtualAddress);
  }
}

async function connectAll({ groups, areHeld }: Extract<Step, { kind: 'connect' }>): Promise<string> {
  const held: OpenConnections[] = [];
  const words: string[] = [];
  for (const { label, connections } of groups) {
    const outcomes: string[] = [];
    for (const connection of connections) outcomes.push(await connectOne(connection, areHeld ? held : null));
    words.push(`${label === '' ? '' : `${label}:`}${outcomes.join('/')}`);
  }
  if (!areHeld) return words.join(' ');
  const active = activeConnections();
  for (const connection of held) await connection.close();
  return `${words.join(' ')} active ${active}`;
}

/** The server's name, or the errno's. */
async function connectOne(connection: Connection, held: OpenConnections[] | null): Promise<string> {
  const options = {
    from: client,
    address: connection.address,
    port: 80,
    protocol: 'TCP',
    sourceAddress: clientAddress(connection.client),
    sourcePort: connection.sourcePort ?? takeSourcePort(),
    timeoutMs: CONNECT_TIMEOUT_MS,
  } as const;
  let outcome: string | undefined;
  if (held === null) [outcome] = (await traffic.connect(options)).sequence;
  else {
    const opened = await traffic.open(options);
    held.push(opened);
    [outcome] = opened.report.sequence;
  }
  return outcome === 'refused' ? 'ECONNREFUSED' : (outcome ?? '');
}

function takeSourcePort(): number {
  const port = nextSourcePort++;
  if (port >= RESERVED_SOURCE_PORTS.first) throw new Error('the experiments have used up their source ports');
  return port;
}

/** What the kernel counts as active in the whole table; the experiments run one after the other. */
function activeConnections(): number {
  const rows = readFileSync('/proc/net/ip_vs', 'ascii').matchAll(/^ {2}-> [\dA-F]+:.*?(\d+)\s+\d+\s*$/gm);
  return [...rows].reduce((sum, [, active]) => sum + Number(active), 0);
}

/** The other side closes a moment after this one. When the time runs out, what is seen then shows it. */
async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + QUIET_TIMEOUT_MS;
  while (!condition() && performance.now() < deadlineMs) await pause(POLL_MS);
}

/** The column titles and the rows of one virtual server. */
function rowsOf(listing: string, service: string): string {
  const lines = listing.split('\n');
  const first = lines.findIndex((line) => line.startsWith(service));
  const next = lines.findIndex((line, index) => index > first && !line.startsWith('  -> '));
  const rows = first < 0 ? [] : lines.slice(first, next);
  return [lines[2] ?? '', ...rows].map((line) => `${line}\n`).join('');
}

/** Replaces the mangle table's rules. */
function setMark(mark: number): string {
  const rule = `-A PREROUTING -d 10.96.0.0/24 -p tcp --dport 80 -j MARK --set-mark ${mark}`;
  const done = spawnSync('/usr/sbin/iptables-legacy-restore', [], {
    input: `*mangle\n:PREROUTING ACCEPT [0:0]\n${rule}\nCOMMIT\n`,
    encoding: 'utf8',
    timeout: 120_000,
  });
  return done.status === 0 ? String(mark) : `iptables-legacy-restore: ${done.stderr}`;
}
