// Inside a guest: clean-ups among other people's things. Each case places foreign state, puts a proxy's state beside it, cleans, and writes
// down what the ordinary tools show before and after. The assertions stand outside, in cleanup.test.ts.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { AgentProcess, pointsman } from '../../lab/agent-process.ts';
import type { CleanupOutput } from '../../src/cli/cleanup.ts';
import { cleanUp } from '../../src/daemon/cleanup.ts';
import { KernelCleanupPort } from '../../src/daemon/cleanup-port.ts';
import type { Owner } from '../../src/backends/ipvs/provenance.ts';
import { KernelPort } from '../../src/backends/ipvs/kernel-port.ts';
import { Snapshot } from '../../src/model/snapshot.ts';
import { readCase } from '../golden/cases.ts';
import { configure, syncWhole } from '../golden/kernel-state-agent.ts';
import { startAgent } from '../in-memory-agent.ts';
import { shell, wipeKernel } from './kernel-tools.ts';

const GOLDEN = join(import.meta.dirname, '../golden');
const RECORDED = ['01-clusterip', '02-nodeport-lb-local', '03-affinity-external-dual'] as const;
const EXAMPLE = join(import.meta.dirname, '../../examples/hello/manifests');

const PARTS = '==next==';
const LOOKS = {
  ipvsadm: 'ipvsadm -Sn',
  ipset: 'ipset save',
  iptables: 'iptables-legacy-save',
  ip6tables: 'ip6tables-legacy-save',
  addresses: 'ip -o addr',
  routes: 'ip route show table all',
  routes6: 'ip -6 route show table all',
} as const;

/** What the tools show, without counters, times of day and numbers of links. */
function look(): Record<keyof typeof LOOKS, string> {
  const texts = shell(Object.values(LOOKS).join(`; echo ${PARTS}; `)).split(`${PARTS}\n`);
  const shown = Object.keys(LOOKS).map((name, i) => {
    const lines = (texts[i] ?? '').split('\n').filter((line) => line !== '' && !line.startsWith('#'));
    const plain = lines.map((line) => line.replace(/ \[\d+:\d+\]$|^\d+: /, ''));
    // IPVS lists by a hash; order means nothing there.
    return [name, (name === 'ipvsadm' ? plain.sort() : plain).join('\n')];
  });
  return Object.fromEntries(shown) as Record<keyof typeof LOOKS, string>;
}

/** An empty kernel and a node with the recorded one's addresses. */
function freshNode(): void {
  wipeKernel();
  shell(`
    printf '*mangle\\nCOMMIT\\n' | iptables-legacy-restore
    printf '*mangle\\nCOMMIT\\n' | ip6tables-legacy-restore
    ip route flush type blackhole
    ip -force -batch - 2>/dev/null <<'END' || true
link del kube-ipvs1
link del node0
END
    ip -batch - <<'END'
link add node0 type dummy
link set node0 up addrgenmode none
addr add 192.168.50.11/24 dev node0
addr add fd00:50::11/64 dev node0 nodad
END`);
}

/** Chains with names close to kube-proxy's, kubelet's own, and jumps with the comments of ours. */
const FOREIGN_RULES = `*mangle
:KUBE-KUBELET-CANARY - [0:0]
:KUBE-IPTABLES-HINT - [0:0]
COMMIT
*filter
:KUBE-FIREWALL - [0:0]
:KUBE-IPVS-FILTER2 - [0:0]
-A INPUT -j KUBE-FIREWALL
-A INPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER2
-A KUBE-IPVS-FILTER2 -m comment --comment "kubernetes ipvs access filter" -j RETURN
COMMIT
*nat
:KUBE-SERVICES-FOO - [0:0]
:KUBE-SVC-MINE - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES-FOO
-A KUBE-SERVICES-FOO -j KUBE-SVC-MINE
COMMIT
`;

