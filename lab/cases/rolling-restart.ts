// A rolling restart of all pods of a Service, under as many new connections as the guest can make: a new pod becomes ready, an old one
// terminates, and ends when its drain has ended. Runs inside a guest with a running agent (draining.ts); returns what was seen.

import type { AgentProcess, StatusView } from '../agent-process.ts';
import type { Host } from '../topology.ts';
import type { Attempt, Traffic } from '../traffic.ts';
import { addressesOf, PORT, serversOf, writeService, type CaseService } from './draining-input.ts';

const LIMIT_MS = 300_000;
const CONCURRENCY = 8;
const BATCH = 100;

export interface RollingRestartOptions {
  readonly agent: AgentProcess;
  readonly traffic: Traffic;
  readonly client: Host;
  readonly folder: string;
  readonly service: CaseService;
  /** Twice as many as there are pods at a time: each restart takes the other half. */
  readonly hosts: readonly Host[];
  readonly restarts: number;
}

export interface RollingRestart {
  readonly connections: number;
  readonly connectionsPerSecond: number;
  /** How those ended that were not answered. */
  readonly failures: readonly string[];
  /** For each pod that left: how long after the change of its endpoint the last new connection began that still reached it; 0: none did. */
  readonly lastReachedAfterMs: readonly number[];
}

export async function rollingRestart(options: RollingRestartOptions): Promise<RollingRestart> {
  const { agent, traffic, client, folder, service, hosts, restarts } = options;
  const pods = hosts.length / 2;
  const addresses = Object.values(addressesOf(service));
  const drainsOn = ({ draining }: StatusView, { ipv4, ipv6 }: Host): number =>
    draining.servers.filter(
      ({ virtualServer, address }) =>
        addresses.some((each) => virtualServer.includes(each)) &&
        [`${ipv4}:`, `[${ipv6}]:`].some((start) => address.startsWith(start)),
    ).length;
  const serving = ({ services }: StatusView): number[] =>
    (services.find((each) => each.service === `default/${service.name}`)?.virtualServers ?? []).map(
      ({ realServers }) => realServers.filter(({ state }) => state === 'serving').length,
    );
  const serves = (count: number) => (status: StatusView) =>
    serving(status).join() === addresses.map(() => count).join();

  let ready = hosts.slice(0, pods);
  let terminating: Host[] = [];
  const write = (): number => writeService(folder, service, { ready, terminating });
  /** Ends the pods whose drain has ended: from here on, whoever reached one would be refused. */
  const endDrained = async (status: StatusView, generation: number): Promise<void> => {
    const ended = terminating.filter((host) => drainsOn(status, host) === 0);
    terminating = terminating.filter((host) => !ended.includes(host));
    for (const host of ended) await traffic.stop(nameOf(host, generation));
  };
  /** Of each restart the pods have names of their own. */
  const nameOf = ({ name }: Host, generation: number): string => `${name}-${generation}`;
  const start = (starting: readonly Host[], generation: number): Promise<void> =>
    traffic.serve(
      serversOf([service], starting).map((server) => ({ ...server, name: nameOf(server.at, generation) })),
    );
  await start(ready, 0);
  write();
  await agent.until('all pods', serves(pods), LIMIT_MS);

  const startMs = performance.now();
  let isOver = false;
  const lanes = addresses.map(async (address) => {
    const attempts: Attempt[] = [];
    while (!isOver) {
      const report = await traffic.connect({
        ...{ from: client, address, port: PORT, protocol: 'TCP', timeoutMs: 20_000 },
        ...{ count: BATCH, concurrency: CONCURRENCY },
      });
      attempts.push(...report.attempts);
    }
    return attempts;
  });
  const left: { readonly name: string; readonly atMs: number }[] = [];
  for (let restart = 0; restart < restarts; restart++) {
    const next = hosts.filter((host) => !ready.includes(host));
    for (const joining of next) {
      const [leaving] = ready as [Host];
      await start([joining], restart + 1);
      ready = [...ready, joining];
      write();
      await agent.until('the new pod', serves(pods + 1), LIMIT_MS);
      ready = ready.slice(1);
      terminating = [...terminating, leaving];
      const atMs = write();
      const status = await agent.until(
        'the old pod drains',
        (each) => drainsOn(each, leaving) === addresses.length,
        LIMIT_MS,
      );
      left.push({ name: nameOf(leaving, restart), atMs });
      await endDrained(status, restart);
    }
    while (terminating.length > 0)
      await endDrained(
        await agent.until(
          'the next drain ends',
          (status) => terminating.some((host) => drainsOn(status, host) === 0),
          LIMIT_MS,
        ),
        restart,
      );
    write();
  }
  isOver = true;
  const attempts = (await Promise.all(lanes)).flat();
  const seconds = (performance.now() - startMs) / 1000;
  return {
    connections: attempts.length,
    connectionsPerSecond: Math.round(attempts.length / seconds),
    failures: attempts.filter(({ server }) => server === null).map(({ outcome }) => outcome),
    lastReachedAfterMs: left.map(({ name, atMs }) =>
      Math.max(
        0,
        ...attempts.filter(({ server }) => server === name).map(({ startedAtMs }) => startedAtMs - atMs),
      ),
    ),
  };
}
