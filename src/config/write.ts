// A configuration as text: as `--write-config-to` writes it, and with the origin of each value for people. Both can be read again. Pure.
// Source: sigs.k8s.io/yaml (keys sorted, lists not indented), which kube-proxy writes with.

import { stringify } from 'yaml';
import type { ConfigObject } from './effective.ts';
import type { LoadedConfig, Origin } from './evaluate.ts';
import type { Json } from './field-types.ts';
import { LEAVES } from './table.ts';

/** Version 1.1: what its readers would take for something else ("On", "0") is in quotes, whoever reads it. */
const YAML = { version: '1.1', lineWidth: 0, indentSeq: false } as const;
const COMMENT_COLUMN = 56;
const LEAF_NAMES = new Set(LEAVES.map(({ name }) => name));

/** The text of `--write-config-to`: YAML with sorted keys and a line feed at its end. */
export function formatWriteConfig(effective: ConfigObject): string {
  return stringify(effective, { ...YAML, sortMapEntries: true });
}

/** YAML in the order of the table, one line for each field, with where its value came from as a comment. */
export function formatAnnotated({ complete, origins }: LoadedConfig): string {
  const lines: string[] = [];
  const add = (part: ConfigObject, prefix: string, indent: string): void => {
    for (const [name, value] of Object.entries(part)) {
      const path = prefix === '' ? name : `${prefix}.${name}`;
      if (!LEAF_NAMES.has(path)) {
        lines.push(`${indent}${name}:`);
        add(value as ConfigObject, path, `${indent}  `);
        continue;
      }
      const origin = origins.get(path);
      const line = `${indent}${name}: ${formatValue(value)}`;
      const isType = path === 'kind' || path === 'apiVersion';
      lines.push(
        isType || origin === undefined ? line : `${line.padEnd(COMMENT_COLUMN)} # ${formatOrigin(origin)}`,
      );
    }
  };
  add(complete, '', '');
  return `${lines.join('\n')}\n`;
}

/** "default", "file /etc/kp.conf:12", "flag --ipvs-scheduler" or "not used in mode ipvs". */
export function formatOrigin(origin: Origin): string {
  switch (origin.kind) {
    case 'default':
      return 'default';
    case 'unused':
      return 'not used in mode ipvs';
    case 'file':
      // A comment ends where its line does, whatever the file is called.
      return `file ${origin.file.replaceAll(/[^\x20-\x7e]/g, '?')}:${origin.line}`;
    case 'flag':
      return `flag ${origin.flag}`;
  }
}

/** On one line: JSON for what has parts, which is YAML as well. */
function formatValue(value: Json): string {
  if (typeof value === 'object' && value !== null) return JSON.stringify(value);
  const text = stringify(value, YAML).trimEnd();
  return text.includes('\n') ? JSON.stringify(value) : text;
}
