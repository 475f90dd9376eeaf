// Lines that people grep the log of a kube-proxy for, word for word, with the fields that belong to them and the level they come at. They
// say what happened here as they do there; nothing is written only to look alike.
//
// What kube-proxy 1.36 writes and this agent does not:
//   "Using iptables proxy", "Using iptables Proxier", "Using nftables Proxier"    there is no such mode in this build
//   "Setting route_localnet=1 ...", "Syncing iptables rules", "SyncProxyRules complete", "nftables sync failed"    as well
//   "Failed to execute iptables-restore"    a refusal of rules is a problem of the object that they are for, and is logged as that
//   "Golang settings"    there is no Go here
//   "Waiting for caches to sync", "Caches are synced"    lines of client-go
//   "The ipvs proxier is now deprecated ..."    that mode of kube-proxy is deprecated, this one is not
//   "IPVS scheduler not specified, use rr by default"    comes once, not once for each address family
// "Sync failed" is how the line of a failed sync begins here, too.

import { formatGoDuration } from '../config/duration.ts';

/** Messages by what they say; the fields in braces. At level 0 unless said. */
export const LINES = {
  /** {version}: first of all. */
  versionInfo: 'Version info',
  /** Mode ipvs is what runs. */
  usingIpvs: 'Using ipvs Proxier',
  schedulerDefault: 'IPVS scheduler not specified, use rr by default',
  /** {err}: an error, and the start fails: no IPVS in the kernel, or not the scheduler that is asked for. */
  cannotUseIpvs: "can't use the IPVS proxier",
  /** {NodeIPs}: a list. */
  nodeIpsFound: 'Successfully retrieved NodeIPs',
  /** {node, newNodeIPs, oldNodeIPs} */
  nodeIpsChanged: 'NodeIPs changed for the node',
  /** {node, newPodCIDRs, oldPodCIDRs}: in detectLocalMode NodeCIDR. */
  podCidrsChanged: 'PodCIDRs changed for the node',
  /** {primary ipFamily}; kube-proxy's name of the field has a blank as well. */
  dualStack: 'kube-proxy running in dual-stack mode',
  /** {ipFamily} */
  singleStack: 'kube-proxy running in single-stack mode',
  /** {err}: an error; the start goes on. */
  configIncomplete: 'Kube-proxy configuration may be incomplete or incorrect',
  /** {nfConntrackMax} */
  conntrackMax: 'Setting nf_conntrack_max',
  /** {entry, value}: a switch under /proc/sys was changed. */
  sysctlSet: 'Set sysctl',
  /** Reading of Services begins. */
  startingServices: 'Starting service config controller',
  /** Reading of EndpointSlices begins. */
  startingEndpointSlices: 'Starting endpoint slice config controller',
  /** Reading of this Node begins. */
  startingNode: 'Starting node config controller',
  /** Reading of ServiceCIDRs begins; for an agent that reads them. */
  startingServiceCidrs: 'Starting serviceCIDR config controller',
  /** No --kubeconfig, no --master: the pod's service account is used. */
  inCluster: 'Neither kubeconfig file nor master URL was specified, falling back to in-cluster config',
  initOnly: 'System initialized and --init-only specified',
  /** {err}: an error. */
  healthServerFailed: 'Healthz server failed',
  /** {err}: an error; there it is the begin of `err` of an "Unhandled Error". */
  metricsServerFailed: 'starting metrics server failed',
  /** {err}: the file breaks the strict rules only. */
  lenientDecoding: 'Using lenient decoding as strict decoding failed',
  /** {elapsed}: at level 4; `elapsed` as `formatElapsed` has it. */
  syncComplete: 'syncProxyRules complete',
  /** {lines}: ours, a warning: nobody took them. */
  linesLost: 'Lines of this log were lost: they could not be written',
} as const;

/** A duration as Go prints it, to the microsecond: '812µs', '13.52ms', '1.5s', '2m3.25s'; '0s' for 0 and below. */
export function formatElapsed(elapsedMs: number): string {
  return formatGoDuration(BigInt(Math.max(0, Math.round(elapsedMs * 1000))) * 1000n);
}
