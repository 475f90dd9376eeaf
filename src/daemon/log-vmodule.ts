// --vmodule: more verbosity for single files of the source, by patterns of their names. Pure.
// Source: k8s.io/component-base/logs/api/v1 (VModuleConfiguration), k8s.io/klog/v2 (moduleSpec).

import type { VModuleItem } from '../config/field-types.ts';

/** The greatest verbosity: that of an int32. */
export const MAX_VERBOSITY = 0x7fff_ffff;
/** The verbosity of one file: that of the first rule whose pattern its name matches, 0 without one. `area`: the file's name without ".ts". */
export function vmoduleLevel(rules: readonly VModuleItem[], area: string): number {
  return rules.find(({ filePattern }) => isMatch(filePattern, area))?.verbosity ?? 0;
}

/** Looks at each character of both a few times at most, whatever the pattern: goes back to the last "*" only. */
function isMatch(pattern: string, area: string): boolean {
  // The name as it stands in the log is taken too.
  const wanted = pattern.replace(/\.ts$/, '');
  let [at, from, star, starFrom] = [0, 0, -1, 0];
  while (from < area.length) {
    if (wanted[at] === '*') {
      star = at++;
      starFrom = from;
    } else if (at < wanted.length && (wanted[at] === '?' || wanted[at] === area[from])) {
      at++;
      from++;
    } else if (star >= 0) {
      at = star + 1;
      from = ++starFrom;
    } else return false;
  }
  while (wanted[at] === '*') at++;
  return at === wanted.length;
}
