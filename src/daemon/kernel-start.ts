// Opens this node's kernel for an agent: what it can forward, what it does, which iptables it has. Forwarding is not touched yet; conntrack's
// settings are written, once it is sure that this kernel will do.

import { KernelPort } from '../backends/ipvs/kernel-port.ts';
import type { KernelBehaviour } from '../backends/ipvs/kernel-behaviour.ts';
import { probeKernelBehaviour } from '../backends/ipvs/kernel-behaviour-probe.ts';
import type { Config } from '../config/config.ts';
import { PointsmanError } from '../model/errors.ts';
import type { Family } from '../model/ip.ts';
import { detectFamilies } from './address-families.ts';
import { mayBeLeft } from './cleanup-plan.ts';
import { applyConntrack } from './conntrack-settings.ts';
import { LINES } from './log-lines.ts';
import type { Log } from './log.ts';
import { requireScheduler } from './start-up.ts';

/** An opened kernel. */
export interface OpenedKernel {
  readonly port: KernelPort;
  /** Those that can be forwarded, at least one. */
  readonly families: readonly Family[];
  readonly behaviour: KernelBehaviour;
  /** By family, whether rules of a kube-proxy of another mode may be there. */
  readonly suspects: ReadonlyMap<Family, boolean>;
}

/** Throws what is missing (MISSING_...) and KERNEL_REFUSED. */
export async function openKernel(config: Config, log: Log): Promise<OpenedKernel> {
  const suspects = new Map<Family, boolean>();
  let port: KernelPort;
  try {
    port = await KernelPort.open(detectFamilies(log), {
      onSavedRules: (family, text) => suspects.set(family, suspects.get(family) === true || mayBeLeft(text)),
      onMissingFamily: (family, error) =>
        log.info('No iptables support for family', { ipFamily: family, err: error.message }),
    });
    await requireScheduler(config.ipvs.scheduler);
  } catch (error) {
    if (!(error instanceof PointsmanError)) throw error;
    throw new PointsmanError(error.code, `${LINES.cannotUseIpvs}: ${error.message}`, error.context, {
      cause: error,
    });
  }
  await applyConntrack(config.conntrack, log);
  const behaviour = probeKernelBehaviour();
  log.info('Probed what this kernel does', {
    connectionReuse: behaviour.connectionReuse.result,
    removedServer: behaviour.removedServer.result,
    estimation: behaviour.estimation.result,
    elapsedMs: behaviour.tookMs,
  });
  for (const family of port.families) {
    const { flavour, reason } = port.iptablesOf(family);
    log.info('Using iptables', { family, flavour, reason });
  }
  return { port, families: port.families, behaviour, suspects };
}
