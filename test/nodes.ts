// Settings of nodes and plans of Services that say nothing in particular: what a test is about stands in the test, spread over these.

import type { NodeOptions, ServicePlan } from '../src/plan/plan.ts';
import type { ServiceKey } from '../src/model/names.ts';
import { NODE1 } from './addresses.ts';

/** node1 with both families, no zone, no detector and no address. */
export const PLAIN_NODE: NodeOptions = {
  nodeName: NODE1,
  zone: '',
  families: ['IPv4', 'IPv6'],
  nodeIPs: [],
  localAddresses: [],
  nodePortAddresses: [],
  nodePortLoopbacks: [],
  allowsExternalIPs: true,
  otherFamilySourceRanges: 'Allow',
  scheduler: 'rr',
  missingSchedulers: [],
  masqueradeAll: false,
  localDetector: { kind: 'none' },
};

/** A Service without frontends. */
export function emptyPlan(key: ServiceKey): ServicePlan {
  return {
    key,
    createdAtMs: 0,
    isCritical: false,
    virtualServers: [],
    lost: [],
    localEndpoints: [],
    healthCheck: null,
    leftOut: [],
    problems: [],
  };
}
