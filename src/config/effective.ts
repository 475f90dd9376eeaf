// A configuration that is in force as an object of KubeProxyConfiguration v1alpha1: what /configz shows, and what can be written to a file and
// read again. Pure. Source: kube-proxy's conversion from its internal type to v1alpha1, 1.36, as recorded.

import { isAbsent } from '../model/fields.ts';
import { familyOf, parseIp } from '../model/ip.ts';
import type { Config, SocketAddress } from './config.ts';
import { formatGoDuration } from './duration.ts';
import type { Field, Json } from './field-types.ts';
import { valueAt } from './overlay.ts';
import { API_VERSION, KIND } from './schema.ts';
import { FIELDS, isField, type Fields, type ParsedFields } from './table.ts';

/** A KubeProxyConfiguration with all of its fields, in the order of Go's struct. */
export type ConfigObject = { readonly [name: string]: Json };

/** As kube-proxy shows it; our own fields only where they are not the default. `value` is what was read, `config` what became of it. */
export function effectiveConfig(fields: ParsedFields, value: unknown, config: Config): ConfigObject {
  const { pointsman, ...rest } = completeConfig(fields, value, config);
  const given = Object.entries((pointsman ?? {}) as ConfigObject).filter(
    ([name, part]) => part !== shownDefault(FIELDS.pointsman[name as keyof typeof FIELDS.pointsman]),
  );
  return given.length === 0 ? rest : { ...rest, pointsman: Object.fromEntries(given) };
}

/** The same with all of our own fields. */
export function completeConfig(fields: ParsedFields, value: unknown, config: Config): ConfigObject {
  return {
    ...section(FIELDS, fields as unknown as Record<string, unknown>, value, []),
    kind: KIND,
    apiVersion: API_VERSION,
    healthzBindAddress:
      config.healthzBindAddress === null ? '' : socket(fields.healthzBindAddress, config.healthzBindAddress),
    metricsBindAddress: socket(fields.metricsBindAddress, config.metricsBindAddress),
    mode: config.mode,
    detectLocalMode: config.detectLocalMode,
  };
}

function section(
  table: Fields,
  parsed: Readonly<Record<string, unknown>>,
  value: unknown,
  path: readonly string[],
): Record<string, Json> {
  const result: Record<string, Json> = {};
  for (const [name, item] of Object.entries(table)) {
    const inner = [...path, name];
    if (!isField(item)) {
      result[name] = section(item, parsed[name] as Record<string, unknown>, value, inner);
      continue;
    }
    // The two that say what the object is get their values afterwards, and must come first.
    if (inner.length === 1 && (name === 'kind' || name === 'apiVersion')) result[name] = '';
    else if (name === 'metadata') continue;
    else {
      const shown = show(item, parsed[name], valueAt(value, inner));
      if (item.isOmittedWhenEmpty === true && isEmpty(shown)) continue;
      result[name] = shown;
    }
  }
  return result;
}

/** A value as kube-proxy shows it; `raw` is what was read. */
function show(field: Field, parsed: unknown, raw: unknown): Json {
  if (field.lostAs !== undefined) return field.lostAs;
  if (typeof parsed === 'bigint')
    // Nanoseconds that were a number stay one.
    return typeof raw === 'number' && raw !== 0 ? raw : formatGoDuration(parsed);
  if (field.kind === 'strings') return isAbsent(raw) ? null : (parsed as string[]);
  if (field.kind === 'mapStringBool')
    return Object.fromEntries(
      Object.entries(parsed as Record<string, boolean>).sort(([a], [b]) => (a < b ? -1 : 1)),
    );
  // Ranges of ports are the only texts that are read as something else.
  if (field.kind === 'string' && typeof parsed !== 'string')
    return isAbsent(raw) ? field.fallback : (raw as Json);
  return parsed as Json;
}

function shownDefault(field: Field): Json {
  return show(field, field.schema.parse(undefined), undefined);
}

function isEmpty(value: Json): boolean {
  return value === null || value === false || (typeof value === 'object' && Object.keys(value).length === 0);
}

/** As it was written, with a port where it has none. */
function socket(text: string, { address, port }: SocketAddress): string {
  if (text !== '' && parseIp(text) === null) return text;
  return familyOf(address) === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`;
}
