// Inside a guest: this kernel's state as the ordinary tools print it, and a kernel without any. For cases that compare a real kernel with
// a fake one; what is read is compared outside, through test/golden/kernel-state.ts. Knows nothing of test runners.

import { execFileSync } from 'node:child_process';
import type { ToolOutput } from '../golden/kernel-state.ts';

/** A tool starts in about 65 ms in a guest; this is for a machine that is busy with other things. */
const TIMEOUT_MS = 300_000;
const PARTS = '==next==';
/** No link is a link without addresses. */
const ADDRESSES = "ip -json addr show dev kube-ipvs0 2>/dev/null || echo '[]'";
const READ = ['ipvsadm -Sn', 'ipset save', ADDRESSES, 'iptables-legacy-save', 'ip6tables-legacy-save'];
const EMPTY_TABLES = ['filter', 'nat'].map((table) => `*${table}\\nCOMMIT\\n`).join('');

/** Runs a script to its end; throws with what it said when it fails. */
export function shell(script: string): string {
  return execFileSync('sh', ['-ec', script], {
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    maxBuffer: 1 << 26,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

/** What the tools print now. */
export function readTools(): ToolOutput {
  const text = shell(READ.join(`; echo ${PARTS}; `));
  const [ipvsadm = '', ipset = '', link = '', iptables = '', ip6tables = ''] = text.split(`${PARTS}\n`);
  return { ipvsadm, ipset, link, iptables, ip6tables };
}

/** Removes every virtual server, set and the link, and the rules of tables filter and nat, whoever made them. Switches and timeouts stay. */
export function wipeKernel(): void {
  shell(`
    ipvsadm -C
    ip link del kube-ipvs0 2>/dev/null || true
    printf '${EMPTY_TABLES}' | iptables-legacy-restore
    printf '${EMPTY_TABLES}' | ip6tables-legacy-restore
    ipset destroy`);
}
