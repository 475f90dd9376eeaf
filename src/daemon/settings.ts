// From the configuration file to what the parts of the daemon take. Pure.

import type { IpvsSettings } from '../backends/ipvs/settings.ts';
import { UNKNOWN_BEHAVIOUR, type KernelBehaviour } from '../backends/ipvs/kernel-behaviour.ts';
import type { Config } from '../config/config.ts';
import { familyOf, type Family, type IpAddress } from '../model/ip.ts';
import type { Scheduler } from '../model/schedulers.ts';
import type { NodeRecord } from '../model/node.ts';
import type { LocalDetector, NodeOptions } from '../plan/plan.ts';
import { makeNodeOptions, type NodeSettings } from '../plan/node-options.ts';
import type { LogSettings } from './log.ts';
import { detectNodeIps } from './node-ips.ts';

/** What is known of this machine: its name, the families of its kernel, its Node object when there is one, its addresses. */
export interface NodeIdentity {
  readonly nodeName: string;
  readonly families: readonly Family[];
  readonly node: NodeRecord | undefined;
  readonly localAddresses: readonly IpAddress[];
  /** Schedulers that its kernel is known not to have; default: none. */
  readonly missingSchedulers?: readonly Scheduler[];
}

/** Everything of this node that plans depend on; a bindAddress that is one address stands for the Node's of its family. */
export function nodeOptionsFrom(config: Config, identity: NodeIdentity): NodeOptions {
  const { nodeName, families, node, localAddresses, missingSchedulers = [] } = identity;
  return makeNodeOptions(nodeSettings(config, nodeName, families, node), {
    zone: node?.zone ?? '',
    nodeIps: detectNodeIps(node?.addresses ?? [], config.bindAddress).known,
    localAddresses,
    missingSchedulers,
  });
}

/** The node-related settings; the Node object counts only for the detector of mode NodeCIDR. */
export function nodeSettings(
  config: Config,
  nodeName: string,
  families: readonly Family[],
  node: NodeRecord | undefined,
): NodeSettings {
  return {
    nodeName,
    families,
    scheduler: config.ipvs.scheduler,
    masqueradeAll: config.masqueradeAll,
    nodePortAddresses: config.nodePortAddresses,
    // IPVS has no virtual server on loopback: this needs a route that only mode iptables sets up.
    localhostNodePorts: false,
    allowsExternalIPs: config.featureGates['AllowServiceExternalIPs'] !== false,
    otherFamilySourceRanges: config.otherFamilySourceRanges,
    localDetector: localDetector(config, node),
  };
}

/** With mode NodeCIDR the pod CIDRs of the Node object count; without any, nobody is known to be a pod. */
function localDetector(config: Config, node: NodeRecord | undefined): LocalDetector {
  if (config.detectLocal.kind !== 'nodeCIDR') return config.detectLocal;
  const ofFamily = (family: Family) => node?.podCIDRs.find((cidr) => familyOf(cidr) === family) ?? null;
  const [ipv4, ipv6] = [ofFamily('IPv4'), ofFamily('IPv6')];
  return ipv4 === null && ipv6 === null ? { kind: 'none' } : { kind: 'cidr', ipv4, ipv6 };
}

/** The backend's settings; clock and loop come from the caller, and what the kernel does from its probe. */
export function ipvsSettings(
  config: Config,
  clock: Pick<IpvsSettings, 'now' | 'pace'>,
  behaviour: KernelBehaviour = UNKNOWN_BEHAVIOUR,
): IpvsSettings {
  const { tcpTimeoutSeconds, tcpFinTimeoutSeconds, udpTimeoutSeconds } = config.ipvs;
  return {
    strictArp: config.ipvs.strictARP,
    // 0 says nothing about a timeout: kubeadm writes it into every file.
    timeouts: {
      ...(tcpTimeoutSeconds > 0 ? { tcpSeconds: tcpTimeoutSeconds } : {}),
      ...(tcpFinTimeoutSeconds > 0 ? { tcpFinSeconds: tcpFinTimeoutSeconds } : {}),
      ...(udpTimeoutSeconds > 0 ? { udpSeconds: udpTimeoutSeconds } : {}),
    },
    masqueradeMark: 2 ** config.masqueradeBit,
    excludeCIDRs: config.ipvs.excludeCIDRs,
    behaviour,
    estimation: config.estimation,
    nodePorts: config.nodePorts,
    drainTimeoutMs: config.drainTimeoutMs,
    ...clock,
  };
}

/** What the configuration says of the log. */
export function logSettings({ logging }: Config): LogSettings {
  const { format, verbosity, vmodule } = logging;
  return { format, verbosity, vmodule };
}

/** The name by which this node knows itself: the override, then the configuration's, then the host name; trimmed, lower case. */
export function nodeNameOf(override: string | undefined, config: Config, hostname: string): string {
  return (override ?? (config.hostnameOverride === '' ? hostname : config.hostnameOverride))
    .trim()
    .toLowerCase();
}
