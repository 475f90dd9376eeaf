// What can be removed of a proxy's state in this node's kernel, as values: made by the pure planners of the backends, in the order in which
// the removals must run, carried out by the daemon. Types, and their words for people.

import type { Family, IpAddress } from '../model/ip.ts';
import { formatMember, type SetMember } from '../kernel/ipset-codec.ts';
import { formatServiceKey, type ServiceKey } from '../kernel/ipvs-codec.ts';
import type { IptablesFlavour } from '../kernel/iptables.ts';

/** A chain or a rule of iptables by its place. */
export interface ChainName {
  readonly table: string;
  readonly name: string;
}

/** A rule in somebody else's chain; `rule` stands behind "-A CHAIN " in iptables-save's spelling. */
export interface JumpRule {
  readonly table: string;
  readonly from: string;
  readonly rule: string;
}

/** One request to the kernel, or one iptables-restore. */
export type Removal =
  | { readonly kind: 'address'; readonly family: Family; readonly address: IpAddress }
  /** A member of a set that stays, or one that lets packets through to a virtual server ('pass'); `set` is the kernel's name. */
  | {
      readonly kind: 'member';
      readonly family: Family;
      readonly set: string;
      readonly member: SetMember;
      readonly role: 'pass' | 'guard';
    }
  | { readonly kind: 'virtualServer'; readonly family: Family; readonly service: ServiceKey }
  /** Everything of one flavour of iptables at once. */
  | {
      readonly kind: 'rules';
      readonly family: Family;
      readonly flavour: IptablesFlavour;
      /** For iptables-restore --noflush. */
      readonly text: string;
      readonly jumps: readonly JumpRule[];
      readonly chains: readonly ChainName[];
      /** True when there are rules among them that guard virtual servers of mode ipvs. */
      readonly guardsIpvs: boolean;
    }
  /** A table of nf_tables with all that is in it. */
  | { readonly kind: 'table'; readonly family: Family; readonly name: string }
  | { readonly kind: 'set'; readonly family: Family; readonly name: string }
  | { readonly kind: 'link'; readonly name: string };

/** What stays although a proxy may have made it, or although it is where a proxy's things are. */
export interface Kept {
  readonly kind: ObjectKind;
  readonly object: string;
  /** Why, for a person. */
  readonly reason: string;
}

/** Kinds of objects in the order in which they are removed. */
export const OBJECT_KINDS = [
  'address',
  'member',
  'virtualServer',
  'jump',
  'chain',
  'table',
  'set',
  'link',
  'rules',
] as const;
export type ObjectKind = (typeof OBJECT_KINDS)[number];

/** One object of a removal in words: kinds and keys of `pointsman cleanup -o json`. */
export interface RemovedObject {
  readonly kind: ObjectKind;
  /** "10.96.0.1", "TCP 10.96.0.1:443", "KUBE-CLUSTER-IP 10.96.0.1,tcp:443", "iptables-nft nat KUBE-SERVICES". */
  readonly object: string;
}

/** The objects of a removal, one by one. */
export function objectsOf(removal: Removal): RemovedObject[] {
  switch (removal.kind) {
    case 'address':
      return [{ kind: 'address', object: removal.address }];
    case 'member':
      return [{ kind: 'member', object: `${removal.set} ${formatMember(removal.member)}` }];
    case 'virtualServer':
      return [{ kind: 'virtualServer', object: formatServiceKey(removal.service) }];
    case 'rules': {
      const tool = toolName(removal);
      return [
        ...removal.jumps.map(({ table, from, rule }) => ({
          kind: 'jump' as const,
          object: `${tool} ${table} ${from} ${rule}`,
        })),
        ...removal.chains.map(({ table, name }) => ({
          kind: 'chain' as const,
          object: `${tool} ${table} ${name}`,
        })),
      ];
    }
    case 'table':
      return [{ kind: 'table', object: `${removal.family === 'IPv4' ? 'ip' : 'ip6'} ${removal.name}` }];
    case 'set':
      return [{ kind: 'set', object: removal.name }];
    case 'link':
      return [{ kind: 'link', object: removal.name }];
  }
}

/** "ip6tables-nft" */
export function toolName({
  family,
  flavour,
}: {
  readonly family: Family;
  readonly flavour: IptablesFlavour;
}): string {
  return `${family === 'IPv4' ? 'iptables' : 'ip6tables'}-${flavour}`;
}
