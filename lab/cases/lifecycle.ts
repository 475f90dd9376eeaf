// Cases of the agent's life, run inside a guest: one agent at a time, a kube-proxy beside it, stopping in the middle of a sync, and
// surroundings that fail (no room for its socket, no descriptors, no reader of its log, a wall clock that jumps). Results as JSON; the
// assertions stand in lifecycle.test.ts.

import { spawn, type ChildProcess } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pointsman, tool } from '../agent-process.ts';
import { isForeignLine, placeForeignThings } from '../foreign-things.ts';

const POINTSMAN = fileURLToPath(new URL('../../bin/pointsman', import.meta.url));
const FOLDER = '/run/lifecycle';
const MANIFESTS = join(FOLDER, 'manifests');
const ARGS = ['--manifests', MANIFESTS, '--hostname-override', 'node1'];
const HANGS = join(FOLDER, 'hang');
const RESTORE = '/usr/sbin/xtables-legacy-multi';
const LIMIT_MS = 300_000;

/** Services by number, each with one endpoint; the node ports of some make rules necessary. */
function writeServices(count: number, withNodePort = false): void {
  const items = Array.from({ length: count }, (_, i) => [
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { name: `s${i}`, namespace: 'default' },
      spec: {
        type: withNodePort ? 'NodePort' : 'ClusterIP',
        clusterIP: `10.96.0.${i + 1}`,
        clusterIPs: [`10.96.0.${i + 1}`],
        ports: [{ port: 80, protocol: 'TCP', ...(withNodePort ? { nodePort: 30_000 + i } : {}) }],
      },
    },
    {
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: {
        name: `s${i}-a`,
        namespace: 'default',
        labels: { 'kubernetes.io/service-name': `s${i}` },
      },
      addressType: 'IPv4',
      ports: [{ name: '', port: 8080, protocol: 'TCP' }],
      endpoints: [{ addresses: [`11.0.0.${i + 1}`], conditions: { ready: true } }],
    },
  ]).flat();
  writeFileSync(join(MANIFESTS, 'all.json'), JSON.stringify({ apiVersion: 'v1', kind: 'List', items }));
}

/** An agent with its log, started through other programs where that is said. */
class Agent {
  readonly child: ChildProcess;
  log = '';
  code: number | string | null = null;
  endedAtMs = 0;
  private readonly ended: Promise<void>;

  constructor(more: readonly string[] = [], through: readonly string[] = []) {
    const [program = '', ...args] = [...through, POINTSMAN, 'run', ...ARGS, ...more];
    this.child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.on('data', (part: Buffer) => (this.log += part.toString()));
    this.ended = new Promise((resolve) =>
      this.child.once('close', (code, signal) => {
        this.code = code ?? signal;
        this.endedAtMs = performance.now();
        resolve();
      }),
    );
  }

  async logged(text: string): Promise<void> {
    await until(`log: ${text}`, () => this.log.includes(text), this);
  }

  /** Sends the signals one after the other, the second as soon as the first was heard, and gives how it ended. */
  async stop(
    ...signals: readonly NodeJS.Signals[]
  ): Promise<{ code: unknown; tookMs: number; error: string }> {
    const startMs = performance.now();
    for (const [i, signal] of (signals.length === 0 ? (['SIGTERM'] as const) : signals).entries()) {
      if (i > 0) await this.logged('Stopping');
      this.child.kill(signal);
    }
    return this.end(startMs);
  }

  async end(startMs: number): Promise<{ code: unknown; tookMs: number; error: string }> {
    await this.ended;
    const error = this.log
      .split('\n')
      .filter((line) => line.startsWith('error: '))
      .join('\n');
    return { code: this.code, tookMs: Math.round(this.endedAtMs - startMs), error };
  }
}

