// --vmodule: more verbosity for single files of the source, by patterns of their names. Pure.
// Source: k8s.io/component-base/logs/api/v1 (VModuleConfiguration), k8s.io/klog/v2 (moduleSpec).

import { PointsmanError } from '../model/errors.ts';

/** One item, as logging.vmodule of a configuration file has it. */
export interface VmoduleRule {
  /** Name of a file without ".ts"; "*" stands for any characters, "?" for one. Never empty, no "=" and no ",". */
  readonly filePattern: string;
  /** 0 to 2147483647. */
  readonly verbosity: number;
}

/** The greatest verbosity: that of an int32. */
export const MAX_VERBOSITY = 0x7fff_ffff;
/** Rules are looked through in order, for each file once. */
const MAX_RULES = 1000;

/** Reads `pattern=N,...`, as --vmodule has it; an empty item counts for nothing. Throws USAGE. */
export function parseVmodule(text: string): VmoduleRule[] {
  const items = text.split(',').filter((item) => item !== '');
  if (items.length > MAX_RULES)
    throw new PointsmanError('USAGE', `--vmodule holds ${items.length} patterns; give at most ${MAX_RULES}`);
  return items.map((item) => {
    const [filePattern = '', level = '', ...more] = item.split('=');
    if (filePattern === '' || level === '' || more.length > 0)
      throw new PointsmanError(
        'USAGE',
        `--vmodule: ${JSON.stringify(item)} does not have the form pattern=N`,
      );
    const verbosity = /^\d{1,10}$/.test(level) ? Number(level) : Number.NaN;
    if (!(verbosity <= MAX_VERBOSITY))
      throw new PointsmanError(
        'USAGE',
        `--vmodule: the verbosity in ${JSON.stringify(item)} is no whole number from 0 to ${MAX_VERBOSITY}`,
      );
    return { filePattern, verbosity };
  });
}

/** The way back: `pattern=N,...`. */
export function formatVmodule(rules: readonly VmoduleRule[]): string {
  return rules.map(({ filePattern, verbosity }) => `${filePattern}=${verbosity}`).join(',');
}

/** The verbosity of one file: that of the first rule whose pattern its name matches, 0 without one. `area`: the file's name without ".ts". */
export function vmoduleLevel(rules: readonly VmoduleRule[], area: string): number {
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
