// Which changes of a configuration the running agent cannot take. Pure.

import type { Config } from './config.ts';

/** What is read once, at the start: servers that are bound, connections that are open, the name by which this node is known. */
export const READ_AT_START = [
  'hostnameOverride',
  'healthzBindAddress',
  'metricsBindAddress',
  'bindAddressHardFail',
  'enableProfiling',
  'clientConnection',
  'oomScoreAdj',
  'conntrack',
] as const satisfies readonly (keyof Config)[];
const LOGGING_READ_AT_START = ['format'] as const satisfies readonly (keyof Config['logging'])[];

/** The fields, as the file calls them, whose change takes effect only when the agent starts again; the names of sections for their fields. */
export function restartNeeded(before: Config, after: Config): string[] {
  const differs = (a: unknown, b: unknown): boolean => JSON.stringify(a) !== JSON.stringify(b);
  return [
    ...READ_AT_START.filter((name) => differs(before[name], after[name])),
    ...LOGGING_READ_AT_START.filter((name) => before.logging[name] !== after.logging[name]).map(
      (name) => `logging.${name}`,
    ),
  ];
}
