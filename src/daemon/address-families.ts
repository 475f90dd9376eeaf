// The address families that this machine can forward: its kernel must have the family switched on, and iptables must be there for it.
// Looked at once, at the start. Source: kube-proxy 1.36, platformCheckSupported; spec 5.4.

import { existsSync } from 'node:fs';
import { findTool } from '../kernel/process.ts';
import { readSysctl } from '../kernel/sysctl.ts';
import { PointsmanError } from '../model/errors.ts';
import type { Family } from '../model/ip.ts';
import type { Log } from './log.ts';

/** What is asked of the machine. */
export interface FamilyFacts {
  /** /proc/net/if_inet6 is there: the kernel has IPv6, and it was not left out by ipv6.disable=1. */
  readonly hasIPv6: boolean;
  /** net.ipv6.conf.all.disable_ipv6 is 1: no address of it can be set. */
  readonly isIPv6Disabled: boolean;
  /** A program that restores rules of the family is installed. */
  readonly hasIptables: Readonly<Record<Family, boolean>>;
}

/** Why a family is not served; the words are kube-proxy's. */
export interface MissingFamily {
  readonly family: Family;
  readonly message: string;
  readonly reason: string;
}

/** The families to serve, IPv4 first, and the others. Where neither has iptables both stay: opening it says what to install. Pure. */
export function chooseFamilies({ hasIPv6, isIPv6Disabled, hasIptables }: FamilyFacts): {
  readonly families: readonly Family[];
  readonly missing: readonly MissingFamily[];
} {
  const missing: MissingFamily[] = [];
  if (hasIptables.IPv4 !== hasIptables.IPv6) {
    const [family, tool] = hasIptables.IPv4
      ? (['IPv6', 'ip6tables-restore'] as const)
      : (['IPv4', 'iptables-restore'] as const);
    missing.push({ family, message: 'No iptables support for family', reason: `${tool} is not installed` });
  }
  if (!missing.some(({ family }) => family === 'IPv6')) {
    if (!hasIPv6)
      missing.push({
        family: 'IPv6',
        message: 'No kernel support for family',
        reason: '/proc/net/if_inet6 is not there',
      });
    else if (isIPv6Disabled)
      missing.push({
        family: 'IPv6',
        message: 'Kernel support disabled for family',
        reason: 'net.ipv6.conf.all.disable_ipv6 is 1',
      });
  }
  const families = (['IPv4', 'IPv6'] as const).filter(
    (family) => !missing.some((each) => each.family === family),
  );
  return { families, missing };
}

/** The same for this machine and this network namespace; starts no process. */
export function readFamilyFacts(): FamilyFacts {
  return {
    hasIPv6: existsSync('/proc/net/if_inet6'),
    isIPv6Disabled: readSysctl('net/ipv6/conf/all/disable_ipv6') === '1',
    hasIptables: { IPv4: hasRestore('iptables'), IPv6: hasRestore('ip6tables') },
  };
}

function hasRestore(prefix: string): boolean {
  return ['', '-nft', '-legacy'].some((flavour) => findTool(`${prefix}${flavour}-restore`) !== null);
}

/** The families that this machine can forward; `log` hears of each that it cannot. */
export function detectFamilies(log?: Log): Family[] {
  const { families, missing } = chooseFamilies(readFamilyFacts());
  for (const { family, message, reason } of missing) log?.info(message, { ipFamily: family, err: reason });
  return [...families];
}

/** Families in which something of ours or of a kube-proxy's can be left, although it is not forwarded any more. */
export function presentFamilies(): Family[] {
  return existsSync('/proc/sys/net/ipv6') ? ['IPv4', 'IPv6'] : ['IPv4'];
}

/** Throws UNSUPPORTED_FAMILY when the primary family is not among those that this machine can forward. */
export function requirePrimaryFamily(primary: Family, families: readonly Family[]): void {
  if (families.includes(primary)) return;
  throw new PointsmanError(
    'UNSUPPORTED_FAMILY',
    `no support for primary IP family "${primary}": this machine forwards ${families.join(' and ') || 'none'} only; ` +
      'switch the family on, or set bindAddress to an address of the other one',
    { primary, families },
  );
}