/** Everything that looks like a proxy's and is none's: names close to ours, places close to kube-proxy's. */
function placeForeign(): void {
  shell(`
    ipvsadm -R <<'END'
-A -t 192.0.2.77:80 -s wlc
-a -t 192.0.2.77:80 -r 192.0.2.9:80 -m
-A -f 7 -s rr
-A -u 192.168.50.11:53 -s rr
-a -u 192.168.50.11:53 -r 10.244.1.5:53 -m
-A -t 192.168.50.11:32768 -s rr
-A -t 192.168.50.11:30999 -s rr
-a -t 192.168.50.11:30999 -r 192.0.2.9:30999 -g
-A -t [fd00:50::11]:29999 -s rr
END
    ipset restore <<'END'
create KUBE-CLUSTER-IP2 hash:ip,port
add KUBE-CLUSTER-IP2 10.96.0.1,tcp:443
create KUBE-6-CLUSTER-IPS hash:ip,port family inet6
create POINTSMAN-VS2 hash:ip
END
    ip -batch - <<'END'
link add kube-ipvs1 type dummy
addr add 10.96.200.1/32 dev kube-ipvs1
route add blackhole 10.96.201.0/24
END
    iptables-legacy-restore --noflush <<'END'
${FOREIGN_RULES}END
    ip6tables-legacy-restore --noflush <<'END'
${FOREIGN_RULES}END`);
}

/** kube-proxy's recorded state, as the ordinary tools restore it. */
function restoreRecorded(name: string): void {
  const file = (part: string): string => join(GOLDEN, name, 'ipvs', part);
  shell(`
    ipset restore < ${file('ipset-save.txt')}
    iptables-legacy-restore --noflush < ${file('iptables-save.txt')}
    ip6tables-legacy-restore --noflush < ${file('ip6tables-save.txt')}
    ipvsadm -R < ${file('ipvsadm-Sn.txt')}
    ip link add kube-ipvs0 type dummy`);
  const [link] = JSON.parse(readFileSync(file('kube-ipvs0.json'), 'utf8')) as [
    { addr_info: { local: string; prefixlen: number }[] },
  ];
  const batch = link.addr_info.map(
    ({ local, prefixlen }) => `addr add ${local}/${prefixlen} dev kube-ipvs0\n`,
  );
  shell(`ip -batch - <<'END'\n${batch.join('')}END`);
}

const cleaning = await KernelCleanupPort.open(['IPv4', 'IPv6']);

async function clean(owners: readonly Owner[], isDryRun = false): Promise<CleanupOutput> {
  return {
    isDryRun,
    ...(await cleanUp(cleaning, { owners: new Set(owners), excludeCIDRs: [] }, isDryRun)),
  };
}

/** Foreign state, then what `make` adds, then a dry run, a real one and a second one. */
async function among(
  make: () => Promise<void> | void,
  owners: readonly Owner[],
): Promise<Record<string, unknown>> {
  freshNode();
  placeForeign();
  const before = look();
  await make();
  const full = look();
  const dry = await clean(owners, true);
  const afterDry = look();
  const real = await clean(owners);
  return { before, full, dry, afterDry, real, after: look(), second: await clean(owners) };
}

const port = await KernelPort.open(['IPv4', 'IPv6']);

/** The state that our agent makes of a golden case. */
async function runAgent(name: string): Promise<void> {
  const golden = readCase(name);
  const snapshot = new Snapshot();
  const events = golden.stages[0]?.events ?? [];
  for (const event of events) snapshot.apply(event);
  const started = startAgent(port, golden.nodeOptions(snapshot), events);
  configure(started.backend, golden.config);
  await syncWhole(started);
}

