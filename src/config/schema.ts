// The fields of KubeProxyConfiguration: names, types and defaults, and nothing that concerns two fields at once (that is in resolve.ts).
// null and '' mean the default everywhere; 0s and 0 only where kube-proxy defaults them too. Pure.
// Source: k8s.io/kube-proxy/config/v1alpha1 (types and defaults), kube-proxy 1.36.

import { z } from 'zod';
import { isAbsent } from '../model/fields.ts';
import { parseGoDuration } from './duration.ts';

/** The only one there is. */
export const API_VERSION = 'kubeproxy.config.k8s.io/v1alpha1';
/** The kind of the one object in the file. */
export const KIND = 'KubeProxyConfiguration';

/** Fields of a section: a leaf, or another section. */
interface Fields {
  readonly [name: string]: z.ZodType | Fields;
}

function withDefault<T>(schema: z.ZodType<T>, fallback: T): z.ZodType<T> {
  return z.preprocess((value) => (isAbsent(value) ? fallback : value), schema);
}

const text = (): z.ZodType<string> => withDefault(z.string('write text; put numbers in quotes'), '');
const truth = (fallback = false): z.ZodType<boolean> =>
  withDefault(z.boolean('write true or false'), fallback);

function integer(fallback: number, min: number, max = 2_147_483_647): z.ZodType<number> {
  const rule = `write a whole number from ${min} to ${max}`;
  return withDefault(z.int(rule).min(min, rule).max(max, rule), fallback);
}

/** 0 is the default too. */
function positive(fallback: number, schema: z.ZodType<number>): z.ZodType<number> {
  return z.preprocess((value) => (isAbsent(value) || value === 0 ? fallback : value), schema);
}

/** Nanoseconds, not negative. `zeroIsDefault`: a zero means `fallback`, as an absent value does. */
function duration(fallback: string, zeroIsDefault: boolean): z.ZodType<bigint> {
  const fallbackNs = parseGoDuration(fallback) ?? 0n;
  const rule = 'write a duration of zero or more, as in 30s or 1h30m';
  const schema = z.string(rule).transform((value, context) => {
    const nanoseconds = parseGoDuration(value);
    if (nanoseconds !== null && nanoseconds >= 0n)
      return nanoseconds === 0n && zeroIsDefault ? fallbackNs : nanoseconds;
    context.addIssue({ code: 'custom', message: rule, input: value });
    return z.NEVER;
  });
  return z.preprocess(
    (value) => (isAbsent(value) ? fallback : value),
    schema,
  ) as unknown as z.ZodType<bigint>;
}

/** "30000-32767", both ends included, as the API server's --service-node-port-range has it. */
function portRange(fallback: string): z.ZodType<{ readonly first: number; readonly last: number }> {
  const rule = 'write two ports from 1 to 65535, the lower first, as in 30000-32767';
  const schema = z.string(rule).transform((value, context) => {
    const [, first = 0, last = 0] = (/^(\d{1,5})-(\d{1,5})$/.exec(value) ?? []).map(Number);
    if (first >= 1 && first <= last && last <= 65_535) return { first, last };
    context.addIssue({ code: 'custom', message: rule, input: value });
    return z.NEVER;
  });
  return z.preprocess((value) => (isAbsent(value) ? fallback : value), schema) as unknown as z.ZodType<{
    readonly first: number;
    readonly last: number;
  }>;
}

const texts = (): z.ZodType<string[]> => withDefault(z.array(z.string('write text'), 'write a list'), []);
/** Known, and without meaning here. */
const ignored = (): z.ZodType<unknown> => z.unknown().optional();

const vmodule = z.object({
  filePattern: z.string('write text'),
  verbosity: z.int('write a whole number').min(0, 'write 0 or more'),
});

