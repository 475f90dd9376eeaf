// Reads what the kernel holds at the start: our virtual servers (known by the set POINTSMAN-VS, which lives in the kernel with them), those
// that a kube-proxy left (known by rule), other people's, set members and addresses on kube-ipvs0. Reads only. What is ours beyond the plan is
// told from what is not.

import { PointsmanError } from '../../model/errors.ts';
import { cidrContains, type Cidr, type Family, type IpAddress } from '../../model/ip.ts';
import type { SetMember } from '../../kernel/ipset-codec.ts';
import { formatServiceKey, type IpvsService, type ServiceKey } from '../../kernel/ipvs-codec.ts';
import { makeMember, type AddressService, type DesiredMember } from './desired.ts';
import type { AppliedVirtualServer } from './diff.ts';
import type { IpvsKernelPort, SetHeader } from './port.ts';
import { Footprint, type FootprintSource } from './provenance.ts';
import { kernelSetName, SET_NAMES, SETS, type SetName } from './sets.ts';

/** What was there before the first write. */
export interface ObservedState {
  /** Virtual servers that an earlier run of ours made, or a kube-proxy before us, by id. */
  readonly applied: Map<string, AppliedVirtualServer>;
  /** How many of them have no mark of ours. */
  readonly takenOver: number;
  /** All other virtual servers, by id. */
  readonly foreign: Map<string, ServiceKey>;
  /** Members of our sets by DesiredMember.id. */
  readonly members: Map<string, DesiredMember>;
  /** Sets that do not exist. */
  readonly missingSets: readonly { readonly set: SetName; readonly family: Family }[];
  /** Room for members, by the kernel's name of each set that exists and has a limit. */
  readonly capacities: ReadonlyMap<string, number>;
  /** Addresses on kube-ipvs0; null when the link does not exist. */
  readonly addresses: Set<IpAddress> | null;
}

/**
 * Reads the kernel. Costs one dump of headers, one per set with members and one per owned virtual server. Throws KERNEL_REFUSED when a set of
 * our name is of another type.
 */
export async function observe(
  port: IpvsKernelPort,
  families: readonly Family[],
  takeOver: TakeOverRule,
): Promise<ObservedState> {
  const members = new Map<string, DesiredMember>();
  const missingSets: { set: SetName; family: Family }[] = [];
  const capacities = new Map<string, number>();
  const headers = await port.setHeaders();
  for (const family of families) {
    for (const set of SET_NAMES) {
      const name = kernelSetName(set, family);
      const header = headers.get(name);
      if (header === undefined) {
        missingSets.push({ set, family });
        continue;
      }
      checkType(name, set, family, header);
      if (header.maxMembers !== null) capacities.set(name, header.maxMembers);
      if (header.members === 0) continue;
      for (const member of (await port.setMembers(set, family)) ?? [])
        addMember(members, set, family, member);
    }
  }
  const applied = new Map<string, AppliedVirtualServer>();
  const foreign = new Map<string, ServiceKey>();
  const bound = await port.boundAddresses();
  const addresses = bound === null ? null : new Set(bound);
  let takenOver = 0;
  for (const service of await port.services()) {
    const id = formatServiceKey(service);
    const isMarked = isAddressService(service) && members.has(ownershipMember(service).id);
    if (!isAddressService(service) || !(isMarked || isWhereProxiesAre(service, addresses, takeOver))) {
      foreign.set(id, service);
      continue;
    }
    const destinations = await port.destinations(service);
    // A proxy for Services only masquerades.
    if (!isMarked && destinations.some(({ forwarding }) => forwarding !== 'masquerade')) {
      foreign.set(id, service);
      continue;
    }
    if (!isMarked) takenOver++;
    applied.set(id, { service, destinations });
  }
  return { applied, takenOver, foreign, members, missingSets, capacities, addresses };
}

/** By what a virtual server without our mark is known as a kube-proxy's, which we take over in place. */
export interface TakeOverRule {
  /** Addresses of this node on which NodePorts answer. */
  readonly nodePortAddresses: readonly IpAddress[];
  /** The cluster's range of node ports, both ends included. */
  readonly nodePorts: { readonly first: number; readonly last: number };
  /** ipvs.excludeCIDRs: what is in there is never taken over. */
  readonly excludeCIDRs: readonly Cidr[];
}

/** Where kube-proxy has its virtual servers: on an address of kube-ipvs0, or on a node port of this node. */
function isWhereProxiesAre(
  { address, port }: AddressService,
  bound: ReadonlySet<IpAddress> | null,
  { nodePortAddresses, nodePorts, excludeCIDRs }: TakeOverRule,
): boolean {
  if (excludeCIDRs.some((cidr) => cidrContains(cidr, address))) return false;
  const isNodePort = port >= nodePorts.first && port <= nodePorts.last;
  return bound?.has(address) === true || (isNodePort && nodePortAddresses.includes(address));
}

/** Rules of ours match the set, so one of another type cannot be worked around. */
function checkType(name: string, set: SetName, family: Family, header: SetHeader): void {
  const { type } = SETS[set];
  if (header.type === type && (header.family === null || header.family === family)) return;
  throw new PointsmanError(
    'KERNEL_REFUSED',
    `set ${name} is a ${header.type}${header.family === null ? '' : ` of family ${header.family}`}, not a ${type} of family ${family}: ` +
      `somebody else made it; remove it (ipset destroy ${name}) or rename it (ipset rename ${name} NEW)`,
    { set: name, found: header.type, wanted: type },
  );
}

export function isAddressService(service: IpvsService): service is AddressService {
  return service.fwmark === undefined;
}

/** The member of POINTSMAN-VS that marks a virtual server as ours. */
export function ownershipMember(service: AddressService): DesiredMember {
  const { family, address, protocol, port } = service;
  return makeMember('POINTSMAN-VS', family, { address, protocol, port });
}

function addMember(
  members: Map<string, DesiredMember>,
  set: SetName,
  family: Family,
  member: SetMember,
): void {
  const made = makeMember(set, family, member);
  members.set(made.id, made);
}

/** Tells what an earlier run of ours left from what others put there. */
export class Provenance {
  /** With no foreign virtual server on the node, everything in kube-proxy's sets is a left-over of ours. */
  private readonly isAlone: boolean;
  private readonly guarded = new Set<IpAddress>();
  private readonly footprint: Footprint;

  constructor({ applied, foreign, members }: ObservedState) {
    this.isAlone = foreign.size === 0;
    const marked: FootprintSource[] = [];
    for (const { set, family, member } of members.values()) {
      const { address, protocol, port } = member;
      if (address === undefined) continue;
      if (set === 'KUBE-IPVS-IPS') this.guarded.add(address);
      if (set === 'POINTSMAN-VS' && protocol !== undefined && port !== undefined)
        marked.push({ service: { family, address, protocol, port }, destinations: [] });
    }
    this.footprint = new Footprint([...marked, ...applied.values()]);
  }

  /** An address on kube-ipvs0 is ours when one of our virtual servers has it, or had it: the mark is written before the address is bound. */
  isOurAddress(address: IpAddress): boolean {
    return this.footprint.hasAddress(address) || (this.isAlone && this.guarded.has(address));
  }

  isOurMember({ set, family, member }: DesiredMember): boolean {
    if (this.isAlone || set === 'POINTSMAN-VS') return true;
    // Only a proxy writes these, and with a foreign one beside us they would be its own to write again.
    if (set === 'KUBE-HEALTH-CHECK-NODE-PORT') return true;
    return this.footprint.hasMember(set, family, member);
  }
}
