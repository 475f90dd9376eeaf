// Cases for lab/traffic.test.ts; each runs in a namespace of its own and returns what it saw.

import { execFileSync } from 'node:child_process';
import { readlinkSync, writeFileSync } from 'node:fs';
import { createTopology, type Topology } from '../../lab/topology.ts';
import { Traffic, type TrafficReport } from '../../lab/traffic.ts';
import { serveCases } from '../kernel/in-namespace.ts';

const STREAM_AND_DATAGRAM = ['TCP', 'UDP'] as const;
const FAMILIES = ['ipv4', 'ipv6'] as const;

async function inLab<T>(run: (traffic: Traffic, topology: Topology) => Promise<T>): Promise<T> {
  const topology = createTopology({ pods: 2, clients: 1 });
  writeFileSync('/proc/sys/net/ipv4/ip_forward', '1');
  const traffic = new Traffic();
  try {
    return await run(traffic, topology);
  } finally {
    await traffic.close();
    topology.dispose();
  }
}

/** Without what differs from run to run. */
function stable({
  count,
  answered,
  counts,
  sources,
  refused,
  reset,
  timedOut,
  notStarted,
  errors,
}: TrafficReport) {
  return { count, answered, counts, sources, refused, reset, timedOut, notStarted, errors };
}

function sourcePorts(report: TrafficReport): (number | null)[] {
  return report.attempts.map((attempt) => attempt.sourcePort);
}

async function outcome(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'fulfilled',
    (error: Error) => error.message,
  );
}

function serveBoth(traffic: Traffic, topology: Topology, names: readonly string[]): Promise<void> {
  return traffic.serve(
    names.flatMap((name) =>
      STREAM_AND_DATAGRAM.map((protocol) => ({ at: topology.host(name), name, protocol, port: 8080 })),
    ),
  );
}

