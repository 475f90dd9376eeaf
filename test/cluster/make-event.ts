// An Event of a Node for tests, valid unless it is changed.

import type { ApiEvent } from '../../src/cluster/api-event.ts';

/** About the Node `name`, and named after it. */
export function eventOf(name: string, changed: Partial<ApiEvent> = {}): ApiEvent {
  return {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name: `${name}.18e9f7c5b1b0d94c`, namespace: 'default' },
    eventTime: '2026-11-21T05:19:14.945507Z',
    reportingController: 'kube-proxy',
    reportingInstance: 'kube-proxy-node1',
    action: 'StartKubeProxy',
    reason: 'Starting',
    regarding: { kind: 'Node', name, apiVersion: 'v1' },
    type: 'Normal',
    ...changed,
  };
}
