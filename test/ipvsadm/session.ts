// The recorded session as data: its sections in order, what was run before each and after each of its commands without being recorded.
// Source: the script that recorded it; the network is in session.sh, the traffic in session-traffic.sh.

export interface Section {
  /** Its transcript. */
  readonly name: string;
  /** Command lines for bash. */
  readonly before: readonly string[];
  readonly afterEach?: string;
}

export const SECTIONS: readonly Section[] = [
  { name: 'empty-table', before: [] },
  { name: 'add-services', before: [] },
  { name: 'add-servers', before: [] },
  { name: 'list', before: [] },
  { name: 'list-variants', before: [] },
  { name: 'save', before: [] },
  { name: 'restore', before: ['ipvsadm -Sn > /run/saved'] },
  { name: 'edit', before: ['ipvsadm -C', 'ipvsadm -R < /run/saved'] },
  { name: 'timeout', before: [] },
  { name: 'traffic', before: ['ipvsadm -E -t 10.96.0.10:80 -s rr', 'TRAFFIC'] },
  { name: 'errors', before: [], afterEach: 'ipvsadm -D -t 10.0.0.1:80' },
  { name: 'daemon', before: ['ip link set kube-ipvs0 multicast on', 'ipvsadm -C'] },
  { name: 'verify-cli', before: ['ipvsadm --stop-daemon backup', 'ipvsadm -C'] },
];

/** Stands in `before` for the traffic, once both servers answer. */
export const TRAFFIC = 'TRAFFIC';
