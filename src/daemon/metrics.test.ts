// Metrics from facts: names and labels as documented, bounded whatever fails, and nothing that is refused is missing.

import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FakeIpvsKernel } from '../../test/fake-ipvs-kernel.ts';
import { startAgent } from '../../test/in-memory-agent.ts';
import { makeCollector } from '../../test/metrics-world.ts';
import { PLAIN_NODE } from '../../test/nodes.ts';
import { CountedPort, KERNEL_WRITES, type KernelCounts } from '../backends/ipvs/counted-port.ts';
import type { FlowCounts } from '../backends/flow-keeper.ts';
import type { FailedOperation } from '../backends/ipvs/failures.ts';
import { REPAIR_KINDS } from '../backends/ipvs/repairs.ts';
import type { ClusterEvent } from '../model/objects.ts';
import { agentMetrics, MAX_FAILED_OBJECTS, MAX_FAILED_PAIRS, type MetricSources } from './metrics.ts';
import type { ValueFamily } from './metric-families.ts';
import type { ReflectorStatus } from '../cluster/reflector.ts';
import type { FactsStatus } from './facts.ts';
import { collectFacts, type AgentFacts } from './status.ts';

const NO_COUNTS: KernelCounts = { writes: () => 0, failures: () => [], restoreFailures: () => 0 };
const FACTS: AgentFacts = {
  node: 'node1',
  mode: 'ipvs',
  scheduler: 'rr',
  syncs: 3,
  isSynced: true,
  lastSync: { operations: 12, durationMs: 250, failedServices: [] },
  lastError: '',
  plannedServices: 7,
  pendingServices: 0,
  draining: { servers: [], ended: { drained: 0, deadline: 0, returned: 0, gone: 0 } },
  foreignVirtualServers: [],
  failedOperations: [],
  leftovers: [],
  repairs: {
    total: 0,
    byKind: Object.fromEntries(REPAIR_KINDS.map((kind) => [kind, 0])) as AgentFacts['repairs']['byKind'],
    last: [],
  },
};
const failed = (object: string, more: Partial<FailedOperation> = {}): FailedOperation => ({
  service: 'default/web' as FailedOperation['service'],
  isRemoval: false,
  object,
  operation: 'NEW_DEST',
  errno: 12,
  errnoName: 'ENOMEM',
  message: 'it was refused',
  ...more,
});

const KIND: ReflectorStatus = {
  ...{ state: 'watching', sinceMs: 0, resourceVersion: '1', isComplete: true, lastError: '', watches: 1 },
  ...{ skipped: 0, lastSkipped: '', requests: 5, lists: 2, backoffs: 3, objects: 7 },
};
/** An API server that was read and is away. */
const FOLLOWED: FactsStatus = {
  ...{ from: 'k', isComplete: true, trouble: 'it is away', recording: null },
  kinds: { Service: KIND, EndpointSlice: { ...KIND, objects: 8 }, Node: KIND },
};

function metrics(facts: Partial<AgentFacts> = {}, more: Partial<MetricSources> = {}): ValueFamily[] {
  return agentMetrics({
    facts: { ...FACTS, ...facts },
    verification: null,
    kernel: NO_COUNTS,
    flows: null,
    source: null,
    ...more,
  });
}

/** Lines of one family: "ENOMEM NEW_DEST 2", labels in the order of their names. */
function samples(families: readonly ValueFamily[], name: string): string[] {
  const family = families.find((each) => each.name === `pointsman_${name}`);
  if (family === undefined) throw new Error(`no metric ${name}`);
  return family.samples.map(({ labels, value }) =>
    [
      ...Object.keys(labels)
        .sort()
        .map((label) => labels[label]),
      value,
    ].join(' '),
  );
}

