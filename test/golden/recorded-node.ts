// The node that kube-proxy's state was recorded on, as plans are compiled for it.

import { parseCidr } from '../../src/model/ip.ts';
import type { NodeOptions } from '../../src/plan/plan.ts';
import { NODE1 } from '../addresses.ts';

export const RECORDED_NODE: NodeOptions = {
  nodeName: NODE1,
  zone: 'zone-a',
  families: ['IPv4', 'IPv6'],
  nodePortAddresses: [],
  scheduler: 'rr',
  masqueradeAll: false,
  // config.yaml of the recordings: clusterCIDR 10.244.0.0/16,fd00:10:244::/48
  localDetector: { kind: 'cidr', ipv4: parseCidr('10.244.0.0/16'), ipv6: parseCidr('fd00:10:244::/48') },
};
