// One Node object projected to the facts that forwarding depends on. A bad field is reported and the others go on.
// Source: Kubernetes API v1; spec of the service model, 1.1 and 1.5.

import { isAbsent, member, ProblemList, readList, readTimeMs } from './fields.ts';
import { familyOf, parseCidr, parseIp, type Cidr, type IpAddress } from './ip.ts';
import { isDnsSubdomain, isLabelValue, LABEL_ZONE } from './names.ts';
import type { Projection } from './service.ts';

/** Facts of a node. */
export interface NodeRecord {
  readonly name: string;
  /** Label topology.kubernetes.io/zone, '' when it has none. */
  readonly zone: string;
  /** Internal addresses before external ones, otherwise in the order of the status; without repetition. */
  readonly addresses: readonly IpAddress[];
  /** At most one of each family, in the order of the spec. */
  readonly podCIDRs: readonly Cidr[];
  /** It is being deleted, or the cluster autoscaler is about to remove it: load balancers are to send it nothing new. */
  readonly isLeaving: boolean;
}

/** The taint of a node that the cluster autoscaler is about to remove. */
export const TAINT_TO_BE_DELETED = 'ToBeDeletedByClusterAutoscaler';
/** Taints read of one node. */
export const MAX_TAINTS = 1000;

/** Addresses read of one node. */
const MAX_ADDRESSES = 1000;

/** Projects a Node; `record` is null, with a problem, when it has no valid name. */
export function projectNode(object: unknown): Projection<NodeRecord> {
  const metadata = member(object, 'metadata');
  const name = member(metadata, 'name');
  if (typeof name !== 'string' || !isDnsSubdomain(name)) {
    const problems = new ProblemList('Node ?');
    problems.invalid('metadata.name', name, 'the Node is skipped', 'give it a DNS name in lower case');
    return { record: null, problems: problems.list() };
  }
  const problems = new ProblemList(`Node ${name}`);
  const record = {
    name,
    zone: readZone(member(member(metadata, 'labels'), LABEL_ZONE), problems),
    addresses: readAddresses(member(object, 'status'), problems),
    podCIDRs: readPodCIDRs(member(object, 'spec'), problems),
    isLeaving:
      readTimeMs(member(metadata, 'deletionTimestamp')) !== 0 || isToBeDeleted(member(object, 'spec')),
  };
  return { record, problems: problems.list() };
}

/** Taints are no part of forwarding: what is wrong with them is passed over in silence. */
function isToBeDeleted(spec: unknown): boolean {
  const taints = member(spec, 'taints');
  return (
    Array.isArray(taints) &&
    taints.slice(0, MAX_TAINTS).some((taint) => member(taint, 'key') === TAINT_TO_BE_DELETED)
  );
}

function readZone(value: unknown, problems: ProblemList): string {
  if (isAbsent(value)) return '';
  if (typeof value === 'string' && isLabelValue(value)) return value;
  problems.invalid(
    `metadata.labels[${LABEL_ZONE}]`,
    value,
    'the node counts as without zone',
    'use a valid label value',
  );
  return '';
}

function readAddresses(status: unknown, problems: ProblemList): IpAddress[] {
  const internal = new Set<IpAddress>();
  const external = new Set<IpAddress>();
  readList(member(status, 'addresses'), 'status.addresses', problems, MAX_ADDRESSES).forEach(
    (item, index) => {
      const type = member(item, 'type');
      if (type !== 'InternalIP' && type !== 'ExternalIP') return;
      const text = member(item, 'address');
      const address = typeof text === 'string' ? parseIp(text) : null;
      if (address === null) {
        problems.invalid(
          `status.addresses[${index}].address`,
          text,
          'it is left out',
          'write an IPv4 or IPv6 address',
        );
      } else {
        (type === 'InternalIP' ? internal : external).add(address);
      }
    },
  );
  return [...new Set([...internal, ...external])];
}

function readPodCIDRs(spec: unknown, problems: ProblemList): Cidr[] {
  const listed = readList(member(spec, 'podCIDRs'), 'spec.podCIDRs', problems, 2);
  const texts = listed.length > 0 ? listed : [member(spec, 'podCIDR')];
  const cidrs: Cidr[] = [];
  texts.forEach((text, index) => {
    if (isAbsent(text)) return;
    const field = listed.length > 0 ? `spec.podCIDRs[${index}]` : 'spec.podCIDR';
    const cidr = typeof text === 'string' ? parseCidr(text) : null;
    if (cidr === null)
      problems.invalid(field, text, 'it is left out', 'write address/prefix, as in 10.244.1.0/24');
    else if (!cidrs.some((one) => familyOf(one) === familyOf(cidr))) cidrs.push(cidr);
  });
  return cidrs;
}
