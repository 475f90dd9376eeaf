// The capabilities of this process. Being root says little in a container: what counts is the effective set. Source: capabilities(7).

import { readFileSync } from 'node:fs';

/** Numbers of the capabilities that anything here needs. Source: include/uapi/linux/capability.h. */
const NUMBERS = {
  CAP_NET_ADMIN: 12,
  CAP_NET_RAW: 13,
  CAP_SYS_MODULE: 16,
  CAP_SYS_ADMIN: 21,
  CAP_SYS_RESOURCE: 24,
} as const;

/** A capability that anything here needs. */
export type Capability = keyof typeof NUMBERS;

/** Those of the given that this process has not; none where the kernel does not tell. */
export function missingCapabilities(
  wanted: readonly Capability[],
  file = '/proc/thread-self/status',
): Capability[] {
  const effective = readEffective(file);
  if (effective === null) return [];
  return wanted.filter((name) => (effective & (1n << BigInt(NUMBERS[name]))) === 0n);
}

function readEffective(file: string): bigint | null {
  try {
    const match = /^CapEff:\s*([0-9a-f]{1,16})$/m.exec(readFileSync(file, 'utf8'));
    return match === null ? null : BigInt(`0x${match[1] ?? '0'}`);
  } catch {
    return null;
  }
}
