// This node as plans see it: settings, its Node object, its addresses, the families and schedulers of its kernel; and whether enough of it is
// known to program anything.

import type { Config } from '../config/config.ts';
import type { Family, IpAddress } from '../model/ip.ts';
import type { NodeRecord } from '../model/node.ts';
import type { Scheduler } from '../model/schedulers.ts';
import type { NodeOptions } from '../plan/plan.ts';
import { requirePrimaryFamily } from './address-families.ts';
import { reportFamilies } from './family-warnings.ts';
import { named, type Log } from './log.ts';
import { NodeGate } from './node-gate.ts';
import { awaits, detectNodeIps } from './node-ips.ts';
import { OwnNode } from './own-node.ts';
import { nodeOptionsFrom } from './settings.ts';

export interface ThisNodeParts {
  readonly nodeName: string;
  /** That its kernel can forward. */
  readonly families: readonly Family[];
  readonly config: () => Config;
  /** That its kernel is known not to have. */
  readonly missingSchedulers: () => readonly Scheduler[];
  readonly log: Log;
}

/** See above. */
export class ThisNode {
  readonly nodeName: string;
  private readonly parts: ThisNodeParts;
  private readonly own: OwnNode;
  private readonly gate: NodeGate;
  private localAddresses: readonly IpAddress[] = [];

  constructor(parts: ThisNodeParts) {
    this.parts = parts;
    this.nodeName = parts.nodeName;
    this.own = new OwnNode(parts.nodeName, named(parts.log, 'own-node'));
    this.gate = new NodeGate(named(parts.log, 'node-gate'));
  }

  /** What plans depend on. */
  options(): NodeOptions {
    const { config, families, missingSchedulers, nodeName } = this.parts;
    return nodeOptionsFrom(config(), {
      ...{ nodeName, families, node: this.own.current },
      ...{ localAddresses: this.localAddresses, missingSchedulers: missingSchedulers() },
    });
  }

  takeNode(node: NodeRecord | undefined): void {
    this.own.take(node, this.parts.config());
  }

  takeAddresses(addresses: readonly IpAddress[]): void {
    this.localAddresses = addresses;
  }

  /** Resolves when enough is known to program anything. */
  get isKnown(): Promise<void> {
    return this.gate.opened;
  }

  /** What is awaited of it, '' for nothing. */
  get awaited(): string {
    return this.gate.awaited;
  }

  /** To be called when everything was read once, and after each change of Node or settings from then on. */
  updateGate(): void {
    this.gate.update(awaits(this.parts.config(), this.nodeName, this.own.current));
  }

  /** Says what fits badly to it, once it is known. Throws INVALID_CONFIG and UNSUPPORTED_FAMILY for what kube-proxy refuses. */
  report(): void {
    const { families, log } = this.parts;
    const config = this.parts.config();
    const nodeIps = detectNodeIps(this.own.current?.addresses ?? [], config.bindAddress);
    const podCIDRs = this.own.current?.podCIDRs ?? [];
    this.own.reportUnknown(config);
    requirePrimaryFamily(nodeIps.primaryFamily, families);
    reportFamilies(config, { nodeIps, podCIDRs, families }, log);
  }
}