await serveCases({
  manyConnections: () =>
    inLab(async (traffic, topology) => {
      await serveBoth(traffic, topology, ['pod1', 'node1']);
      const reports: Record<string, unknown> = {};
      for (const protocol of STREAM_AND_DATAGRAM) {
        for (const family of FAMILIES) {
          const report = await traffic.connect({
            from: topology.host('pod2'),
            address: topology.host('pod1')[family],
            port: 8080,
            protocol,
            count: 500,
            concurrency: 16,
          });
          const { p50, p99 } = report.latencyMs ?? { p50: 0, p99: 0 };
          const ports = new Set(report.attempts.map((attempt) => attempt.sourcePort));
          reports[`${protocol} ${family}`] = {
            ...stable(report),
            sequence: [...new Set(report.sequence)],
            ordered: p50 > 0 && p50 <= p99 && p99 < 2000,
            manyPorts: ports.size > 100,
          };
        }
      }
      return reports;
    }),

  nodeItself: () =>
    inLab(async (traffic, topology) => {
      const before = readlinkSync('/proc/thread-self/ns/net');
      await serveBoth(traffic, topology, ['node1', 'pod1']);
      const sequence: (string | undefined)[] = [];
      for (const [from, to] of [
        ['node1', 'node1'],
        ['pod1', 'node1'],
        ['node1', 'pod1'],
        ['node1', 'node1'],
      ] as const) {
        const { ipv4: address } = topology.host(to);
        const report = await traffic.connect({
          from: topology.host(from),
          address,
          port: 8080,
          protocol: 'TCP',
        });
        sequence.push(report.sequence[0]);
      }
      return { sequence, isUnmoved: readlinkSync('/proc/thread-self/ns/net') === before };
    }),

  chosenSource: () =>
    inLab(async (traffic, topology) => {
      await serveBoth(traffic, topology, ['node1']);
      const from = topology.host('client1');
      const seen: Record<string, unknown> = {};
      for (const protocol of STREAM_AND_DATAGRAM) {
        for (const family of FAMILIES) {
          const to = { from, address: topology.node[family], port: 8080, protocol, count: 20 };
          const report = await traffic.connect({ ...to, sourceAddress: from[family], sourcePort: 4711 });
          seen[`${protocol} ${family}`] = [
            report.sources,
            [...new Set(report.attempts.map((attempt) => attempt.sourcePort))],
          ];
        }
      }
      const foreign = await traffic.connect({
        from,
        address: topology.node.ipv4,
        port: 8080,
        protocol: 'TCP',
        sourceAddress: '192.0.2.1',
      });
      return { seen, foreign: foreign.errors };
    }),

  failures: () =>
    inLab(async (traffic, topology) => {
      const from = topology.host('client1');
      const closed: Record<string, unknown> = {};
      for (const protocol of STREAM_AND_DATAGRAM) {
        for (const family of FAMILIES) {
          const to = { from, address: topology.node[family], port: 81, protocol, count: 20 };
          closed[`${protocol} ${family}`] = stable(await traffic.connect(to));
        }
      }
      const nowhere = { from, port: 81, protocol: 'TCP', address: '10.96.0.1' } as const;
      // Without a route the node would send the client's packets on to nobody and answer for that.
      execFileSync('ip', ['route', 'add', 'blackhole', '10.96.0.0/12']);
      const startedAtMs = performance.now();
      const silent = stable(await traffic.connect({ ...nowhere, count: 4, timeoutMs: 200 }));
      const silentMs = performance.now() - startedAtMs;
      const oneByOne = { count: 10, concurrency: 1, timeoutMs: 200, overallTimeoutMs: 300 };
      return {
        closed,
        silent,
        isParallel: silentMs < 700,
        cut: stable(await traffic.connect({ ...nowhere, ...oneByOne })),
        unreachable: stable(await traffic.connect({ ...nowhere, address: '203.0.113.1', count: 3 })),
      };
    }),

  keptOpen: () =>
    inLab(async (traffic, topology) => {
      await serveBoth(traffic, topology, ['pod1', 'pod2']);
      const seen: Record<string, unknown> = {};
      for (const protocol of STREAM_AND_DATAGRAM) {
        const to = { from: topology.host('pod2'), address: topology.host('pod1').ipv6, port: 8080, protocol };
        const open = await traffic.open({ ...to, count: 5 });
        const first = await open.echo();
        const second = await open.echo({ concurrency: 1 });
        seen[protocol] = {
          counts: [open.report.counts, first.counts, second.counts],
          isSamePorts: [first, second].every(
            (report) => sourcePorts(report).join() === sourcePorts(open.report).join(),
          ),
          distinctPorts: new Set(sourcePorts(open.report)).size,
        };
        await open.close();
        seen[`${protocol} closed`] = (await outcome(open.echo())).replace(/\d+/, 'N');
      }
      const to = { from: topology.host('pod2'), address: topology.host('pod1').ipv4, port: 8080 };
      const stream = await traffic.open({ ...to, protocol: 'TCP', count: 3 });
      const datagram = await traffic.open({ ...to, protocol: 'UDP', count: 3 });
      await traffic.stop('pod1');
      seen.streamAfterStop = stable(await stream.echo());
      seen.datagramAfterStop = stable(await datagram.echo());
      await traffic.serve([{ at: topology.host('pod1'), name: 'successor', protocol: 'UDP', port: 8080 }]);
      seen.datagramAfterReturn = stable(await datagram.echo()).counts;
      execFileSync('ip', ['route', 'replace', 'blackhole', topology.host('pod1').ipv4]);
      const silent = datagram.echo({ timeoutMs: 300 });
      seen.meanwhile = await outcome(datagram.echo());
      seen.silent = stable(await silent);
      const { ipv4, name } = topology.host('pod1');
      execFileSync('ip', ['route', 'replace', ipv4, 'dev', `veth-${name}`]);
      seen.afterSilence = stable(await datagram.echo()).counts;
      return seen;
    }),

  refusals: () =>
    inLab(async (traffic, topology) => {
      const [pod1] = topology.pods;
      if (pod1 === undefined) throw new Error('no pod1');
      const server = { at: pod1, name: 'pod1', protocol: 'TCP', port: 80 } as const;
      await traffic.serve([server]);
      const client = { from: pod1, address: pod1.ipv4, port: 80, protocol: 'TCP' } as const;
      const gone = { ...pod1, netnsPath: '/run/netns/gone' };
      return {
        sameAgain: await outcome(traffic.serve([server])),
        foreignAddress: await outcome(traffic.serve([{ ...server, address: '192.0.2.1' }])),
        noNamespace: (await outcome(traffic.connect({ ...client, from: gone }))).replace(/ no such.*/, ''),
        badName: await outcome(traffic.serve([{ ...server, name: '' }])),
        badAddress: await outcome(traffic.connect({ ...client, address: 'localhost' })),
        badPort: await outcome(traffic.connect({ ...client, port: 0 })),
        badCount: await outcome(traffic.connect({ ...client, count: 100_001 })),
        badFamily: await outcome(traffic.connect({ ...client, sourceAddress: '::1' })),
        manyWithOnePort: await outcome(traffic.open({ ...client, count: 2, sourcePort: 4711 })),
        unknownServer: await outcome(traffic.stop('nobody')),
        stillWorks: (await traffic.connect(client)).sequence,
      };
    }),

  closing: () =>
    inLab(async (traffic, topology) => {
      const nowhere = { from: topology.node, address: '192.168.50.99', port: 80, protocol: 'UDP' } as const;
      const waiting = outcome(traffic.connect({ ...nowhere, count: 100, timeoutMs: 20_000 }));
      await traffic.close();
      await traffic.close();
      return { waiting: await waiting, later: await outcome(traffic.connect(nowhere)) };
    }),
});
