// kube-proxy's metrics as an agent on the fake kernel makes them: what each event, each sync and each failure adds.

import { describe, expect, it } from 'vitest';
import { gone, NODE, service, slice } from '../../test/agent-events.ts';
import { FakeIpvsKernel } from '../../test/fake-ipvs-kernel.ts';
import { readCase } from '../../test/golden/cases.ts';
import { makeAgent } from '../../test/in-memory-agent.ts';
import { CountedPort } from '../backends/ipvs/counted-port.ts';
import type { FlowCounts } from '../backends/flow-keeper.ts';
import { PointsmanError } from '../model/errors.ts';
import type { Family } from '../model/ip.ts';
import type { ClusterEvent } from '../model/objects.ts';
import { compile } from '../plan/planner.ts';
import { Snapshot } from '../model/snapshot.ts';
import { NoLocalEndpoints } from './no-local-endpoints.ts';
import { ProxyMetrics } from './proxy-metrics.ts';

const START_MS = Date.parse('2026-11-30T12:00:00Z');
const BOTH: readonly Family[] = ['IPv4', 'IPv6'];

/** The slice of a Service, changed so many milliseconds after the start. */
function changed(
  name: string,
  addresses: readonly string[],
  afterMs: number,
  more: object = {},
): ClusterEvent {
  const event = slice(name, addresses);
  if (event.type !== 'apply') throw new Error('no object');
  const time = new Date(START_MS + afterMs).toISOString();
  const metadata = {
    ...event.object.metadata,
    annotations: { 'endpoints.kubernetes.io/last-change-trigger-time': time },
  };
  return { type: 'apply', object: { ...event.object, metadata, ...more } as never };
}

function world(families: readonly Family[] = BOTH) {
  const clock = { ms: 0 };
  const metrics = new ProxyMetrics({
    families,
    now: () => clock.ms,
    wallMs: () => START_MS + clock.ms,
  });
  const kernel = new FakeIpvsKernel();
  const port = new CountedPort(kernel);
  const made = makeAgent(port, { ...NODE, families }, [
    metrics,
    // A sync takes a quarter of a second.
    { onTaken: () => void (clock.ms += 250) },
  ]);
  const flows: FlowCounts = { deleted: () => 3, failures: () => [] };
  /** Lines of a metric: "IPv4 3"; of a histogram "IPv4 COUNT SUM". */
  const lines = (name: string): string[] => {
    const family = metrics.collect({ kernel: port, flows }).find((each) => each.name === `kubeproxy_${name}`);
    if (family === undefined) throw new Error(`no metric ${name}`);
    return family.type === 'histogram'
      ? family.samples.map(({ labels, count, sum }) => [...Object.values(labels), count, sum].join(' '))
      : family.samples.map(({ labels, value }) => [...Object.values(labels), value].join(' '));
  };
  return { ...made, clock, metrics, kernel, lines };
}

const WEB = [service('web', '172.30.0.41'), slice('web', ['10.0.0.1'])];

