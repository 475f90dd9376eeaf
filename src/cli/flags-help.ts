// What `--help` says of kube-proxy's flags: one line each, from the table of settings. Pure.

import { formatFlagValue } from '../config/flag-values.ts';
import { FLAGS, type Flag } from '../config/flags.ts';

/** The section of the help, without a line feed at its end; a star marks flags that act beside --config. */
export function flagsHelp(): string {
  const rows = [...FLAGS.values()].map((flag) => [termOf(flag), textOf(flag)] as const);
  const width = Math.max(...rows.map(([term]) => term.length));
  return [
    "kube-proxy's flags, as in Go: --flag=value, --flag value, --bool, --bool=false. Beside --config only those with * act:",
    ...rows.map(([term, text]) => `  ${term.padEnd(width)}  ${text}`),
  ].join('\n');
}

function termOf({ name, kind, isStronger }: Flag): string {
  const shown = name === 'v' ? '-v, --v' : `--${name}`;
  return `${isStronger ? '* ' : '  '}${shown}${kind === 'bool' ? '' : ` <${kind}>`}`;
}

function textOf({ kind, fallback, help, field }: Flag): string {
  const value = formatFlagValue(kind, fallback);
  const isDull = value === '' || value === 'false' || help.includes('default');
  const where = field === '' ? '' : ` [${field}]`;
  return `${help}${isDull ? '' : ` (default ${value})`}${where}`;
}
