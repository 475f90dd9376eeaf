// A clean-up from its beginning to its end: reads the node, plans, and carries out or only shows what it would do. For `pointsman cleanup` and
// `run --cleanup`, and for an agent that removes what another mode left once its own state is verified.

import type { Owner } from '../backends/ipvs/provenance.ts';
import type { RemovalScope } from '../backends/ipvs/removal-plan.ts';
import { objectsOf } from '../backends/removal.ts';
import { NO_FLAGS, type GivenFlags } from '../config/given-flags.ts';
import { configFromFlags, loadConfig } from '../config/load.ts';
import { PointsmanError } from '../model/errors.ts';
import type { Cidr } from '../model/ip.ts';
import { planCleanup } from './cleanup-plan.ts';
import { KernelCleanupPort } from './cleanup-port.ts';
import { carryOut, type CleanupPort, type CleanupReport } from './cleanup-run.ts';
import { presentFamilies } from './address-families.ts';

/** Removes everything of the owners in `scope`, or with `isDryRun` only says what it would remove. Rejects when the node cannot be read. */
export async function cleanUp(
  port: CleanupPort,
  scope: RemovalScope,
  isDryRun = false,
): Promise<CleanupReport> {
  const plan = planCleanup(await port.read(), scope);
  if (!isDryRun) return carryOut(plan, port);
  return { removed: plan.removals.flatMap(objectsOf), failed: [], left: [], kept: plan.kept };
}

/** What the command line says. */
/** Somebody who would put back what is removed: "an agent runs here (pid 4711)". */
export interface RunningProxy {
  readonly code: 'AGENT_RUNNING' | 'RIVAL_PROXY';
  readonly what: string;
}

export interface CleanupOptions {
  readonly owners: readonly Owner[];
  /** kube-proxy's configuration, whatever its mode, for ipvs.excludeCIDRs. */
  readonly configPath?: string | undefined;
  /** Of the command line; --ipvs-exclude-cidrs counts where there is no configuration file. */
  readonly flags?: GivenFlags | undefined;
  readonly isDryRun: boolean;
  /** Names the proxy that runs here and would put back what is removed, or null; not asked for a dry run. */
  readonly rival: () => Promise<RunningProxy | null>;
  /** What to do about it, besides stopping it: "go on with --force"; '' = nothing. */
  readonly rivalRemedy: string;
}

/**
 * Cleans this node. Throws MISSING_PRIVILEGE, INVALID_CONFIG, AGENT_RUNNING, RIVAL_PROXY (before anything is read or changed), and KERNEL_REFUSED when
 * the kernel cannot be read.
 */
export async function cleanUpNode(options: CleanupOptions): Promise<CleanupReport> {
  if (process.getuid?.() !== 0)
    throw new PointsmanError(
      'MISSING_PRIVILEGE',
      'only root can see and remove what a proxy left; run it as root',
    );
  const excludeCIDRs = await excludedNetworks(options.configPath, options.flags);
  const rival = options.isDryRun ? null : await options.rival();
  if (rival !== null) {
    const remedy = ['stop it first', options.rivalRemedy].filter((each) => each !== '').join(', or ');
    throw new PointsmanError(rival.code, `${rival.what} and would put back what is removed; ${remedy}`);
  }
  const port = await KernelCleanupPort.open(presentFamilies());
  try {
    return await cleanUp(port, { owners: new Set(options.owners), excludeCIDRs }, options.isDryRun);
  } finally {
    port.close();
  }
}

async function excludedNetworks(
  path: string | undefined,
  flags: GivenFlags = NO_FLAGS,
): Promise<readonly Cidr[]> {
  const options = { flags, acceptsAnyMode: true };
  const { config } = path === undefined ? configFromFlags(flags, options) : await loadConfig(path, options);
  return config.ipvs.excludeCIDRs;
}