/** Every field, by section. */
export const FIELDS = {
  apiVersion: ignored(),
  kind: ignored(),
  metadata: ignored(),
  featureGates: withDefault(
    z.record(z.string(), z.boolean('write true or false'), 'write a map of names to true or false'),
    {},
  ),
  clientConnection: {
    kubeconfig: text(),
    acceptContentTypes: text(),
    contentType: withDefault(z.string('write text'), 'application/vnd.kubernetes.protobuf'),
    qps: positive(5, z.number('write a number')),
    burst: positive(10, integer(10, 0)),
  },
  logging: {
    format: withDefault(z.enum(['text', 'json'], 'use text or json'), 'text' as const),
    flushFrequency: duration('5s', true),
    verbosity: integer(0, 0),
    vmodule: withDefault(z.array(vmodule, 'write a list of filePattern and verbosity'), []),
    options: ignored(),
  },
  hostnameOverride: text(),
  bindAddress: withDefault(z.string('write text'), '0.0.0.0'),
  healthzBindAddress: text(),
  metricsBindAddress: text(),
  bindAddressHardFail: truth(),
  enableProfiling: truth(),
  showHiddenMetricsForVersion: text(),
  mode: text(),
  iptables: {
    masqueradeBit: integer(14, 0, 31),
    masqueradeAll: truth(),
    localhostNodePorts: truth(true),
    syncPeriod: duration('30s', true),
    minSyncPeriod: duration('1s', true),
  },
  ipvs: {
    syncPeriod: duration('30s', true),
    minSyncPeriod: duration('0s', false),
    scheduler: text(),
    excludeCIDRs: texts(),
    strictARP: truth(),
    tcpTimeout: duration('0s', false),
    tcpFinTimeout: duration('0s', false),
    udpTimeout: duration('0s', false),
  },
  nftables: {
    masqueradeBit: integer(14, 0, 31),
    masqueradeAll: truth(),
    syncPeriod: duration('30s', true),
    minSyncPeriod: duration('1s', true),
  },
  winkernel: ignored(),
  detectLocalMode: text(),
  detectLocal: { bridgeInterface: text(), interfaceNamePrefix: text() },
  clusterCIDR: text(),
  nodePortAddresses: texts(),
  oomScoreAdj: integer(-999, -1000, 1000),
  conntrack: {
    maxPerCore: integer(32_768, 0),
    min: integer(131_072, 0),
    tcpEstablishedTimeout: duration('24h', false),
    tcpCloseWaitTimeout: duration('1h', false),
    tcpBeLiberal: truth(),
    udpTimeout: duration('0s', false),
    udpStreamTimeout: duration('0s', false),
  },
  configSyncPeriod: duration('15m', true),
  pointsman: {
    otherFamilySourceRanges: withDefault(z.enum(['Allow', 'Deny'], 'use Allow or Deny'), 'Allow' as const),
    estimation: withDefault(z.enum(['Auto', 'On', 'Off'], 'use Auto, On or Off'), 'Auto' as const),
    drainTimeout: duration('15m', false),
    nodePortRange: portRange('30000-32767'),
  },
  portRange: ignored(),
  windowsRunAsService: ignored(),
} as const satisfies Fields;

type Parsed<F> = { readonly [K in keyof F]: F[K] extends z.ZodType<infer T> ? T : Parsed<F[K]> };
/** Every field with its default filled in; durations in nanoseconds. */
export type ParsedFields = Parsed<typeof FIELDS>;

function sectionSchema(fields: Fields): z.ZodType {
  const shape = Object.entries(fields).map(
    ([name, field]) => [name, isSection(field) ? sectionSchema(field) : field] as const,
  );
  return z.preprocess(
    (value) => (isAbsent(value) ? {} : value),
    z.looseObject(Object.fromEntries(shape), 'write a map of fields'),
  );
}

function isSection(field: z.ZodType | Fields): field is Fields {
  return !(field instanceof z.ZodType);
}

/** The whole as one schema; unknown fields pass, see unknownFields. */
export const SCHEMA = sectionSchema(FIELDS) as z.ZodType<ParsedFields>;

/** Paths of all known fields: ['ipvs', 'scheduler']. */
export function knownPaths(fields: Fields = FIELDS, prefix: readonly string[] = []): (readonly string[])[] {
  return Object.entries(fields).flatMap(([name, field]) => {
    const path = [...prefix, name];
    return isSection(field) ? [path, ...knownPaths(field, path)] : [path];
  });
}