const cases: Record<string, () => Promise<unknown>> = {
  async ours() {
    return among(() => runAgent('03-affinity-external-dual'), ['pointsman']);
  },

  /** A running agent is in the way; once it is killed, its socket's file is not. */
  async agentRuns() {
    freshNode();
    const before = look();
    const agent = new AgentProcess(['--manifests', EXAMPLE]);
    await agent.until('synced', ({ services, isSynced }) => isSynced && services.length > 0);
    const refused = [pointsman(['cleanup']), pointsman(['run', '--cleanup'])];
    const dry = pointsman(['cleanup', '--dry-run', '-o', 'json']);
    await agent.stop('SIGKILL');
    const done = pointsman(['cleanup']);
    return { before, refused, dry, done, after: look() };
  },

  /** Things of others on kube-ipvs0 and in our sets: an address, and a kube-proxy with a virtual server there and a port of ours. */
  async besideAnAddress() {
    return among(async () => {
      await runAgent('01-clusterip');
      shell('ip addr add 10.99.0.1/32 dev kube-ipvs0; ip addr add 10.99.1.1/24 dev kube-ipvs0');
    }, ['pointsman']);
  },
  async besideAnotherProxy() {
    return among(async () => {
      await runAgent('02-nodeport-lb-local');
      shell(`
        ip addr add 192.168.50.12/24 dev node0
        ip addr add 10.96.99.1/32 dev kube-ipvs0
        ipvsadm -A -t 10.96.99.1:80 -s rr
        ipvsadm -a -t 10.96.99.1:80 -r 10.244.1.5:8080 -m
        ipvsadm -A -t 10.96.20.1:8443 -s rr
        ipvsadm -A -t 192.168.50.12:30080 -s rr
        ipset add KUBE-CLUSTER-IP 10.96.99.1,tcp:80
        ipset add KUBE-CLUSTER-IP 10.96.20.1,tcp:8443
        ipset add KUBE-IPVS-IPS 10.96.99.1`);
    }, ['pointsman']);
  },
  /** A rule of somebody else that matches one of our sets and one that leads to one of our chains. */
  async usedByOthers() {
    return among(async () => {
      await runAgent('01-clusterip');
      shell(`
        iptables-legacy -w -A FORWARD -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT
        iptables-legacy -w -t nat -A KUBE-SERVICES-FOO -j KUBE-MARK-MASQ`);
    }, ['pointsman']);
  },

  ...Object.fromEntries(
    RECORDED.map((name) => [name, () => among(() => restoreRecorded(name), ['kube-proxy'])]),
  ),

  /** Ours is not kube-proxy's. */
  async fromKubeProxyBesideOurs() {
    return among(async () => {
      await runAgent('02-nodeport-lb-local');
      shell(`
        ip addr add 10.96.99.1/32 dev kube-ipvs0
        ipvsadm -A -t 10.96.99.1:80 -s rr
        ipset add KUBE-CLUSTER-IP 10.96.99.1,tcp:80
        ipset add KUBE-IPVS-IPS 10.96.99.1`);
    }, ['kube-proxy']);
  },

  async excluded() {
    freshNode();
    restoreRecorded('02-nodeport-lb-local');
    writeFileSync(
      '/run/excluded.yaml',
      'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: iptables\nipvs: {excludeCIDRs: [192.168.50.0/24]}\n',
    );
    const { code, stdout } = pointsman(['cleanup', '--from', 'kube-proxy', '--config', '/run/excluded.yaml']);
    return { code, stdout, after: look() };
  },

  /** kube-proxy's own flag takes both away. */
  async everything() {
    freshNode();
    placeForeign();
    const before = look();
    await runAgent('01-clusterip');
    shell(`
      ip addr add 10.96.99.1/32 dev kube-ipvs0
      ipvsadm -A -t 10.96.99.1:80 -s rr
      iptables-legacy -w -t mangle -N KUBE-PROXY-CANARY
      iptables-legacy -w -t nat -N KUBE-SVC-NPX46M4PTMTKRN6Y`);
    const done = pointsman(['run', '--cleanup']);
    return { before, done, after: look() };
  },
};

const results: Record<string, unknown> = {};
shell('ip link set lo up');
for (const [name, run] of Object.entries(cases)) {
  try {
    results[name] = await run();
  } catch (error) {
    results[name] = { error: error instanceof Error ? (error.stack ?? '') : String(error) };
  }
}
writeFileSync(join(process.env['POINTSMAN_RESULTS'] ?? '/tmp', 'result.json'), JSON.stringify(results));
process.exit(0);
