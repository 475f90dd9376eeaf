// Reads what the kernel holds at the start: our virtual servers (known by the set POINTSMAN-VS, which lives in the kernel with them),
// other people's, set members and addresses on kube-ipvs0. Reads only. What is ours beyond the plan is told from what is not.

import { PointsmanError } from '../../model/errors.ts';
import type { Family, IpAddress } from '../../model/ip.ts';
import { formatMember, type SetMember } from '../../kernel/ipset-codec.ts';
import { formatServiceKey, type IpvsService, type ServiceKey } from '../../kernel/ipvs-codec.ts';
import { makeMember, type AddressService, type DesiredMember } from './desired.ts';
import type { AppliedVirtualServer } from './diff.ts';
import type { IpvsKernelPort, SetHeader } from './port.ts';
import { kernelSetName, SET_NAMES, SETS, type SetName } from './sets.ts';

/** What was there before the first write. */
export interface ObservedState {
  /** Virtual servers that an earlier run of ours made, by id. */
  readonly applied: Map<string, AppliedVirtualServer>;
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
export async function observe(port: IpvsKernelPort, families: readonly Family[]): Promise<ObservedState> {
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
  for (const service of await port.services()) {
    if (isAddressService(service) && members.has(ownershipMember(service).id)) {
      applied.set(formatServiceKey(service), { service, destinations: await port.destinations(service) });
    } else {
      foreign.set(formatServiceKey(service), service);
    }
  }
  const bound = await port.boundAddresses();
  const addresses = bound === null ? null : new Set(bound);
  return { applied, foreign, members, missingSets, capacities, addresses };
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

/** A member without its source: "10.96.0.1,tcp:443". */
function formatPortal({ address, protocol, port }: SetMember): string {
  return formatMember({
    ...(address === undefined ? {} : { address }),
    ...(protocol === undefined ? {} : { protocol }),
    ...(port === undefined ? {} : { port }),
  });
}

/** Tells what an earlier run of ours left from what others put there. */
export class Provenance {
  /** With no foreign virtual server on the node, everything in kube-proxy's sets is a left-over of ours. */
  private readonly isAlone: boolean;
  private readonly addresses = new Set<IpAddress>();
  private readonly portals = new Set<string>();
  private readonly ports = new Set<string>();
  private readonly endpoints = new Set<string>();

  constructor(state: ObservedState) {
    this.isAlone = state.foreign.size === 0;
    for (const { set, family, member } of state.members.values()) {
      if (member.address === undefined) continue;
      if (set === 'KUBE-IPVS-IPS' && this.isAlone) this.addresses.add(member.address);
      if (set !== 'POINTSMAN-VS') continue;
      this.addresses.add(member.address);
      this.portals.add(formatMember(member));
      this.ports.add(`${family} ${member.protocol} ${member.port}`);
    }
    for (const { service, destinations } of state.applied.values()) {
      for (const { address, port } of destinations) {
        this.endpoints.add(formatMember({ address, protocol: service.protocol, port, address2: address }));
      }
    }
  }

  /** An address on kube-ipvs0 is ours when one of our virtual servers has it: the mark is written before the address is bound. */
  isOurAddress(address: IpAddress): boolean {
    return this.addresses.has(address);
  }

  isOurMember({ set, family, member }: DesiredMember): boolean {
    if (this.isAlone || set === 'POINTSMAN-VS') return true;
    switch (set) {
      case 'KUBE-HEALTH-CHECK-NODE-PORT':
        // Only a proxy writes these, and with a foreign one beside us they would be its own to write again.
        return true;
      case 'KUBE-IPVS-IPS':
        return member.address !== undefined && this.addresses.has(member.address);
      case 'KUBE-LOOP-BACK':
        return this.endpoints.has(formatMember(member));
      case 'KUBE-NODE-PORT-TCP':
      case 'KUBE-NODE-PORT-LOCAL-TCP':
        return this.ports.has(`${family} 6 ${member.port}`);
      case 'KUBE-NODE-PORT-UDP':
      case 'KUBE-NODE-PORT-LOCAL-UDP':
        return this.ports.has(`${family} 17 ${member.port}`);
      default:
        return this.portals.has(formatPortal(member));
    }
  }
}