describe("kube-proxy's metrics", () => {
  it('have no sample of what was not yet', () => {
    const { lines } = world();
    for (const name of [
      'conntrack_reconciler_sync_duration_seconds',
      'network_programming_duration_seconds',
      'proxy_healthz_total',
      'proxy_livez_total',
      'sync_proxy_rules_duration_seconds',
      'sync_proxy_rules_last_queued_timestamp_seconds',
      'sync_proxy_rules_last_timestamp_seconds',
      'sync_proxy_rules_no_local_endpoints_total',
    ])
      expect(lines(name), name).toEqual([]);
    expect(lines('sync_proxy_rules_service_changes_total')).toEqual(['0']);
    expect(lines('conntrack_reconciler_deleted_entries_total')).toEqual(['IPv4 3', 'IPv6 3']);
  });

  it('tell of a sync for each family that is served', async () => {
    const { agent, clock, lines } = world();
    agent.onEvents(WEB);
    clock.ms = 2000;
    agent.setComplete();
    expect(lines('sync_proxy_rules_last_queued_timestamp_seconds')).toEqual([
      `IPv4 ${START_MS / 1000 + 2}`,
      `IPv6 ${START_MS / 1000 + 2}`,
    ]);
    await agent.sync('request');
    expect(lines('sync_proxy_rules_duration_seconds')).toEqual(['IPv4 1 0.25', 'IPv6 1 0.25']);
    expect(lines('sync_proxy_rules_last_timestamp_seconds')).toEqual([
      `IPv4 ${START_MS / 1000 + 2.25}`,
      `IPv6 ${START_MS / 1000 + 2.25}`,
    ]);
  });

  it('tell of no family that is not served', async () => {
    const { agent, lines } = world(['IPv4']);
    agent.onEvents([...WEB, changed('web', ['fd00::1'], 10, { addressType: 'IPv6' })]);
    agent.setComplete();
    await agent.sync('request');
    expect(lines('sync_proxy_rules_duration_seconds')).toEqual(['IPv4 1 0.25']);
    expect(lines('sync_proxy_rules_service_changes_total')).toEqual(['1']);
    expect(lines('sync_proxy_rules_endpoint_changes_total')).toEqual(['1']);
    expect(lines('conntrack_reconciler_deleted_entries_total')).toEqual(['IPv4 3']);
  });

  it('count changes of Services once for each family, of slices once, and what waits until it is programmed', async () => {
    const { agent, lines } = world();
    const counts = (): string[] =>
      [
        'service_changes_total',
        'service_changes_pending',
        'endpoint_changes_total',
        'endpoint_changes_pending',
      ]
        .map((name) => lines(`sync_proxy_rules_${name}`))
        .flat();
    agent.onEvents(WEB);
    expect(counts()).toEqual(['2', '1', '1', '1']);
    // The same again changes nothing that would have to be programmed.
    agent.onEvents(WEB);
    expect(counts()).toEqual(['4', '1', '2', '1']);
    agent.setComplete();
    await agent.sync('request');
    expect(counts()).toEqual(['4', '0', '2', '0']);
    agent.onEvents([
      { type: 'delete', kind: 'EndpointSlice', namespace: 'default', name: 'web-1' },
      gone('web'),
    ]);
    expect(counts()).toEqual(['6', '1', '3', '1']);
    await agent.sync('request');
    expect(counts()).toEqual(['6', '0', '3', '0']);
    agent.onEvents([{ type: 'apply', object: { kind: 'EndpointSlice', addressType: 'FQDN' } }]);
    expect(counts()).toEqual(['6', '0', '3', '0']);
  });

  it('measure from the change of endpoints to the end of the sync that programmed it', async () => {
    const { agent, clock, lines } = world();
    agent.onEvents([service('web', '172.30.0.41'), changed('web', ['10.0.0.1'], -60_000)]);
    agent.setComplete();
    await agent.sync('request');
    // What happened before the agent listened is not its latency.
    expect(lines('network_programming_duration_seconds')).toEqual([]);
    clock.ms = 10_000;
    agent.onEvents([changed('web', ['10.0.0.2'], 9000)]);
    agent.onEvents([changed('web', ['10.0.0.3'], 9500)]);
    // The same endpoints, told anew: nothing is to be programmed.
    agent.onEvents([changed('web', ['10.0.0.3'], 9999)]);
    await agent.sync('request');
    expect(lines('network_programming_duration_seconds')).toEqual(['IPv4 2 2']);
  });

  it('measure nothing of endpoints that went, nor of a Service that went', async () => {
    const { agent, clock, lines } = world();
    agent.onEvents(WEB);
    agent.setComplete();
    await agent.sync('request');
    clock.ms = 10_000;
    agent.onEvents([changed('web', ['10.0.0.2'], 9000)]);
    agent.onEvents([{ type: 'delete', kind: 'EndpointSlice', namespace: 'default', name: 'web-1' }]);
    await agent.sync('request');
    agent.onEvents([changed('web', ['10.0.0.3'], 9100), gone('web')]);
    await agent.sync('request');
    expect(lines('network_programming_duration_seconds')).toEqual([]);
  });

  it('measure no time below 0 where another clock is ahead', async () => {
    const { agent, lines } = world();
    agent.onEvents([service('web', '172.30.0.41'), changed('web', ['10.0.0.1'], 60_000)]);
    agent.setComplete();
    await agent.sync('request');
    expect(lines('network_programming_duration_seconds')).toEqual(['IPv4 1 0']);
  });

  it('go on measuring a Service that fails until it is programmed, and tell no success before', async () => {
    const { agent, clock, kernel, lines } = world();
    kernel.faults.push({ matches: (write) => write.includes('10.0.0.1:8080'), errno: 'ENOMEM', times: 1 });
    agent.onEvents([service('web', '172.30.0.41'), changed('web', ['10.0.0.1'], 500)]);
    agent.setComplete();
    clock.ms = 1000;
    expect((await agent.sync('request')).needsRetry).toBe(true);
    expect(lines('network_programming_duration_seconds')).toEqual([]);
    expect(lines('sync_proxy_rules_last_timestamp_seconds')).toEqual([]);
    clock.ms = 5500;
    expect((await agent.sync('retry')).needsRetry).toBe(false);
    expect(lines('network_programming_duration_seconds')).toEqual(['IPv4 1 5']);
    expect(lines('sync_proxy_rules_last_timestamp_seconds')[0]).toBe(`IPv4 ${START_MS / 1000 + 5.5}`);
    // Nothing to do is no sync that took time, and all is still in the kernel.
    clock.ms = 6000;
    await agent.sync('request');
    expect(lines('sync_proxy_rules_duration_seconds')[0]).toMatch(/^IPv4 2 /);
    expect(lines('sync_proxy_rules_last_timestamp_seconds')[0]).toBe(`IPv4 ${START_MS / 1000 + 6}`);
  });

  it('measure a Service that verification put right between two syncs', async () => {
    const { agent, backend, clock, kernel, lines } = world();
    kernel.faults.push({ matches: (write) => write.includes('10.0.0.1:8080'), errno: 'ENOMEM', times: 1 });
    agent.onEvents([service('web', '172.30.0.41'), changed('web', ['10.0.0.1'], 500)]);
    agent.setComplete();
    await agent.sync('request');
    clock.ms = 2500;
    agent.noteReport(backend.currentReport());
    expect(lines('network_programming_duration_seconds')).toEqual([]);
    agent.noteReport({ ...backend.currentReport(), failed: [] });
    expect(lines('network_programming_duration_seconds')).toEqual(['IPv4 1 2']);
  });

  it('keep everything waiting when a sync is given up, and count how long it took', async () => {
    const { agent, kernel, clock, lines } = world();
    const services = kernel.services.bind(kernel);
    kernel.services = () => Promise.reject(new PointsmanError('KERNEL_TIMEOUT', 'no answer'));
    agent.onEvents([service('web', '172.30.0.41'), changed('web', ['10.0.0.1'], 500)]);
    agent.setComplete();
    clock.ms = 1000;
    await agent.sync('request');
    expect(lines('sync_proxy_rules_duration_seconds')).toEqual(['IPv4 1 0.25', 'IPv6 1 0.25']);
    expect(lines('sync_proxy_rules_last_timestamp_seconds')).toEqual([]);
    expect(lines('sync_proxy_rules_service_changes_pending')).toEqual(['1']);
    expect(lines('sync_proxy_rules_endpoint_changes_pending')).toEqual(['1']);
    kernel.services = services;
    clock.ms = 2250;
    await agent.sync('retry');
    expect(lines('sync_proxy_rules_service_changes_pending')).toEqual(['0']);
    expect(lines('sync_proxy_rules_endpoint_changes_pending')).toEqual(['0']);
    expect(lines('network_programming_duration_seconds')).toEqual(['IPv4 1 2']);
  });

  it('count failed restores of rules by family', async () => {
    const { agent, kernel, lines } = world();
    const restore = kernel.restoreRules.bind(kernel);
    kernel.restoreRules = (family, text) =>
      family === 'IPv6'
        ? Promise.reject(new PointsmanError('TOOL_FAILED', 'line 3 failed'))
        : restore(family, text);
    agent.onEvents(WEB);
    agent.setComplete();
    await agent.sync('request');
    const [ipv4, ipv6] = lines('sync_proxy_rules_iptables_restore_failures_total');
    expect(ipv4).toBe('IPv4 0');
    expect(ipv6).toMatch(/^IPv6 [1-9]/);
  });

  it('count answers of the health server by code, and passes over flows by family', () => {
    const { lines, metrics } = world();
    for (const code of [200, 503, 200]) metrics.onHealthAnswer('/healthz', code);
    metrics.onHealthAnswer('/livez', 200);
    metrics.onFlowPass({ family: 'IPv6', deleted: 0, durationMs: 20 });
    expect(lines('proxy_healthz_total')).toEqual(['200 2', '503 1']);
    expect(lines('proxy_livez_total')).toEqual(['200 1']);
    expect(lines('conntrack_reconciler_sync_duration_seconds')).toEqual(['IPv6 1 0.02']);
  });
});

