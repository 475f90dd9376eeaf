// The lines that ip(8) reads to build and to remove a topology: its interfaces, addresses and routes. Pure text; nothing runs
// here. Sources: ip-link(8), ip-address(8), ip-route(8), ip-netns(8).

import type { Host } from './topology.ts';

/** The bridge of the LAN on this node. */
export const BRIDGE = 'lan0';

/** The networks that clients route to this node. */
export const SERVICE_NETWORKS = { ipv4: '10.96.0.0/12', ipv6: 'fd96::/108' } as const;

/** The pods' networks: of this node and of node2. */
export const POD_NETWORKS = {
  node1: { ipv4: '10.244.1.0/24', ipv6: 'fd00:10:244:1::/64' },
  node2: { ipv4: '10.244.2.0/24', ipv6: 'fd00:10:244:2::/64' },
} as const;

/** This node: the namespace the process runs in. */
export const node: Host = { name: 'node1', netnsPath: null, ipv4: '192.168.50.11', ipv6: 'fd00:50::11' };
/** The other node. */
export const node2: Host = {
  name: 'node2',
  netnsPath: netnsPath('node2'),
  ipv4: '192.168.50.12',
  ipv6: 'fd00:50::12',
};

/** Where ip(8) keeps a namespace. */
export function netnsPath(name: string): string {
  return `/run/netns/${name}`;
}

/** This node's end of a LAN member's veth. */
function lanPort(host: Host): string {
  return `lan-${host.name}`;
}

/** A node's end of a pod's veth. */
function podPort(host: Host): string {
  return `veth-${host.name}`;
}

/** What `ip -batch` reads for the namespace of this process, with all namespaces and all veths. */
export function nodeLines(
  pods: readonly Host[],
  clients: readonly Host[],
  remotePods: readonly Host[],
): string[] {
  const lines = [node2, ...pods, ...remotePods, ...clients].map((namespace) => `netns add ${namespace.name}`);
  lines.push(
    'link set dev lo up',
    `link add ${BRIDGE} type bridge`,
    ...ipv6Ready(BRIDGE, 'fe80::11'),
    `addr add ${node.ipv4}/24 dev ${BRIDGE}`,
    `addr add ${node.ipv6}/64 dev ${BRIDGE} nodad`,
  );
  for (const host of [node2, ...clients]) {
    lines.push(
      `link add ${lanPort(host)} type veth peer name eth0 netns ${host.name}`,
      `link set dev ${lanPort(host)} master ${BRIDGE} addrgenmode none`,
      `link set dev ${lanPort(host)} up`,
    );
  }
  for (const pod of pods) {
    lines.push(
      `link add ${podPort(pod)} type veth peer name eth0 netns ${pod.name}`,
      ...gatewayLines(podPort(pod), pod, '10.244.1.1', 'fd00:10:244:1::1'),
    );
  }
  lines.push(
    `route add ${POD_NETWORKS.node2.ipv4} via ${node2.ipv4}`,
    `route add ${POD_NETWORKS.node2.ipv6} via ${node2.ipv6}`,
  );
  return lines;
}

/** What `ip -n NAMESPACE -batch` reads for one of the other namespaces. */
export function namespaceLines(host: Host, pods: readonly Host[], remotePods: readonly Host[]): string[] {
  const isPod = pods.includes(host) || remotePods.includes(host);
  const lines = ['link set dev lo up', ...ipv6Ready('eth0', 'fe80::2')];
  if (isPod) {
    const gateway = pods.includes(host) ? '10.244.1.1' : '10.244.2.1';
    lines.push(
      `addr add ${host.ipv4}/32 dev eth0`,
      `addr add ${host.ipv6}/128 dev eth0 nodad`,
      `route add ${gateway}/32 dev eth0`,
      `route add default via ${gateway} dev eth0`,
      'route add default via fe80::1 dev eth0',
    );
    return lines;
  }
  lines.splice(1, lines.length, ...ipv6Ready('eth0', `fe80::${host.ipv6.slice('fd00:50::'.length)}`));
  lines.push(`addr add ${host.ipv4}/24 dev eth0`, `addr add ${host.ipv6}/64 dev eth0 nodad`);
  if (host !== node2) {
    lines.push(
      `route add ${SERVICE_NETWORKS.ipv4} via ${node.ipv4}`,
      `route add ${SERVICE_NETWORKS.ipv6} via ${node.ipv6}`,
    );
    return lines;
  }
  lines.push(
    `route add ${POD_NETWORKS.node1.ipv4} via ${node.ipv4}`,
    `route add ${POD_NETWORKS.node1.ipv6} via ${node.ipv6}`,
  );
  for (const pod of remotePods) {
    lines.push(
      `link add ${podPort(pod)} type veth peer name eth0 netns ${pod.name}`,
      ...gatewayLines(podPort(pod), pod, '10.244.2.1', 'fd00:10:244:2::1'),
    );
  }
  return lines;
}

/** A node's end of a pod's veth: the gateway's addresses and a route to this pod alone, so that pods meet in the node's stack. */
function gatewayLines(link: string, pod: Host, ipv4: string, ipv6: string): string[] {
  return [
    ...ipv6Ready(link, 'fe80::1'),
    `addr add ${ipv4}/32 dev ${link}`,
    `addr add ${ipv6}/128 dev ${link} nodad`,
    `route add ${pod.ipv4}/32 dev ${link}`,
    `route add ${pod.ipv6}/128 dev ${link}`,
  ];
}

/** Takes a link up with a link-local address that is usable at once; the kernel's own one would be tentative for a second. */
function ipv6Ready(link: string, linkLocal: string): string[] {
  return [
    // Two lines, because the kernel takes a link up before it reads addrgenmode of the same request.
    `link set dev ${link} addrgenmode none`,
    `link set dev ${link} up`,
    `addr add ${linkLocal}/64 dev ${link} nodad`,
  ];
}

/** Takes all of it away; lines about what was never built fail. */
export function removalLines(
  pods: readonly Host[],
  clients: readonly Host[],
  remotePods: readonly Host[],
): string[] {
  // The node's ends of the veths go first: a namespace that a thread or socket still uses would keep its end, and so both.
  return [
    ...[BRIDGE, ...[node2, ...clients].map(lanPort), ...pods.map(podPort)].map(
      (link) => `link del dev ${link}`,
    ),
    ...[node2, ...pods, ...remotePods, ...clients].map((namespace) => `netns del ${namespace.name}`),
  ];
}
