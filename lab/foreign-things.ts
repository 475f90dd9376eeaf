// Inside a guest: what other people have in the kernel beside us, so that every case that runs an agent shows that it is left alone. One call
// places it and, when the program ends, compares all of it with the ordinary tools; what differs takes the case's result away, so it cannot
// be overlooked. Nothing of it has to do with the traffic of the cases: its addresses are 198.18.0.0/15 and 2001:db8:70::/48.

import { spawnSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { join } from 'node:path';

/** Names close to ours and kube-proxy's, and addresses: every line of a tool that speaks of a foreign thing has one of them. */
const MARKS =
  /\b198\.1[89]\.|2001:db8:70:|-f 77\b|KUBE-CLUSTER-IP2|KUBE-6-CLUSTER-IPS|POINTSMAN-VSX|KUBE-SERVICES-FOO|KUBE-SVC-MINE|KUBE-IPVS-FILTER2|KUBE-FIREWALL2|kube-ipvs1|\b127\.77\./;
const PARTS = '==next==';
const LOOKS: Readonly<Record<string, string>> = {
  'virtual servers': 'ipvsadm -Sn',
  sets: 'ipset save -sorted',
  'rules IPv4': 'iptables-legacy-save',
  'rules IPv6': 'ip6tables-legacy-save',
  addresses: 'ip -o addr show dev kube-ipvs1',
  link: 'ip -o link show dev kube-ipvs1',
  'routes IPv4': 'ip route show table all',
  'routes IPv6': 'ip -6 route show table all',
  'routing rules': 'ip rule',
  'tracked connections': 'conntrack -L 2>/dev/null || true',
};
const TIMEOUT_MS = 300_000;

const rules = (network: string): string => `*filter
:KUBE-FIREWALL2 - [0:0]
:KUBE-IPVS-FILTER2 - [0:0]
-A INPUT -s ${network} -j DROP
-A INPUT -j KUBE-FIREWALL2
-A INPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER2
-A OUTPUT -d ${network} -p udp -j ACCEPT
-A KUBE-FIREWALL2 -s ${network} -j DROP
-A KUBE-IPVS-FILTER2 -m comment --comment "kubernetes ipvs access filter" -j RETURN
COMMIT
*nat
:KUBE-SERVICES-FOO - [0:0]
:KUBE-SVC-MINE - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES-FOO
-A POSTROUTING -s ${network} -j MASQUERADE
-A KUBE-SERVICES-FOO -d ${network} -j KUBE-SVC-MINE
COMMIT
`;

/** Virtual servers of every way of forwarding, by address and by mark; sets and chains; addresses that bear no node ports; routes. */
const BEFORE = `
modprobe -a ip_vs_wlc ip_vs_sh ip_vs_rr 2>/dev/null || true
ipvsadm -R <<'END'
-A -t 198.18.0.70:80 -s wlc -p 300
-a -t 198.18.0.70:80 -r 198.18.0.71:80 -m -w 3
-a -t 198.18.0.70:80 -r 198.18.0.72:80 -g -w 0
-A -f 77 -s sh
-a -f 77 -r 198.18.0.73:0 -g
-A -u 198.18.0.74:53 -s rr -o
-A -t [2001:db8:70::1]:443 -s rr
-a -t [2001:db8:70::1]:443 -r [2001:db8:70::2]:443 -i
END
ipset restore <<'END'
create KUBE-CLUSTER-IP2 hash:ip,port
add KUBE-CLUSTER-IP2 10.96.0.1,tcp:443
create KUBE-6-CLUSTER-IPS hash:ip,port family inet6
create POINTSMAN-VSX hash:ip
add POINTSMAN-VSX 198.18.0.70
END
ip -batch - <<'END'
link add kube-ipvs1 type dummy
addr add 127.77.0.10/32 dev kube-ipvs1
route add blackhole 198.18.96.0/24
route add blackhole 2001:db8:70:96::/64
rule add from 198.18.0.9 lookup 100 pref 9000
END
iptables-legacy-restore --noflush <<'END'
${rules('198.18.0.0/16')}END
ip6tables-legacy-restore --noflush <<'END'
${rules('2001:db8:70::/64')}END
conntrack -I -p udp -s 198.18.0.5 -d 198.18.0.74 --sport 1000 --dport 53 -r 198.18.0.75 -q 198.18.0.5 -t 30000 >/dev/null 2>&1 || true
`;
/** While the agent runs: among its own things, too, where the order of rules counts. */
const DURING = `
ipvsadm -R <<'END'
-A -t 198.19.0.70:80 -s rr
-a -t 198.19.0.70:80 -r 198.19.0.71:80 -m
END
ipvsadm -e -t 198.18.0.70:80 -r 198.18.0.72:80 -g -w 5
ipset add KUBE-CLUSTER-IP2 198.19.0.1,tcp:80
ip addr add 127.77.0.11/32 dev kube-ipvs1
ip route add blackhole 198.19.96.0/24
for chain in INPUT FORWARD OUTPUT; do iptables-legacy -w -I $chain -s 198.19.0.0/16 -j DROP; done
iptables-legacy -w -t nat -I PREROUTING 2 -s 198.19.0.0/16 -j RETURN
`;

/** Takes all of it away again. */
const rulesOut = (network: string): string => `*filter
-D INPUT -s ${network} -j DROP
-D INPUT -j KUBE-FIREWALL2
-D INPUT -m comment --comment "kubernetes ipvs access filter" -j KUBE-IPVS-FILTER2
-D OUTPUT -d ${network} -p udp -j ACCEPT
-F KUBE-FIREWALL2
-F KUBE-IPVS-FILTER2
-X KUBE-FIREWALL2
-X KUBE-IPVS-FILTER2
COMMIT
*nat
-D PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES-FOO
-D POSTROUTING -s ${network} -j MASQUERADE
-F KUBE-SERVICES-FOO
-X KUBE-SERVICES-FOO
-F KUBE-SVC-MINE
-X KUBE-SVC-MINE
COMMIT
`;
const AFTERWARDS = `
ipvsadm -R <<'END'
-D -t 198.18.0.70:80
-D -f 77
-D -u 198.18.0.74:53
-D -t [2001:db8:70::1]:443
-D -t 198.19.0.70:80
END
ipset restore <<'END'
destroy KUBE-CLUSTER-IP2
destroy KUBE-6-CLUSTER-IPS
destroy POINTSMAN-VSX
END
ip -batch - <<'END'
link del kube-ipvs1
route del blackhole 198.18.96.0/24
route del blackhole 198.19.96.0/24
route del blackhole 2001:db8:70:96::/64
rule del pref 9000
END
for chain in INPUT FORWARD OUTPUT; do iptables-legacy -w -D $chain -s 198.19.0.0/16 -j DROP; done
iptables-legacy -w -t nat -D PREROUTING -s 198.19.0.0/16 -j RETURN
iptables-legacy-restore --noflush <<'END'
${rulesOut('198.18.0.0/16')}END
ip6tables-legacy-restore --noflush <<'END'
${rulesOut('2001:db8:70::/64')}END
conntrack -D -s 198.18.0.5 >/dev/null 2>&1 || true
`;

/** True for a line of a tool's output that speaks of what `placeForeignThings` placed. */
export function isForeignLine(line: string): boolean {
  return MARKS.test(line);
}

/** What it placed. */
export interface ForeignThings {
  /** More of it, and changes by its owners: call it while an agent runs. */
  placeMore(): void;
  /** For a program of several cases: compares, and throws when something differs; then takes all of it away, `placeMore`'s included. */
  takeAway(): void;
}

/** See above. Before anything of ours; nobody else may take it away. Throws when a tool refuses. */
export function placeForeignThings(): ForeignThings {
  shell(BEFORE);
  let expected = look();
  const compare = (): string => {
    const changes = differences(expected, look());
    return changes.length === 0 ? '' : `foreign things were changed:\n${changes.join('\n')}`;
  };
  const requireUnchanged = (): void => {
    const change = compare();
    if (change !== '') throw new Error(change);
  };
  const atExit = (): void => {
    const change = compare();
    if (change === '') return;
    process.stderr.write(`${change}\n`);
    rmSync(join(process.env['POINTSMAN_RESULTS'] ?? '/tmp', 'result.json'), { force: true });
    process.exitCode = 1;
  };
  process.once('exit', atExit);
  return {
    placeMore() {
      requireUnchanged();
      shell(DURING);
      expected = look();
    },
    takeAway() {
      requireUnchanged();
      process.off('exit', atExit);
      shell(AFTERWARDS);
    },
  };
}

type View = Readonly<Record<string, readonly string[]>>;

/** The lines of each tool that speak of foreign things, in order where order means something, without counters and times. */
function look(): View {
  const texts = shell(Object.values(LOOKS).join(`; echo ${PARTS}; `)).split(`${PARTS}\n`);
  return Object.fromEntries(
    Object.keys(LOOKS).map((name, i) => {
      const lines = (texts[i] ?? '').split('\n').filter(isForeignLine).map(plain);
      return [name, name.startsWith('rules') ? lines : lines.sort()];
    }),
  );
}

function plain(line: string): string {
  return line.replace(/ \[\d+:\d+\]$|^\d+: | initval \S+/g, '').replace(/^(udp +17) \d+ /, '$1 ');
}

function differences(expected: View, found: View): string[] {
  return Object.entries(expected).flatMap(([name, lines]) => {
    const now = found[name] ?? [];
    if (lines.join('\n') === now.join('\n')) return [];
    const gone = lines.filter((line) => !now.includes(line)).map((line) => `${name}: gone: ${line}`);
    const come = now.filter((line) => !lines.includes(line)).map((line) => `${name}: new: ${line}`);
    return gone.length + come.length > 0
      ? [...gone, ...come]
      : [`${name}: another order: ${now.join(' | ')}`];
  });
}

function shell(script: string): string {
  const { status, stdout, stderr } = spawnSync('sh', ['-es'], {
    input: script,
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    maxBuffer: 1 << 26,
  });
  if (status !== 0) throw new Error(`the shell ended with ${status}: ${stderr}`);
  return stdout;
}