describe('the metrics of an agent', () => {
  it.each<[string, Partial<AgentFacts>, string, string[]]>([
    ['that everything is programmed', {}, 'synced', ['1']],
    ['that something is not', { isSynced: false }, 'synced', ['0']],
    ['how many syncs there were', {}, 'syncs_total', ['3']],
    ['how long the last sync took, in seconds', {}, 'last_sync_duration_seconds', ['0.25']],
    ['nothing of a sync that was not', { lastSync: null }, 'last_sync_duration_seconds', []],
    ['no failed Services before the first sync', { lastSync: null }, 'failed_services', ['0']],
    ['how many Services there are', {}, 'services', ['7']],
    ['how many wait', { pendingServices: 4 }, 'pending_services', ['4']],
    [
      'how many failed',
      { lastSync: { operations: 1, durationMs: 1, failedServices: ['a/b', 'a/c'] } },
      'failed_services',
      ['2'],
    ],
    ['what is left over', { leftovers: ['TCP 10.96.0.1:80'] }, 'leftover_objects', ['1']],
    ['what others made', { foreignVirtualServers: ['TCP 1.2.3.4:5'] }, 'foreign_virtual_servers', ['1']],
    ['no failed operation as no sample', {}, 'failed_operations', []],
    [
      'repairs of every kind, also of those that there were none of',
      { repairs: { ...FACTS.repairs, total: 2, byKind: { ...FACTS.repairs.byKind, member: 2 } } },
      'repairs_total',
      REPAIR_KINDS.map((kind) => `${kind} ${kind === 'member' ? 2 : 0}`),
    ],
    ['no comparison where nothing is verified', {}, 'verification_cycles_total', []],
  ])('say %s', (_, facts, name, expected) => {
    expect(samples(metrics(facts), name)).toEqual(expected);
  });

  it.each([
    ['verification_cycles_total', null, ['2']],
    ['verification_last_cycle_seconds', null, []],
    ['verification_last_cycle_work_seconds', null, []],
    ['verification_last_cycle_seconds', { durationMs: 480_000, workMs: 1250 }, ['480']],
    ['verification_last_cycle_work_seconds', { durationMs: 480_000, workMs: 1250 }, ['1.25']],
  ] as const)('have %s when the last comparison is %j', (name, lastCycle, expected) => {
    const verification = { cycles: 2, slice: 1, slices: 9, lastCycle, lastError: '' };
    expect(samples(metrics({}, { verification }), name)).toEqual(expected);
  });

  it('tells how the source of facts fares, by kind, and nothing where none is followed', () => {
    const families = metrics({}, { source: FOLLOWED });
    expect(samples(families, 'facts_complete')).toEqual(['1']);
    expect(samples(families, 'facts_followed')).toEqual(['0']);
    expect(samples(families, 'api_objects').sort()).toEqual(['EndpointSlice 8', 'Node 7', 'Service 7']);
    expect(samples(families, 'api_requests_total')[0]).toBe('Service 5');
    expect(samples(families, 'api_lists_total')[0]).toBe('Service 2');
    expect(samples(families, 'api_backoffs_total')[0]).toBe('Service 3');
    expect(metrics().map(({ name }) => name)).not.toContain('pointsman_facts_complete');
  });

  it('count what is refused by operation and errno, and name the objects, each once', () => {
    const families = metrics({
      failedOperations: [
        failed('rules IPv4', { service: null, operation: '', errno: 0, errnoName: 'TOOL_FAILED' }),
        failed('TCP 10.96.0.1:80'),
        failed('TCP 10.96.0.2:80'),
        failed('198.51.100.1', { operation: 'address add', errnoName: 'ENOBUFS' }),
        failed('198.51.100.1', {
          operation: 'address add',
          errnoName: 'ENOBUFS',
          service: 'default/api' as FailedOperation['service'],
        }),
        failed('TCP 10.96.0.1:80', { operation: 'SET_SERVICE', errnoName: '' }),
      ],
    });
    expect(samples(families, 'failed_operations')).toEqual([
      'TOOL_FAILED unknown 1',
      'ENOMEM NEW_DEST 2',
      'ENOBUFS address add 1',
      'unknown SET_SERVICE 1',
    ]);
    expect(samples(families, 'failed_operation_info')).toEqual([
      'TOOL_FAILED rules IPv4 unknown 1',
      'ENOMEM TCP 10.96.0.1:80 NEW_DEST 1',
      'ENOMEM TCP 10.96.0.2:80 NEW_DEST 1',
      'ENOBUFS 198.51.100.1 address add 1',
      'unknown TCP 10.96.0.1:80 SET_SERVICE 1',
    ]);
  });

  it('stay few, with every failed operation counted, however many fail in however many ways', () => {
    const failedOperations = Array.from({ length: 10_000 }, (_, i) =>
      failed(`TCP 10.96.${i >> 8}.${i & 255}:80`, { errnoName: `E${i % 500}` }),
    );
    const families = metrics({ failedOperations });
    const info = samples(families, 'failed_operation_info');
    const byPair = samples(families, 'failed_operations');
    expect(info).toHaveLength(MAX_FAILED_OBJECTS);
    expect(byPair).toHaveLength(MAX_FAILED_PAIRS + 1);
    expect(byPair.at(-1)).toMatch(/^other other /);
    expect(byPair.map((line) => Number(line.split(' ').at(-1))).reduce((a, b) => a + b)).toBe(10_000);
  });

  it('have every write that is counted, and its failures', () => {
    const kernel: KernelCounts = {
      writes: (operation) => KERNEL_WRITES.indexOf(operation) + 1,
      failures: () => [{ operation: 'read', errno: 'KERNEL_TIMEOUT', count: 5 }],
      restoreFailures: () => 0,
    };
    const families = metrics({}, { kernel });
    expect(samples(families, 'kernel_operations_total')).toEqual(
      KERNEL_WRITES.map((operation, i) => `${operation} ${i + 1}`),
    );
    expect(samples(families, 'kernel_failures_total')).toEqual(['KERNEL_TIMEOUT read 5']);
  });

  it('have the plain numbers of what stands around the agent, where there are any', () => {
    const counts = {
      configReloads: { ok: 2, refused: 1 },
      healthCheckListeners: { open: 3, failed: 1 },
      events: { written: 4, dropped: 5, failed: 0 },
    };
    const families = metrics({}, { counts });
    expect(samples(families, 'config_reloads_total')).toEqual(['ok 2', 'refused 1']);
    expect(samples(families, 'health_check_listeners')).toEqual(['open 3', 'failed 1']);
    expect(samples(families, 'events_total')).toEqual(['written 4', 'dropped 5', 'failed 0']);
    for (const name of ['config_reloads_total', 'health_check_listeners', 'events_total'])
      expect(samples(metrics(), name), name).toEqual([]);
  });

  it('have nothing of flows where nobody looks after them', () => {
    expect(samples(metrics(), 'conntrack_entries_deleted_total')).toEqual([]);
    expect(samples(metrics(), 'conntrack_failures_total')).toEqual([]);
  });

  it('have the flows that were deleted by family, and failures by errno', () => {
    const flows: FlowCounts = {
      deleted: (family) => (family === 'IPv4' ? 7 : 0),
      failures: () => [{ errno: 'EPERM', count: 2 }],
    };
    const families = metrics({}, { flows });
    expect(samples(families, 'conntrack_entries_deleted_total')).toEqual(['IPv4 7', 'IPv6 0']);
    expect(samples(families, 'conntrack_failures_total')).toEqual(['EPERM 2']);
  });

  it('follow an agent whose kernel refuses something, until it does not', async () => {
    const kernel = new FakeIpvsKernel();
    kernel.faults.push({ matches: (write) => write.includes('10.244.1.5:8080'), errno: 'ENOMEM', times: 1 });
    const port = new CountedPort(kernel);
    const { agent, backend } = startAgent(port, { ...PLAIN_NODE, families: ['IPv4'] }, EVENTS);
    const collect = (): ValueFamily[] =>
      agentMetrics({
        facts: collectFacts(agent, backend),
        verification: null,
        kernel: port,
        flows: null,
        source: null,
      });
    expect(samples(collect(), 'pending_services')).toEqual(['1']);
    await agent.sync('request');
    const refused = collect();
    expect(samples(refused, 'synced')).toEqual(['0']);
    expect(samples(refused, 'services')).toEqual(['1']);
    expect(samples(refused, 'failed_services')).toEqual(['1']);
    expect(samples(refused, 'failed_operations')).toEqual(['ENOMEM NEW_DEST 1']);
    expect(samples(refused, 'failed_operation_info')).toEqual(['ENOMEM TCP 10.96.0.1:80 NEW_DEST 1']);
    expect(samples(refused, 'kernel_failures_total')).toEqual(['ENOMEM NEW_DEST 1']);
    await agent.sync('retry');
    const clean = collect();
    expect(samples(clean, 'synced')).toEqual(['1']);
    expect(samples(clean, 'failed_services')).toEqual(['0']);
    expect(samples(clean, 'failed_operations')).toEqual([]);
    expect(samples(clean, 'kernel_failures_total')).toEqual(['ENOMEM NEW_DEST 1']);
    expect(samples(clean, 'kernel_operations_total')).toContain('NEW_DEST 2');
  });
});

