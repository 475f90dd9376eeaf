// This node's Node object as plans may rely on it, and what the log says of it. A Node that is deleted, or that loses its addresses or pod
// networks, says nothing new about this machine: without its address, `nodePortAddresses: primary` would open NodePorts everywhere, and
// without its pod networks pods would count as strangers. So what was known last holds until there is something else.

import type { Config } from '../config/config.ts';
import type { NodeRecord } from '../model/node.ts';
import { LINES } from './log-lines.ts';
import type { Log } from './log.ts';
import { detectNodeIps, hostIps } from './node-ips.ts';

/** Settings that say what matters of the Node. */
export type NodeConfig = Pick<Config, 'bindAddress' | 'detectLocalMode'>;

/** See above. */
export class OwnNode {
  private readonly nodeName: string;
  private readonly log: Log;
  private known: NodeRecord | undefined = undefined;
  private isThere = false;

  constructor(nodeName: string, log: Log) {
    this.nodeName = nodeName;
    this.log = log;
  }

  /** What counts at present; undefined before the Node was known. */
  get current(): NodeRecord | undefined {
    return this.known;
  }

  /** Takes in the Node as it is now, undefined when there is none; what matters of the difference is logged. Returns what counts. */
  take(found: NodeRecord | undefined, { detectLocalMode }: NodeConfig): NodeRecord | undefined {
    const before = this.known;
    if (found === undefined) {
      if (this.isThere)
        this.log.warn('The Node was deleted; what was known of it holds', { node: this.nodeName });
      this.isThere = false;
      return before;
    }
    this.isThere = true;
    this.known = {
      ...found,
      addresses: found.addresses.length === 0 ? (before?.addresses ?? []) : found.addresses,
      podCIDRs: found.podCIDRs.length === 0 ? (before?.podCIDRs ?? []) : found.podCIDRs,
    };
    this.tell(before, this.known, detectLocalMode);
    return this.known;
  }

  /** To be called once, before the first sync: says so when this node's address is not known. */
  reportUnknown({ bindAddress }: NodeConfig): void {
    if (detectNodeIps(this.known?.addresses ?? [], bindAddress).known.length > 0) return;
    this.log.info(
      "Can't determine this node's IP, assuming loopback; if this is incorrect, please set the --bind-address flag",
    );
  }

  private tell(
    before: NodeRecord | undefined,
    now: NodeRecord,
    detectLocalMode: Config['detectLocalMode'],
  ): void {
    const node = this.nodeName;
    const [oldIps, newIps] = [hostIps(before?.addresses ?? []), hostIps(now.addresses)];
    if (oldIps.length === 0 && newIps.length > 0) this.log.info(LINES.nodeIpsFound, { NodeIPs: newIps });
    else if (oldIps.join() !== newIps.join())
      this.log.info(LINES.nodeIpsChanged, { node, newNodeIPs: newIps, oldNodeIPs: oldIps });
    if (detectLocalMode !== 'NodeCIDR') return;
    const [oldCIDRs, newCIDRs] = [before?.podCIDRs ?? [], now.podCIDRs];
    if (oldCIDRs.join() === newCIDRs.join()) return;
    if (oldCIDRs.length === 0) this.log.info('NodeInfo', { podCIDRs: newCIDRs });
    else this.log.info(LINES.podCidrsChanged, { node, newPodCIDRs: newCIDRs, oldPodCIDRs: oldCIDRs });
  }
}
