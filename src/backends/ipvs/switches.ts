// The kernel switches and timeouts that IPVS mode needs, written only where they differ.
// Source: kube-proxy 1.36, mode ipvs, start-up.

import type { IpvsTimeouts } from '../../kernel/ipvs-daemon-codec.ts';
import type { IpvsKernelPort } from './port.ts';

export interface SwitchOptions {
  /** Answer ARP only for addresses of the interface that was asked, and never announce others (ipvs.strictARP). */
  readonly strictArp: boolean;
  /** Connection timeouts; what is absent is left as the kernel has it. */
  readonly timeouts: Partial<IpvsTimeouts>;
}

const ALWAYS: readonly (readonly [string, string])[] = [
  // Lets conntrack and with it masquerading see IPVS connections.
  ['net/ipv4/vs/conntrack', '1'],
  // Packets of a connection whose server is gone end it at once instead of vanishing until it times out.
  ['net/ipv4/vs/expire_nodest_conn', '1'],
  // Affinity to a server with weight 0 ends with the next connection.
  ['net/ipv4/vs/expire_quiescent_template', '1'],
  ['net/ipv4/ip_forward', '1'],
];

const STRICT_ARP: readonly (readonly [string, string])[] = [
  ['net/ipv4/conf/all/arp_ignore', '1'],
  ['net/ipv4/conf/all/arp_announce', '2'],
];

/** Kernels from 5.9 on reuse connections safely; before, the switch must be 0 or reused source ports lose a second each. */
const REUSE_FIXED_IN = [5, 9] as const;

/** Writes what differs; returns the number of writes. Throws KERNEL_REFUSED when a switch cannot be written. */
export function applySwitches(port: IpvsKernelPort, options: SwitchOptions): number {
  let writes = 0;
  const wanted = [...ALWAYS, ...(options.strictArp ? STRICT_ARP : [])];
  if (isOlderThan(port.sysctl('kernel/osrelease') ?? '', REUSE_FIXED_IN))
    wanted.push(['net/ipv4/vs/conn_reuse_mode', '0']);
  for (const [path, value] of wanted) {
    if (port.sysctl(path) === value) continue;
    port.writeSysctl(path, value);
    writes++;
  }
  return writes;
}

/** "5.4.0-generic" is older than [5, 9]; text that is no version is not older than anything. */
export function isOlderThan(release: string, [major, minor]: readonly [number, number]): boolean {
  const match = /^(\d+)\.(\d+)/.exec(release);
  if (match === null) return false;
  const found = [Number(match[1]), Number(match[2])] as const;
  return found[0] < major || (found[0] === major && found[1] < minor);
}

/** Sets the connection timeouts that are configured and differ; returns the number of writes. Throws the kernel's refusal. */
export async function applyTimeouts(port: IpvsKernelPort, wanted: Partial<IpvsTimeouts>): Promise<number> {
  if (Object.keys(wanted).length === 0 || !timeoutsDiffer(wanted, port.timeouts())) return 0;
  const [failure] = await port.applyIpvs([{ op: 'SET_CONFIG', timeouts: wanted }]);
  if (failure !== undefined) throw failure.error;
  return 1;
}

function timeoutsDiffer(wanted: Partial<IpvsTimeouts>, current: IpvsTimeouts): boolean {
  return (['tcpSeconds', 'tcpFinSeconds', 'udpSeconds'] as const).some(
    (name) => wanted[name] !== undefined && wanted[name] !== current[name],
  );
}
