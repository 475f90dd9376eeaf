// A collector of metrics of which every family has a sample: an agent on the fake kernel that has synced, failed and drained, a client that
// was answered and refused, and traffic of Services. For tests of what is written, and of what others read of it.

import { CountedPort } from '../src/backends/ipvs/counted-port.ts';
import type { ReflectorStatus } from '../src/cluster/reflector.ts';
import { MetricsCollector } from '../src/daemon/metrics-collector.ts';
import type { MetricSources } from '../src/daemon/metrics.ts';
import { ServiceTraffic } from '../src/daemon/service-traffic.ts';
import { collectFacts } from '../src/daemon/status.ts';
import type { Family } from '../src/model/ip.ts';
import type { ServiceKey } from '../src/model/names.ts';
import type { ClusterEvent } from '../src/model/objects.ts';
import { gone, NODE, service, slice } from './agent-events.ts';
import { FakeIpvsKernel } from './fake-ipvs-kernel.ts';
import { makeAgent } from './in-memory-agent.ts';

const FAMILIES: readonly Family[] = ['IPv4', 'IPv6'];
const START_MS = Date.parse('2026-11-30T12:00:00Z');

/** How the reading of each kind of object fares. */
const KIND: ReflectorStatus = {
  ...{ state: 'watching', sinceMs: 0, resourceVersion: '1', isComplete: true, lastError: '', watches: 1 },
  ...{ skipped: 0, lastSkipped: '', requests: 5, lists: 2, backoffs: 3, objects: 7 },
};

/** A slice of the Service that changed a second after the agent began to listen. */
function changedSlice(name: string, addresses: readonly string[]): ClusterEvent {
  const event = slice(name, addresses);
  if (event.type !== 'apply') throw new Error('no object');
  const time = new Date(START_MS + 1000).toISOString();
  const metadata = {
    ...event.object.metadata,
    annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': time },
  };
  return { type: 'apply', object: { ...event.object, metadata } as never };
}

/** The collector, after all that. `serviceTraffic` as in the configuration. */
export async function makeCollector(
  events: readonly ClusterEvent[] = [],
  serviceTraffic = { isOn: true, maxServices: 1000 },
): Promise<MetricsCollector> {
  const kernel = new FakeIpvsKernel();
  const port = new CountedPort(kernel);
  const clock = { ms: 0 };
  const now = (): number => clock.ms;
  const traffic = new ServiceTraffic({
    settings: () => serviceTraffic,
    serviceKeys: () => agent.serviceKeys(),
    virtualServersOf: (key: ServiceKey) => backend.virtualServersOf(key),
    readPieces: async function* () {},
    hasCounters: () => true,
    isSyncing: () => false,
    pace: () => Promise.resolve(),
    now,
    onError: (message) => {
      throw new Error(message);
    },
  });
  const sources = (): MetricSources => ({
    facts: collectFacts(agent, backend),
    verification: {
      ...{ cycles: 1, slice: 0, slices: 1, lastError: '' },
      lastCycle: { durationMs: 1000, workMs: 10 },
    },
    kernel: port,
    flows: { deleted: () => 1, failures: () => [{ errno: 'EPERM', count: 1 }] },
    source: {
      ...{ from: 'a test', isComplete: true, trouble: '', recording: null },
      kinds: { Service: KIND, EndpointSlice: KIND, Node: KIND },
    },
    counts: {
      configReloads: { ok: 2, refused: 1 },
      healthCheckListeners: { open: 3, failed: 0 },
      events: { written: 4, dropped: 0, failed: 0 },
    },
  });
  const collector = new MetricsCollector({
    families: FAMILIES,
    now,
    wallMs: () => START_MS + clock.ms,
    sources,
    featureGates: () => ({}),
    traffic,
  });
  const { agent, backend } = makeAgent(port, NODE, [collector.proxy]);

  agent.onEvents([service('web', '172.30.0.41'), changedSlice('web', ['10.0.0.1']), ...events]);
  clock.ms = 2500;
  agent.setComplete();
  await agent.sync('request');
  kernel.faults.push({ matches: (write) => write.includes('10.0.0.9'), errno: 'ENOMEM', times: 1 });
  agent.onEvents([
    service('bad', '172.30.0.49'),
    slice('bad', ['10.0.0.9']),
    service('old', '172.30.0.48'),
    gone('old'),
  ]);
  await agent.sync('request');
  for (const family of FAMILIES) collector.proxy.onFlowPass({ family, deleted: 0, durationMs: 12 });
  for (const path of ['/healthz', '/livez'] as const)
    for (const code of [200, 503]) collector.proxy.onHealthAnswer(path, code);
  tellRequests(collector);
  return collector;
}

function tellRequests({ restClient }: MetricsCollector): void {
  const host = '127.0.0.1:6443';
  for (const [method, status] of [
    ['GET', 200],
    ['POST', 201],
    ['POST', null],
  ] as const) {
    const request = { path: '/api', query: {}, acceptsGzip: false, method };
    restClient.onTurn(request, 0.07);
    restClient.onAnswer(request, host, status);
    restClient.onEnd(request, host, { durationMs: 130, requestBytes: 260, responseBytes: 511 });
  }
}
