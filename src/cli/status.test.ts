// The text of `pointsman status`: what a person sees, to the byte, and nothing where there is nothing to say.

import { describe, expect, it } from 'vitest';
import type { FailedOperation } from '../backends/ipvs/failures.ts';
import { REPAIR_KINDS, type Repair } from '../backends/ipvs/repairs.ts';
import type { AgentStatus, VirtualServerStatus } from '../daemon/status.ts';
import { formatStatus } from './status.ts';

const SYNCED: AgentStatus = {
  node: 'node1',
  mode: 'ipvs',
  scheduler: 'rr',
  syncs: 3,
  isSynced: true,
  lastSync: { operations: 12, durationMs: 3.456, failedServices: [] },
  lastError: '',
  plannedServices: 0,
  pendingServices: 0,
  services: [],
  draining: { servers: [], ended: { drained: 0, deadline: 0, returned: 0, gone: 0 } },
  foreignVirtualServers: [],
  failedOperations: [],
  leftovers: [],
  repairs: repairs([], 0),
  verification: null,
  takeOver: null,
  facts: null,
  awaited: '',
  health: [],
  kernel: { switches: [], error: '' },
  problems: [],
};

/** `total` repairs of set members, of which `last` are remembered. */
function repairs(last: readonly Repair[], total: number): AgentStatus['repairs'] {
  const byKind = Object.fromEntries(REPAIR_KINDS.map((kind) => [kind, kind === 'member' ? total : 0]));
  return { total, byKind: byKind as AgentStatus['repairs']['byKind'], last };
}

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
const ofNode = failed('rules IPv4', { service: null, operation: '', errno: 0, errnoName: 'TOOL_FAILED' });
const repaired = (n: number): Repair => ({
  kind: 'member',
  object: `KUBE-CLUSTER-IP 10.96.0.${n},tcp:80`,
  what: 'was missing',
});
const progress = { cycles: 0, slice: 0, slices: 40, lastCycle: null, lastError: '' };

/** The text between the table and the problems. */
function sections(change: Partial<AgentStatus>): string {
  const text = formatStatus({ ...SYNCED, ...change });
  return text.slice(text.indexOf('STATE\n') + 'STATE\n'.length, text.indexOf('\nNo problems.'));
}

const server = (
  address: string,
  state: 'serving' | 'missing' | 'extra' = 'serving',
  activeConnections = 0,
) => ({
  address,
  weight: 1,
  activeConnections,
  inactiveConnections: 2,
  state,
});
const virtualServer = (address: string, more: Partial<VirtualServerStatus> = {}): VirtualServerStatus => ({
  protocol: 'TCP',
  address,
  scheduler: 'rr',
  schedulerFlags: [],
  affinitySeconds: 0,
  realServers: [],
  ...more,
});

