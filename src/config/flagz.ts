// All flags as they are in force, for /flagz. Pure.

import type { Json } from './field-types.ts';
import type { LoadedConfig } from './evaluate.ts';
import { formatFlagValue } from './flag-values.ts';
import { FLAGS, type Flag } from './flags.ts';
import { textOf } from './given-flags.ts';
import { valueAt } from './overlay.ts';

/**
 * Every flag of kube-proxy without its dashes, sorted, and the value in force: of one that sets a field that of the field, also where a file
 * has set it; else what the command line holds, or the default.
 */
export function effectiveFlags({
  complete,
  flags,
}: LoadedConfig): readonly (readonly [flag: string, value: string])[] {
  return [...FLAGS.values()].map((flag) => [flag.name, valueOf(flag, complete, textOf(flags, flag.name))]);
}

function valueOf(flag: Flag, complete: LoadedConfig['complete'], given: string | undefined): string {
  const isPort = flag.name === 'healthz-port' || flag.name === 'metrics-port';
  if (flag.field === '' || isPort) return given ?? formatFlagValue(flag.kind, flag.fallback);
  // What is shown only when it is not empty is empty.
  const value = (valueAt(complete, flag.field.split('.')) ?? flag.fallback) as Json;
  return formatFlagValue(flag.kind, value);
}
