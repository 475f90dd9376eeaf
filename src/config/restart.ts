// Which changes of a configuration the running agent cannot take. Pure.

import type { Config } from './config.ts';

/** What is read once, at the start: connections that are open, the name by which this node is known, what a failure at the start means. */
export const READ_AT_START = [
  'hostnameOverride',
  'bindAddressHardFail',
  'clientConnection',
] as const satisfies readonly (keyof Config)[];

/** The fields, as the file calls them, whose change takes effect only when the agent starts again; the names of sections for their fields. */
export function restartNeeded(before: Config, after: Config): string[] {
  const differs = (a: unknown, b: unknown): boolean => JSON.stringify(a) !== JSON.stringify(b);
  return READ_AT_START.filter((name) => differs(before[name], after[name]));
}