describe('Services without endpoints on this node', () => {
  const counts = (noLocal: NoLocalEndpoints): number[] =>
    BOTH.flatMap((family) => [noLocal.count('external', family), noLocal.count('internal', family)]);

  // What kube-proxy 1.36 answered in these very cases (external and internal of IPv4, then of IPv6), and where none was recorded, what
  // its rules say.
  it.each([
    ['02-nodeport-lb-local', [0, 1, 0, 0]],
    ['star-29-no-endpoints', [0, 0, 0, 0]],
  ])('are counted as in %s', (name, expected) => {
    const { nodeOptions, stages } = readCase(name);
    const snapshot = new Snapshot();
    for (const event of stages[0]?.events ?? []) snapshot.apply(event);
    const noLocal = new NoLocalEndpoints();
    noLocal.note(compile(snapshot, nodeOptions(snapshot)).services);
    expect(counts(noLocal)).toEqual(expected);
  });

  it.each<[string, object, readonly string[], number[]]>([
    ['internal Local with endpoints here', { internalTrafficPolicy: 'Local' }, ['node1'], [0, 0]],
    ['internal Local with none here', { internalTrafficPolicy: 'Local' }, ['node2'], [0, 1]],
    ['internal Local with none anywhere', { internalTrafficPolicy: 'Local' }, [], [0, 0]],
    ['external Local of a NodePort', { externalTrafficPolicy: 'Local', type: 'NodePort' }, ['node2'], [1, 0]],
    ['external Local that is here', { externalTrafficPolicy: 'Local', type: 'NodePort' }, ['node1'], [0, 0]],
    ['external Local that nobody outside reaches', { externalTrafficPolicy: 'Local' }, ['node2'], [0, 0]],
    [
      'both',
      { externalTrafficPolicy: 'Local', internalTrafficPolicy: 'Local', type: 'NodePort' },
      ['node2'],
      [1, 1],
    ],
  ])('count %s', async (_, spec, nodes, expected) => {
    const { agent, lines } = world(['IPv4']);
    const ports = [{ port: 80, protocol: 'TCP', ...('type' in spec ? { nodePort: 30080 } : {}) }];
    const endpoints = nodes.map((nodeName) => ({
      addresses: ['10.0.0.1'],
      nodeName,
      conditions: { ready: true },
    }));
    agent.onEvents([
      service('web', '172.30.0.41', { ...spec, ports }),
      changed('web', [], 0, { endpoints }),
      service('plain', '172.30.0.42'),
    ]);
    agent.setComplete();
    await agent.sync('request');
    expect(lines('sync_proxy_rules_no_local_endpoints_total')).toEqual([
      `IPv4 external ${expected[0]}`,
      `IPv4 internal ${expected[1]}`,
    ]);
    agent.onEvents([gone('web')]);
    await agent.sync('request');
    expect(lines('sync_proxy_rules_no_local_endpoints_total')).toEqual([
      'IPv4 external 0',
      'IPv4 internal 0',
    ]);
  });
});
