// `run --init-only`: the part of an agent's start that needs a privileged container, so that the agent itself can run with few capabilities
// and a read-only /proc/sys. Changes no forwarding: what it sets are modules and switches that an agent would set, too, and an agent that
// finds them right has nothing to write. Source: kube-proxy 1.36, --init-only.

import { probeKernelBehaviour } from '../backends/ipvs/kernel-behaviour-probe.ts';
import { probeScheduler } from '../backends/ipvs/schedulers-probe.ts';
import { checkSwitches, requireNeeded, type SwitchChange } from '../backends/ipvs/switches.ts';
import type { Config } from '../config/config.ts';
import { IpvsClient } from '../kernel/ipvs.ts';
import { loadModule } from '../kernel/modules.ts';
import { readSysctl, writeSysctl } from '../kernel/sysctl.ts';
import { errorLine, hasCode } from '../model/errors.ts';
import type { Scheduler } from '../model/schedulers.ts';
import { applyConntrack } from './conntrack-settings.ts';
import { LINES } from './log-lines.ts';
import type { Log } from './log.ts';
import { ipvsSettings } from './settings.ts';
import { requireRoot } from './privileges.ts';
import { requireScheduler } from './start-up.ts';

/** Loaded where they exist: what Services may name in annotations most often, and what people expect beside a kube-proxy. */
const USUAL_SCHEDULERS: readonly Scheduler[] = ['rr', 'wrr', 'sh'];

/**
 * Loads ip_vs, the configured scheduler and the usual ones, and nf_conntrack; sets the conntrack settings and the switches of mode ipvs.
 * May be repeated, and run beside an agent. Throws what an agent's start would throw: MISSING_PRIVILEGE, MISSING_MODULE, KERNEL_REFUSED.
 */
export async function initOnly(config: Config, log: Log): Promise<void> {
  requireRoot();
  await requireIpvs();
  await requireScheduler(config.ipvs.scheduler);
  for (const name of USUAL_SCHEDULERS) await tryToLoadScheduler(name, log);
  await applyConntrack(config.conntrack, log);
  const behaviour = probeKernelBehaviour();
  const port = {
    sysctl: readSysctl,
    writeSysctl: (path: string, value: string) => void writeSysctl(path, value),
  };
  const clock = { now: () => performance.now(), pace: () => Promise.resolve() };
  const changes = checkSwitches(port, ipvsSettings(config, clock, behaviour));
  for (const change of changes) tell(change, log);
  requireNeeded(changes);
  log.info(LINES.initOnly);
}

/** The kernel loads ip_vs when it is asked for; where its own modprobe does not find it, ours may. */
async function requireIpvs(): Promise<void> {
  try {
    IpvsClient.open().close();
  } catch (error) {
    if (!hasCode(error, 'MISSING_MODULE')) throw error;
    await loadModule('ip_vs');
    IpvsClient.open().close();
  }
}

async function tryToLoadScheduler(name: Scheduler, log: Log): Promise<void> {
  const answer = await probeScheduler(name);
  if (!answer.isAvailable)
    log.verbose(2, 'This kernel has no such scheduler', { scheduler: name, err: answer.reason });
}

function tell({ path, wanted, why, isNeeded, error }: SwitchChange, log: Log): void {
  if (error === null) log.info(LINES.sysctlSet, { entry: path, value: wanted, why });
  else if (!isNeeded)
    log.warn('A switch could not be set', { entry: path, value: wanted, err: errorLine(error) });
}
