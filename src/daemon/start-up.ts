// What the agent and its previews need before anything runs: configuration, node name, a scheduler; and, from files of their own, families and privileges.

import { hostname } from 'node:os';
import { probeScheduler } from '../backends/ipvs/schedulers-probe.ts';
import type { Config } from '../config/config.ts';
import { NO_FLAGS, type GivenFlags } from '../config/given-flags.ts';
import { configFromFlags, loadConfig, type LoadedConfig } from '../config/load.ts';
import { PointsmanError } from '../model/errors.ts';
import { isDnsSubdomain } from '../model/names.ts';
import type { chooseSource, FactsOrigin } from './facts-origin.ts';
import type { Log } from './log.ts';
import { nodeNameOf } from './settings.ts';

/** What the command line says. */
export interface DaemonOptions {
  /** Where Services, EndpointSlices and Nodes come from. */
  readonly facts: FactsOrigin;
  readonly configPath?: string | undefined;
  /** Flags of kube-proxy; default none. */
  readonly flags?: GivenFlags | undefined;
  readonly hostnameOverride?: string | undefined;
  /** A new file for a recording of the facts; for an agent only. */
  readonly record?: string | undefined;
  readonly log: Log;
}

/** Configuration and node name, with what is odd about them in the log; `onRead` hears of it before that. Throws INVALID_CONFIG, UNSUPPORTED_MODE, USAGE. */
export async function readConfig(
  options: DaemonOptions,
  onRead: (config: Config) => void = () => {},
): Promise<{ config: Config; nodeName: string; loaded: LoadedConfig }> {
  const { configPath, flags = NO_FLAGS } = options;
  const loaded = configPath === undefined ? configFromFlags(flags) : await loadConfig(configPath, { flags });
  const { config } = loaded;
  onRead(config);
  for (const warning of loaded.warnings) options.log.warn(warning);
  const nodeName = nodeNameOf(options.hostnameOverride, config, hostname());
  if (!isDnsSubdomain(nodeName)) {
    throw new PointsmanError(
      'USAGE',
      `"${nodeName}" is no node name (lower case letters, digits, "-" and "."); give one with --hostname-override`,
    );
  }
  return { config, nodeName, loaded };
}

/** Throws MISSING_MODULE when this kernel cannot schedule so; loads the scheduler's module. */
export async function requireScheduler(name: string): Promise<void> {
  const answer = await probeScheduler(name);
  if (answer.isAvailable) return;
  throw new PointsmanError(
    'MISSING_MODULE',
    `ipvs.scheduler: this kernel has no scheduler ${name}: ${answer.reason}; ${answer.remedy}`,
    { scheduler: name },
  );
}

/** How a command that a person calls chooses its source of facts. */
export function askedByPerson({ configPath, log }: DaemonOptions): Parameters<typeof chooseSource>[2] {
  return {
    ...{ asker: 'person', hasConfigFile: configPath !== undefined, env: process.env },
    onVoid: (line) => log.warn(line),
  };
}