describe('the status as text', () => {
  it('has a line for each real server, with its names only where they change', () => {
    const text = formatStatus({
      ...SYNCED,
      services: [
        {
          service: 'default/web',
          virtualServers: [
            virtualServer('10.96.0.1:80', {
              realServers: [server('10.244.1.5:8080', 'serving', 7), server('10.244.2.5:8080', 'missing')],
            }),
            virtualServer('[fd00::1]:80', {
              scheduler: 'sh',
              schedulerFlags: ['flag-2'],
              affinitySeconds: 60,
              realServers: [server('[fd01::5]:8080', 'extra')],
            }),
          ],
        },
        { service: 'default/empty', virtualServers: [virtualServer('10.96.0.2:80')] },
        { service: 'default/headless', virtualServers: [] },
      ],
    });
    expect(text)
      .toBe(`Node node1, mode ipvs, scheduler rr, 3 Services: synced; last sync 12 operations in 3.5 ms

SERVICE           VIRTUAL SERVER    SCHEDULER                REAL SERVER                      WEIGHT  ACTIVE  INACTIVE  STATE
default/web       TCP 10.96.0.1:80  rr                       10.244.1.5:8080                  1       7       2         serving
                                                             10.244.2.5:8080                  1       0       2         missing
                  TCP [fd00::1]:80  sh flag-2 persistent 60  [fd01::5]:8080                   1       0       2         extra
default/empty     TCP 10.96.0.2:80  rr                       (none: connections are refused)
default/headless  -

No problems.
`);
  });

  it.each([
    [
      'waiting',
      'a kube-proxy runs here',
      'goes when all of ours was compared and is right: a kube-proxy runs here\n  12 jumps',
    ],
    ['waiting', '', 'goes when all of ours was compared and is right\n  12 jumps'],
    ['failed', 'ENOMEM', 'could not be removed, and is tried again: ENOMEM\n  12 jumps'],
  ] as const)('says what is to be taken over, %s (%s)', (state, reason, words) => {
    const text = formatStatus({ ...SYNCED, takeOver: { state, what: ['12 jumps'], reason } });
    expect(text).toContain(`What a kube-proxy of another mode left ${words}\n`);
  });

  it.each(['none', 'done'] as const)('says nothing of a take-over that is %s', (state) => {
    const text = formatStatus({ ...SYNCED, takeOver: { state, what: ['12 jumps'], reason: '' } });
    expect(text).toBe(formatStatus(SYNCED));
  });

  it('shows problems and what others made', () => {
    const text = formatStatus({
      ...SYNCED,
      foreignVirtualServers: ['TCP 192.0.2.1:80'],
      problems: [
        {
          object: 'Service default/web',
          field: 'spec.clusterIP',
          reason: 'InvalidField',
          message: 'is wrong',
          remedy: 'correct it',
        },
      ],
    });
    expect(text)
      .toBe(`Node node1, mode ipvs, scheduler rr, no Services: synced; last sync 12 operations in 3.5 ms

SERVICE  VIRTUAL SERVER  SCHEDULER  REAL SERVER  WEIGHT  ACTIVE  INACTIVE  STATE

Virtual servers that others made (left alone):
  TCP 192.0.2.1:80

Problems:
  Service default/web: spec.clusterIP: is wrong; correct it
`);
  });

  it.each<[string, Partial<AgentStatus>, string]>([
    ['before the first sync', { lastSync: null }, 'no Services: not synced (first sync not done)'],
    [
      'while a Service failed',
      { lastSync: { operations: 1, durationMs: 1, failedServices: ['a/b'] }, pendingServices: 2 },
      'no Services: not synced (1 failed Service, 2 pending); last sync 1 operation in 1.0 ms',
    ],
    [
      'while something is left over and rules fail',
      { leftovers: ['10.96.0.9'], failedOperations: [ofNode, failed('TCP 10.96.0.1:80')] },
      'no Services: not synced (no failed Services, 0 pending, 1 left over, 1 failure of the node); last sync 12 operations in 3.5 ms',
    ],
    [
      'after an error',
      { lastSync: null, lastError: 'iptables-restore failed' },
      'no Services: not synced: iptables-restore failed',
    ],
  ])('says %s that it is not synced', (_, change, expected) => {
    expect(formatStatus({ ...SYNCED, isSynced: false, ...change }).split('\n')[0]).toBe(
      `Node node1, mode ipvs, scheduler rr, ${expected}`,
    );
  });

  it.each<[string, Partial<AgentStatus>, string]>([
    ['nothing where there is nothing to say', {}, ''],
    [
      'that verification fails, also before it got anywhere',
      { verification: { ...progress, lastError: 'GET_SERVICE: EIO (errno 5)' } },
      `
Verification fails at present: GET_SERVICE: EIO (errno 5)
`,
    ],
    ['nothing of a verification that has not begun', { verification: progress }, ''],
    [
      'nothing of kernel switches that are as wanted, left as they are, or not there',
      {
        kernel: {
          error: '',
          switches: [
            { path: 'net/ipv4/ip_forward', value: '1', wanted: '1', why: 'a' },
            { path: 'net/ipv4/vs/conn_reuse_mode', value: '1', wanted: null, why: 'b' },
            { path: 'net/ipv4/vs/run_estimation', value: null, wanted: '1', why: 'c' },
          ],
        },
      },
      '',
    ],
    [
      'failed operations with object, operation, errno and Service',
      {
        failedOperations: [
          ofNode,
          failed('TCP 10.96.0.1:80'),
          failed('KUBE-CLUSTER-IP 10.96.0.1,tcp:80', {
            operation: 'ipset add',
            errno: 4352,
            errnoName: 'IPSET_ERR_HASH_FULL',
          }),
        ],
      },
      `
Failed operations (tried again by themselves):
  OBJECT                            OPERATION  ERRNO                       SERVICE
  rules IPv4                        -          TOOL_FAILED                 (the node)
  TCP 10.96.0.1:80                  NEW_DEST   ENOMEM (12)                 default/web
  KUBE-CLUSTER-IP 10.96.0.1,tcp:80  ipset add  IPSET_ERR_HASH_FULL (4352)  default/web
`,
    ],
    [
      'what is left over',
      { leftovers: ['10.96.0.9', 'TCP 10.96.0.9:80'] },
      `
Left over (wanted by no Service and not removable yet; tried again):
  10.96.0.9
  TCP 10.96.0.9:80
`,
    ],
    [
      'a kernel switch that is not as wanted',
      {
        kernel: {
          error: '',
          switches: [
            { path: 'net/ipv4/ip_forward', value: '0', wanted: '1', why: 'packets are forwarded' },
            { path: 'net/ipv4/vs/conntrack', value: '1', wanted: '1', why: 'a' },
          ],
        },
      },
      `
Kernel switches that are not as wanted:
  net/ipv4/ip_forward is 0, wanted 1: packets are forwarded
`,
    ],
    [
      'that kernel switches cannot be read',
      { kernel: { switches: [], error: 'read /proc/sys/net/ipv4/ip_forward: EIO (errno 5)' } },
      `
Kernel switches cannot be read: read /proc/sys/net/ipv4/ip_forward: EIO (errno 5)
`,
    ],
    [
      'what was put right',
      { repairs: repairs([repaired(1)], 1) },
      `
Put right after somebody else changed it: 1 set member:
  KUBE-CLUSTER-IP 10.96.0.1,tcp:80 was missing
`,
    ],
    [
      'the last of many that were put right',
      {
        repairs: {
          total: 1240,
          byKind: { ...repairs([], 1234).byKind, virtualServer: 1, address: 5 },
          last: Array.from({ length: 20 }, (_, n) => repaired(n)),
        },
      },
      `
Put right after somebody else changed it: 1 virtual server, 1,234 set members, 5 addresses; the last ones:
${[15, 16, 17, 18, 19].map((n) => `  KUBE-CLUSTER-IP 10.96.0.${n},tcp:80 was missing\n`).join('')}`,
    ],
    [
      'the first comparison',
      { verification: { ...progress, slice: 12 } },
      `
Verification: no complete comparisons with the kernel; 12 of about 40 slices of the first
`,
    ],
    [
      'a comparison that needs more slices than it seemed',
      { verification: { ...progress, slice: 45 } },
      `
Verification: no complete comparisons with the kernel; 45 of about 45 slices of the first
`,
    ],
    [
      'how long the last comparison took',
      { verification: { ...progress, cycles: 3, lastCycle: { durationMs: 480_040, workMs: 812.34 } } },
      `
Verification: 3 complete comparisons with the kernel; the last took 480.0 s, 812.3 ms of it work
`,
    ],
    [
      'both',
      {
        verification: {
          ...progress,
          cycles: 1,
          slice: 4,
          lastCycle: { durationMs: 999, workMs: 1000 },
        },
      },
      `
Verification: 1 complete comparison with the kernel; the last took 999.0 ms, 1.0 s of it work; 4 of about 40 slices of the next
`,
    ],
  ])('shows %s', (_, change, expected) => {
    expect(sections(change)).toBe(expected);
  });

  it('keeps long lists short, and says how much it leaves out', () => {
    const objects = Array.from({ length: 1021 }, (_, n) => `10.96.0.${n}`);
    const lines = sections({
      failedOperations: objects.map((object) => failed(object)),
      leftovers: objects.slice(0, 21),
    }).split('\n');
    const rest = (number: string): string => `  and ${number} more (-o json has all)`;
    expect(lines).toHaveLength(1 + 2 + 20 + 1 + 1 + 1 + 20 + 1 + 1);
    expect(lines.filter((line) => line.includes('more'))).toEqual([rest('1,001'), rest('1')]);
    const exact = sections({ leftovers: objects.slice(0, 20) });
    expect(exact).toContain('10.96.0.19');
    expect(exact).not.toContain('more');
  });
});

