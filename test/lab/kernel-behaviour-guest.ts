// Inside a guest: what the probes find out about its kernel, as it is and made to behave like others, and what they leave behind.
// Writes what was seen; the assertions stand outside, in kernel-behaviour.test.ts.

import { readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { probeKernelBehaviour } from '../../src/backends/ipvs/kernel-behaviour-probe.ts';
import { probeScheduler } from '../../src/backends/ipvs/schedulers-probe.ts';
import { moduleState } from '../../src/kernel/modules.ts';
import { inScratchNamespace } from '../../src/kernel/scratch-namespace.ts';
import { readSysctl, writeSysctl } from '../../src/kernel/sysctl.ts';
import { tool } from '../../lab/agent-process.ts';

/** Everything of this namespace that a probe might have touched. */
function main(): Record<string, unknown> {
  const switches = ['net/ipv4/vs/conntrack', 'net/ipv4/vs/conn_reuse_mode', 'net/ipv4/vs/expire_nodest_conn'];
  return {
    namespace: readlinkSync('/proc/thread-self/ns/net'),
    virtualServers: readFileSync('/proc/net/ip_vs', 'utf8').split('\n').length,
    addresses: run('/sbin/ip', ['-o', 'addr']),
    // Its comments are the time of day.
    rules: run('/usr/sbin/iptables-legacy-save', []).replaceAll(/^#.*$/gm, ''),
    switches: switches.map(readSysctl),
    descriptors: readdirSync('/proc/self/fd').length,
  };
}

function run(path: string, args: readonly string[]): string {
  const { code, stdout, stderr } = tool(path, args);
  if (code !== 0) throw new Error(`${path} ${args.join(' ')} ended with ${code}: ${stderr}`);
  return stdout;
}

/** The ends of connections pass by conntrack but not by IPVS: the next connection meets an old entry, which IPVS drops on kernel 6.1 too. */
function hideEndsFromConntrack(): void {
  writeSysctl('net/netfilter/nf_conntrack_tcp_be_liberal', '1');
  run('/usr/sbin/iptables-legacy', [
    ...['-t', 'raw', '-A', 'OUTPUT', '-p', 'tcp', '--tcp-flags', 'FIN', 'FIN', '-j', 'CT', '--notrack'],
  ]);
}

run('/sbin/modprobe', ['ip_vs']);
writeSysctl('net/ipv4/vs/conn_reuse_mode', '3');
// Once for nothing: the first synchronous child leaves Node with more descriptors than it had.
main();
const before = main();
const behaviours = {
  asItIs: probeKernelBehaviour(),
  again: probeKernelBehaviour(),
  withOldEntries: probeKernelBehaviour({ prepare: hideEndsFromConntrack }),
  withoutReuse: probeKernelBehaviour({ connReuseMode: '0' }),
  withoutExpiry: probeKernelBehaviour({ expireNodestConn: '0' }),
  withRefusals: probeKernelBehaviour({
    prepare: () =>
      void run('/usr/sbin/iptables-legacy', [
        '-A',
        'OUTPUT',
        '-p',
        'tcp',
        '--syn',
        '-j',
        'REJECT',
        '--reject-with',
        'tcp-reset',
      ]),
  }),
  withoutAnswers: probeKernelBehaviour({
    prepare: () => void run('/usr/sbin/iptables-legacy', ['-A', 'OUTPUT', '-p', 'tcp', '-j', 'DROP']),
  }),
  untracked: probeKernelBehaviour({
    prepare: () =>
      void run('/usr/sbin/iptables-legacy', ['-t', 'raw', '-A', 'OUTPUT', '-j', 'CT', '--notrack']),
  }),
  failing: probeKernelBehaviour({
    prepare: () => {
      throw new Error('made to fail');
    },
  }),
};
const after = main();
const modules = { ovf: moduleState('ip_vs_ovf') };
const schedulers = {
  rr: await probeScheduler('rr'),
  wrr: await probeScheduler('wrr'),
  mh: await probeScheduler('mh'),
  ovf: await probeScheduler('ovf'),
  nonesuch: await probeScheduler('nonesuch'),
  tooLong: await probeScheduler('x'.repeat(40)),
};
// As in a container whose kernel cannot run modprobe where the modules are.
writeFileSync('/proc/sys/kernel/modprobe', '/bin/false');
const withoutModprobe = {
  before: moduleState('ip_vs_fo'),
  fo: await probeScheduler('fo'),
  after: moduleState('ip_vs_fo'),
};
const scratch = inScratchNamespace(() => {
  writeSysctl('net/ipv4/vs/conn_reuse_mode', '2');
  return {
    namespace: readlinkSync('/proc/thread-self/ns/net'),
    links: run('/sbin/ip', ['-o', 'link']).trim().split('\n').length,
    reuse: readSysctl('net/ipv4/vs/conn_reuse_mode'),
  };
});
writeFileSync(
  join(process.env.POINTSMAN_RESULTS ?? '/tmp', 'result.json'),
  JSON.stringify({
    behaviours,
    schedulers,
    withoutModprobe,
    modules: { before: modules, after: { ovf: moduleState('ip_vs_ovf') } },
    scratch,
    before,
    after,
    afterAll: main(),
  }),
);
process.exit(0);