async function until(
  what: string,
  condition: () => boolean,
  agent?: Agent,
  limitMs = LIMIT_MS,
): Promise<void> {
  const deadline = performance.now() + limitMs;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`not reached: ${what}\n${agent?.log ?? ''}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Until the agent at the usual socket has synced. */
async function ready(agent: Agent): Promise<void> {
  let isSynced = false;
  const ask = (): void => {
    const asked = request({ socketPath: '/run/pointsman/agent.sock', path: '/status' }, (response) => {
      let text = '';
      response.on('data', (part: Buffer) => (text += part.toString()));
      response.on('end', () => (isSynced ||= (JSON.parse(text) as { isSynced: boolean }).isSynced));
    });
    asked.on('error', () => {});
    asked.end();
  };
  await until(
    'synced',
    () => {
      if (!isSynced) ask();
      return isSynced;
    },
    agent,
  );
}

const serviceCount = (through: readonly string[] = []): number => {
  const line = [...through, '/sbin/ipvsadm', '-Sn'];
  return tool(line[0] ?? '', line.slice(1))
    .stdout.split('\n')
    .filter((line) => line.startsWith('-A') && !isForeignLine(line)).length;
};
const served = (count: number, agent?: Agent, through: readonly string[] = []): Promise<void> =>
  until(`${count} virtual servers`, () => serviceCount(through) === count, agent);
const state = (): string =>
  [
    tool('/sbin/ipvsadm', ['-Sn']),
    tool('/sbin/ipset', ['save']),
    tool('/usr/sbin/iptables-legacy-save', []),
    tool('/usr/sbin/ip', ['-o', 'addr', 'show', 'dev', 'kube-ipvs0']),
  ]
    .map(({ stdout }) => stdout.replaceAll(/^#.*$|\[\d+:\d+\]/gm, ''))
    .join('\n');
const planChanges = (): number =>
  (JSON.parse(pointsman(['plan', ...ARGS, '-o', 'json']).stdout) as { changes: unknown[] }).changes.length;
const results: Record<string, unknown> = {};

mkdirSync(MANIFESTS, { recursive: true });
for (const line of [
  'link set lo up',
  'link add lan0 type dummy',
  'addr add 192.168.50.11/24 dev lan0',
  'link set lan0 up',
])
  tool('/usr/sbin/ip', line.split(' '));
writeServices(3);
const foreign = placeForeignThings();

// A second network namespace: its agent is none of ours, and its control socket finds no room for half a minute.
const INSIDE = ['/usr/sbin/ip', 'netns', 'exec', 'other'];
tool('/usr/sbin/ip', ['netns', 'add', 'other']);
tool('/usr/sbin/ip', ['-n', 'other', 'link', 'set', 'lo', 'up']);
const FULL = join(FOLDER, 'full');
mkdirSync(FULL);
tool('/bin/mount', ['-t', 'tmpfs', '-o', 'nr_inodes=1', 'tmpfs', FULL]);
const inside = new Agent(['--socket', join(FULL, 'agent.sock')], INSIDE);

// Two at once: one runs, the other waits for it and refuses.
const two = [new Agent(), new Agent()];
await until('one of two', () => two.some(({ code }) => code !== null));
const [winner, loser] = two[0]?.code === null ? (two as [Agent, Agent]) : (two.reverse() as [Agent, Agent]);
await served(3, winner);
results.loser = { log: loser.log, ...(await loser.end(0)) };
results.winner = winner.child.pid;
await served(3, inside, INSIDE);
await inside.logged('"Synced" services=3');
results.full = { log: inside.log, socket: existsSync(join(FULL, 'agent.sock')) };
tool('/bin/mount', ['-o', 'remount,nr_inodes=100', FULL]);

// An upgrade: the new one waits, the old one stops, nothing changes.
const before = state();
results.hangup = winner.child.kill('SIGHUP');
await winner.logged('SIGHUP is ignored');
const next = new Agent();
// It waits for 10 s, and a busy guest may take most of that to stop an agent: nothing comes between.
await next.logged('waiting for its end');
results.oldStopped = await winner.stop();
await ready(next);
results.isUnchangedByUpgrade = state() === before;

foreign.placeMore();
// The wall clock jumps, two days back and four ahead; changes are followed all the same.
const clock = (days: string): unknown => tool('/bin/date', ['-s', days]).code;
results.clock = [clock('-2 days')];
writeServices(4);
await served(4, next);
(results.clock as unknown[]).push(clock('+4 days'));
writeServices(5);
await served(5, next);
clock('-2 days');

// No free descriptor while something changes: what fails is done when there are some again.
const open = new Set(readdirSync(`/proc/${next.child.pid}/fd`).map(Number));
const firstFree = Array.from({ length: 1000 }, (_, fd) => fd).find((fd) => !open.has(fd)) ?? 0;
const limit = (count: number): unknown =>
  tool('/usr/bin/prlimit', ['--pid', String(next.child.pid), `--nofile=${count}:${count}`]).code;
results.limits = [limit(firstFree)];
writeServices(6, true);
await until('it says so', () => /EMFILE/.test(next.log), next);
results.isAliveWithoutDescriptors = next.code === null;
(results.limits as unknown[]).push(limit(1024));
await until('node ports', () => serviceCount() > 6, next);
results.descriptorLog = next.log.split('\n').filter((line) => line.includes('EMFILE'));

// A kube-proxy beside us: here, and in the other namespace, which is none of our business. Before that the agent is killed: its socket
// file stays and is replaced.
await next.stop('SIGKILL');
results.hasStaleSocket = existsSync('/run/pointsman/agent.sock');
const startKubeProxy = (through: readonly string[]): ChildProcess => {
  const line = [...through, '/bin/bash', '-c', 'exec -a kube-proxy sleep 600'];
  return spawn(line[0] ?? '', line.slice(1), { stdio: 'ignore' });
};
const elsewhere = startKubeProxy(INSIDE);
const here = startKubeProxy([]);
for (const { pid } of [elsewhere, here])
  await until('kube-proxy', () => readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('kube-proxy'));
results.proxy = here.pid;
results.besideProxy = pointsman(['run', ...ARGS, '--once']);
const forced = new Agent(['--force']);
await ready(forced);
results.forced = { log: forced.log, ...(await forced.stop('SIGINT')) };
here.kill('SIGKILL');

// Nobody hears what it says, and the other kube-proxy is still there.
const deaf = new Agent();
deaf.child.stdout?.destroy();
deaf.child.stderr?.destroy();
writeServices(2);
await served(2, deaf);
writeServices(3);
await served(3, deaf);
results.deaf = await deaf.stop();
elsewhere.kill('SIGKILL');

// A sync that hangs: iptables-restore sleeps in this namespace while a file is there.
const real = readFileSync(RESTORE);
writeFileSync(join(FOLDER, 'multi'), real, { mode: 0o755 });
rmSync(RESTORE);
writeFileSync(
  RESTORE,
  `#!/bin/bash
name=\${0##*/}
case "$name $*" in
*restore*version* | *save*) exec -a "$name" ${FOLDER}/multi "$@" ;;
esac
text=$(cat)
if [ -e ${HANGS} ] && [ "\${text#*POINTSMAN-PROBE}" = "$text" ] &&
  [ "$(readlink /proc/self/ns/net)" = "${readlinkSync('/proc/self/ns/net')}" ]; then
  echo $$ >> ${FOLDER}/hanging
  sleep 500
fi
exec -a "$name" ${FOLDER}/multi "$@" <<< "$text"
`,
  { mode: 0o755 },
);
const hanging = async (): Promise<Agent> => {
  writeServices(3);
  rmSync(HANGS, { force: true });
  rmSync(`${FOLDER}/hanging`, { force: true });
  const agent = new Agent();
  await ready(agent);
  await served(3, agent);
  writeFileSync(HANGS, '');
  writeServices(4, true);
  await until('it hangs', () => existsSync(`${FOLDER}/hanging`), agent);
  return agent;
};
const leftOver = (): number =>
  readFileSync(`${FOLDER}/hanging`, 'utf8')
    .trim()
    .split('\n')
    .filter((pid) => existsSync(`/proc/${pid}`)).length;
const slow = await hanging();
const inMidSync = state();
results.late = await slow.stop();
results.leftOver = leftOver();
const twice = await hanging();
results.twice = await twice.stop('SIGTERM', 'SIGINT');
results.isUnchangedByLateStop = state() === inMidSync;
rmSync(`${FOLDER}/hanging`);
const onceHanging = new Agent(['--once']);
await until('once hangs', () => existsSync(`${FOLDER}/hanging`), onceHanging);
onceHanging.child.kill('SIGTERM');
rmSync(HANGS);
process.kill(-Number(readFileSync(`${FOLDER}/hanging`, 'utf8').split('\n')[0]), 'SIGKILL');
results.onceStopped = await onceHanging.end(0);
results.onceAfterwards = pointsman(['run', ...ARGS, '--once']);
results.planAtEnd = planChanges();

// By now half a minute has passed for the one without room.
await until('its socket', () => existsSync(join(FULL, 'agent.sock')), inside);
results.insideStatus = pointsman(['status', '--socket', join(FULL, 'agent.sock')]).code;
tool('/bin/mount', ['-o', 'remount,ro', FULL]);
results.insideStopped = await inside.stop();
results.insideLog = inside.log;

writeFileSync(join(process.env.POINTSMAN_RESULTS ?? '/tmp', 'result.json'), JSON.stringify(results));
process.exit(0);