describe('the names of the metrics', async () => {
  const all = await (await makeCollector()).collect();
  const families = all.filter(({ name }) => name.startsWith('pointsman_'));

  it('keep to the conventions: counters, and only they, end in _total; each is there once', () => {
    for (const { name, type, help } of families) {
      expect(name).toMatch(/^pointsman_[a-z_]+$/);
      expect(name.endsWith('_total')).toBe(type === 'counter');
      expect(help).toMatch(/^[A-Z0-9][^\n]*\.$/);
    }
    expect(new Set(families.map(({ name }) => name)).size).toBe(families.length);
  });

  it('stand in docs/metrics.md, with their types and labels, and no others', () => {
    const text = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
    const documented = [...text.matchAll(/^\| `(pointsman_\w+)` \| (\w+) \|([^|]*)\|/gm)].map(
      ([, name, type, labels = '']) =>
        `${name} ${type} ${[...labels.matchAll(/`(\w+)`/g)].map(([, label]) => label).join(',')}`,
    );
    const made = families.map(
      ({ name, type, samples: [sample] }) => `${name} ${type} ${Object.keys(sample?.labels ?? {}).join(',')}`,
    );
    expect(documented.sort()).toEqual(made.sort());
  });

  it('have every operation and every kind of repair in docs/metrics.md', () => {
    const text = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
    const missing = [...KERNEL_WRITES, ...REPAIR_KINDS, 'ipvs_batch', 'read'].filter(
      (word) => !text.includes(`\`${word}\``),
    );
    expect(missing).toEqual([]);
  });
});

const EVENTS: readonly ClusterEvent[] = [
  {
    kind: 'Service',
    metadata: { namespace: 'default', name: 'web' },
    spec: { clusterIP: '10.96.0.1', ports: [{ port: 80 }] },
  },
  {
    kind: 'EndpointSlice',
    metadata: { namespace: 'default', name: 'web', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: [{ port: 8080, protocol: 'TCP' }],
    endpoints: [{ addresses: ['10.244.1.5'], conditions: { ready: true } }],
  },
].map((object): ClusterEvent => ({ type: 'apply', object }) as never);
