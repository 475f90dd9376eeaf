// Inside a guest: --init-only with all privileges, then an agent with two capabilities and read-only /proc/sys and /sys, as in a container that
// is not privileged. Writes what was seen; the assertions stand outside, in privileges.test.ts.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { tool, type CommandResult } from '../../lab/agent-process.ts';
import { defaultConfig } from '../../src/config/load.ts';
import { initOnly } from '../../src/daemon/init-only.ts';
import { readConntrackBuckets } from '../../src/kernel/conntrack-buckets.ts';
import { moduleState } from '../../src/kernel/modules.ts';
import { readSysctl } from '../../src/kernel/sysctl.ts';
import { linesOf } from '../log-lines.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SWITCHES = [
  'net/netfilter/nf_conntrack_max',
  'net/netfilter/nf_conntrack_tcp_timeout_established',
  'net/netfilter/nf_conntrack_tcp_timeout_close_wait',
  'net/ipv4/vs/conntrack',
  'net/ipv4/vs/expire_nodest_conn',
  'net/ipv4/ip_forward',
];

/** The capabilities and nothing else; what cannot be written in such a container cannot be written here. */
function restricted(capabilities: string, program: readonly string[]): CommandResult {
  const shell = `mount --bind /proc/sys /proc/sys
mount -o remount,ro,bind /proc/sys
mount -o remount,ro /sys
cd ${ROOT}
exec setpriv --bounding-set=-all,${capabilities} --inh-caps=-all "$@"`;
  return tool('/usr/bin/unshare', ['-m', '/bin/sh', '-ec', shell, 'sh', ...program]);
}

const state = (): Record<string, unknown> => ({
  switches: Object.fromEntries(SWITCHES.map((path) => [path, readSysctl(path)])),
  buckets: readConntrackBuckets(),
  modules: ['ip_vs', 'ip_vs_rr', 'nf_conntrack'].map((name) => moduleState(name)),
});

const config = defaultConfig();
const lines: string[][] = [];
const states: Record<string, unknown>[] = [];
for (let i = 0; i < 2; i++) {
  const kept = linesOf();
  await initOnly(config, kept.log);
  lines.push(kept.lines);
  states.push(state());
}

const script = `
  const { applyConntrack } = await import('${ROOT}/src/daemon/conntrack-settings.ts');
  const { defaultConfig } = await import('${ROOT}/src/config/load.ts');
  const { probeScheduler } = await import('${ROOT}/src/backends/ipvs/schedulers-probe.ts');
  const log = { info() {}, warn() {}, error() {}, verbose() {} };
  const { conntrack } = defaultConfig();
  const attempt = (change) => applyConntrack({ ...conntrack, ...change }, log).then(() => 'done', ({ code, message }) => code + ' ' + message);
  const schedulers = [];
  for (const name of ['rr', 'none']) schedulers.push((await probeScheduler(name)).isAvailable);
  console.log(JSON.stringify([await attempt({}), await attempt({ min: 262144 }), schedulers]));`;
const node = [process.execPath, '--input-type=module', '--disable-warning=ExperimentalWarning', '-e', script];
const agent = [
  'bin/pointsman',
  'run',
  '--once',
  '--manifests',
  'examples/hello/manifests',
  '--hostname-override',
  'node1',
];
const seen = {
  ...{ lines, states },
  settings: restricted('+net_admin,+net_raw', node),
  agent: restricted('+net_admin,+net_raw', agent),
  virtualServers: readFileSync('/proc/net/ip_vs', 'utf8')
    .split('\n')
    .filter((line) => /^(TCP|UDP) /.test(line)).length,
  withoutRaw: restricted('+net_admin', agent),
};
writeFileSync(join(process.env['POINTSMAN_RESULTS'] ?? '/tmp', 'result.json'), JSON.stringify(seen));
