// Cases of the care for UDP flows as the daemon wires it, on this machine's conntrack, run by runInNamespace in a fresh network namespace.

import { execFileSync } from 'node:child_process';
import type { FlowPass } from '../../src/backends/flow-keeper.ts';
import { Flows } from '../../src/daemon/flows.ts';
import type { Log } from '../../src/daemon/log.ts';
import { SyncLoop } from '../../src/daemon/sync-loop.ts';
import { ConntrackClient } from '../../src/kernel/conntrack.ts';
import { change, UDP } from '../flows.ts';
import { FakeTimers } from '../fake-timers.ts';
import { serveCases } from './in-namespace.ts';

function shell(script: string): void {
  execFileSync('sh', ['-c', script], { encoding: 'utf8', timeout: 120_000 });
}

/** Clients of 127.0.0.2 and ::1 on port 5001 and of others; then both portals come and the first goes. */
async function afterSyncs(): Promise<unknown> {
  shell(`ip link set lo up
iptables-legacy -A OUTPUT -m conntrack --ctstate NEW -j ACCEPT; ip6tables-legacy -A OUTPUT -m conntrack --ctstate NEW -j ACCEPT
bash -c 'for to in 127.0.0.1/5001 127.0.0.2/5001 127.0.0.2/5002 ::1/5001 ::1/5002; do echo x > /dev/udp/$to; done' 2>&1`);
  const conntrack = ConntrackClient.open();
  const left = async (): Promise<string[]> => {
    const lines: string[] = [];
    for (const family of ['IPv4', 'IPv6'] as const)
      for (const { original } of await conntrack.list({ family, original: { protocol: UDP } }))
        lines.push(`${original.destination} ${original.destinationPort}`);
    return lines.sort();
  };
  const timers = new FakeTimers();
  const lines: string[] = [];
  const write = (message: string, fields: object = {}): unknown =>
    lines.push(`${message} ${JSON.stringify(fields)}`);
  const log: Log = {
    info: write,
    warn: write,
    error: write,
    verbose: (_, message, fields) => write(message, fields),
  };
  let flows: Flows | null = null;
  const syncLoop: SyncLoop = new SyncLoop(
    async () => {
      flows?.keeper.note(change('127.0.0.2 5001', ['10.244.1.5 53']));
      flows?.keeper.note(change('::1 5001', ['fd00:10:244:1::5 53']));
      flows?.afterSync();
      return { needsRetry: false };
    },
    (error) => write(String(error)),
    { minIntervalMs: 0, retryInitialMs: 1000, retryMaxMs: 1000, timers },
  );
  const passes: string[] = [];
  const onPass = ({ family, deleted }: FlowPass): unknown => passes.push(`${family} ${deleted}`);
  flows = new Flows({ beside: (task) => syncLoop.beside(task), log, timers, onPass });
  const before = await left();
  syncLoop.request();
  await syncLoop.idle();
  const after = await left();
  const isWaiting = timers.delaysMs.length;
  await flows.stop();
  await syncLoop.stop();
  const { keeper } = flows;
  const deleted = [keeper.deleted('IPv4'), keeper.deleted('IPv6')];
  return {
    before,
    after,
    deleted,
    failures: keeper.failures(),
    lines,
    passes,
    isWaiting,
    timersLeft: timers.delaysMs.length,
  };
}

await serveCases({ afterSyncs });
