// Can this kernel schedule by a given name? Asked by making a virtual server in a scratch namespace, so that the node's own table never
// sees it; the kernel loads the scheduler's module (ip_vs_NAME) by that, and it stays loaded. Source: net/netfilter/ipvs/ip_vs_sched.c.

import { errorLine, hasCode, KernelError } from '../../model/errors.ts';
import { isModuleInstalled, loadModule } from '../../kernel/modules.ts';
import { inScratchNamespace } from '../../kernel/scratch-namespace.ts';
import { loopback, ScratchIpvs, virtualServer } from './scratch-ipvs.ts';

/** Whether virtual servers can have a scheduler; if not, why, and what to do about it. */
export type SchedulerAvailability =
  | { readonly isAvailable: true }
  | { readonly isAvailable: false; readonly reason: string; readonly remedy: string };

/** The kernel runs modprobe while it answers. */
const ANSWER_MS = 5000;

/**
 * Asks the kernel; where it cannot load the module by itself (no modprobe in its own mount namespace), it is loaded from here and asked
 * again. Without the right to make a scratch namespace (CAP_SYS_ADMIN) the lists of modules are asked instead, and where those are not
 * to be seen it counts as available: the kernel loads it at the first virtual server, or refuses that. Never throws.
 */
export async function probeScheduler(name: string): Promise<SchedulerAvailability> {
  const first = tryScheduler(name);
  if (first === null) return { isAvailable: true };
  if (hasCode(first, 'MISSING_PRIVILEGE')) return lookUpScheduler(name);
  if (!(first instanceof KernelError) || first.errnoName !== 'ENOENT')
    return unavailable(errorLine(first), 'put right what the kernel says, or choose another scheduler');
  let loading = '';
  try {
    await loadModule(`ip_vs_${name}`);
  } catch (error) {
    loading = errorLine(error);
  }
  const second = tryScheduler(name);
  if (second === null) return { isAvailable: true };
  const reason = loading === '' ? errorLine(second) : loading;
  return unavailable(reason, `load the module ip_vs_${name} on the node, or choose another scheduler`);
}

function lookUpScheduler(name: string): SchedulerAvailability {
  const module = `ip_vs_${name}`;
  if (isModuleInstalled(module) !== false) return { isAvailable: true };
  return unavailable(
    `${module} is neither in the kernel nor among its modules`,
    `load the module ${module} on the node, or choose another scheduler`,
  );
}

/** What the kernel threw at a virtual server with the scheduler; null when it made one. */
function tryScheduler(name: string): unknown {
  try {
    inScratchNamespace(() => {
      const ipvs = new ScratchIpvs(ANSWER_MS);
      try {
        ipvs.apply({ op: 'NEW_SERVICE', service: virtualServer(loopback(10), 80, name) });
      } finally {
        ipvs.close();
      }
    });
    return null;
  } catch (error) {
    return error;
  }
}

function unavailable(reason: string, remedy: string): SchedulerAvailability {
  return { isAvailable: false, reason, remedy };
}
