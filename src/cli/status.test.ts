import { describe, expect, it } from 'vitest';
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
  pendingServices: 0,
  services: [],
  foreignVirtualServers: [],
  problems: [],
};

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
      'after an error',
      { lastSync: null, lastError: 'iptables-restore failed' },
      'no Services: not synced: iptables-restore failed',
    ],
  ])('says %s that it is not synced', (_, change, expected) => {
    expect(formatStatus({ ...SYNCED, isSynced: false, ...change }).split('\n')[0]).toBe(
      `Node node1, mode ipvs, scheduler rr, ${expected}`,
    );
  });
});