describe('where Services come from', () => {
  const API: NonNullable<AgentStatus['facts']> = {
    ...{ from: 'kubeconfig /k, context "c"', isComplete: true, trouble: '', recording: null },
    kinds: Object.fromEntries(
      ['Service', 'EndpointSlice', 'Node'].map((kind, i) => [
        kind,
        {
          ...{ state: 'watching', sinceMs: 0, resourceVersion: '7', objects: 1000 * i, isComplete: true },
          ...{ lastError: '', lists: 1, watches: 1, requests: 2, backoffs: 0, skipped: 0, lastSkipped: '' },
        },
      ]),
    ) as NonNullable<AgentStatus['facts']>['kinds'],
  };
  const NOT_YET = { ...SYNCED, isSynced: false, lastSync: null };

  it('is said of an API server, with how many objects there are', () => {
    expect(formatStatus({ ...SYNCED, facts: API })).toContain(
      'Follows kubeconfig /k, context "c": 0 Services, 1,000 EndpointSlices, 2,000 Nodes\n',
    );
  });

  it('is not said of manifests', () => {
    const facts = { ...API, from: 'manifests /m', kinds: null };
    expect(formatStatus({ ...SYNCED, facts })).toBe(formatStatus(SYNCED));
  });

  it('is what it waits for, once, before everything was read', () => {
    const waiting = (trouble: string): string | undefined =>
      formatStatus({ ...NOT_YET, facts: { ...API, isComplete: false, trouble } }).split('\n')[0];
    expect(waiting('')).toContain('not synced (waiting for kubeconfig /k, context "c")');
    expect(waiting('refused')).toContain('not synced (waiting for kubeconfig /k, context "c": refused)');
    expect(waiting('kubeconfig /k, context "c": no such file')).toContain(
      'not synced (waiting for kubeconfig /k, context "c": no such file)',
    );
  });

  it('cannot be followed at present', () => {
    const text = formatStatus({ ...SYNCED, facts: { ...API, trouble: 'it is away' } });
    expect(text).toContain('synced');
    expect(text).toContain(
      '  It cannot be followed at present, and what is known stays in force: it is away\n',
    );
  });

  it('is recorded, or not any more', () => {
    const recording = {
      path: '/r',
      state: 'recording',
      reason: '',
      events: 1200,
      bytes: 5000,
      waiting: 0,
    } as const;
    const text = (more: object): string =>
      formatStatus({ ...SYNCED, facts: { ...API, kinds: null, recording: { ...recording, ...more } } });
    expect(text({})).toContain('Records to /r: 1,200 events, 5,000 bytes\n');
    expect(text({ state: 'stopped', reason: 'the disk is full' })).toContain('\nthe disk is full\n');
  });
});

describe('what keeps a node from being ready', () => {
  it('says what is awaited of the node in the headline', () => {
    const awaited = 'PodCIDR allocation on node node1';
    const [line] = formatStatus({ ...SYNCED, isSynced: false, lastSync: null, awaited }).split('\n');
    expect(line).toContain('not synced (waiting for PodCIDR allocation on node node1)');
  });

  it('says why health is red', () => {
    expect(sections({ health: ['IPv4: rules IPv4: it was refused'] })).toBe(
      '\nHealth is red (503 at /healthz and /livez):\n  IPv4: rules IPv4: it was refused\n',
    );
    expect(sections({})).toBe('');
  });
});
