// The one table of settings: every field of KubeProxyConfiguration in the order in which kube-proxy shows them, with its type, default,
// flag and meaning, and our own under `pointsman`. The schema of the file, the flags, /configz, --write-config-to and --help follow from it.
// Rules that concern two fields at once are in resolve.ts; flags without a field are in flags.ts. Pure.
// Source: k8s.io/kube-proxy/config/v1alpha1 (types and defaults) and kube-proxy's options, 1.36.

import {
  choice,
  decimal,
  duration,
  gates,
  ignored,
  integer,
  portRange,
  quantity,
  text,
  texts,
  truth,
  vmodule,
  type Field,
} from './field-types.ts';

/** Fields of a section: a leaf, or another section. */
export interface Fields {
  readonly [name: string]: Field | Fields;
}

const INT32_MIN = -2_147_483_648;
const STRONGER = { isFlagStronger: true };
const ONE_STREAM = 'the log has one stream, standard error, and a buffer of its own';
const WINDOWS = 'it is for Windows';
/** Only the periods of the mode in force survive kube-proxy's reading; those of others show as zero. */
const OTHER_MODE = { lostAs: '0s' };

/** Every field, by section. */
export const FIELDS = {
  kind: ignored({ help: 'KubeProxyConfiguration' }),
  apiVersion: ignored({ help: 'kubeproxy.config.k8s.io/v1alpha1' }),
  metadata: ignored({ help: 'means nothing' }),
  featureGates: gates({
    flag: 'feature-gates',
    help: 'feature gates; only AllowServiceExternalIPs=false does something here',
    isOmittedWhenEmpty: true,
  }),
  clientConnection: {
    kubeconfig: text({ flag: 'kubeconfig', help: 'how to reach the API server; empty: as a pod does' }),
    acceptContentTypes: text({ help: 'means nothing here: the client speaks JSON' }),
    contentType: text(
      { flag: 'kube-api-content-type', help: 'means nothing here: the client speaks JSON' },
      'application/vnd.kubernetes.protobuf',
    ),
    qps: decimal(
      { flag: 'kube-api-qps', help: 'requests a second to the API server; negative: no limit' },
      5,
    ),
    burst: integer({ flag: 'kube-api-burst', help: 'requests at once above that' }, 10, 0, undefined, true),
  },
  logging: {
    format: choice({ ...STRONGER, flag: 'logging-format', help: 'text or json' }, ['text', 'json'], 'text'),
    flushFrequency: duration(
      { ...STRONGER, flag: 'log-flush-frequency', help: 'means nothing here: every line is written at once' },
      '5s',
      { isZeroDefault: true, takesNumber: true },
    ),
    verbosity: integer({ ...STRONGER, flag: 'v', help: 'verbosity of the log' }, 0, 0),
    vmodule: vmodule({
      ...STRONGER,
      flag: 'vmodule',
      help: 'verbosity of single files; only for the text format',
      isOmittedWhenEmpty: true,
    }),
    options: {
      text: {
        splitStream: truth({
          ...STRONGER,
          flag: 'log-text-split-stream',
          help: 'means nothing here',
          noEffect: ONE_STREAM,
          isOmittedWhenEmpty: true,
        }),
        infoBufferSize: quantity({
          ...STRONGER,
          flag: 'log-text-info-buffer-size',
          help: 'means nothing here',
          noEffect: ONE_STREAM,
        }),
      },
      json: {
        splitStream: truth({
          ...STRONGER,
          flag: 'log-json-split-stream',
          help: 'means nothing here',
          noEffect: ONE_STREAM,
          isOmittedWhenEmpty: true,
        }),
        infoBufferSize: quantity({
          ...STRONGER,
          flag: 'log-json-info-buffer-size',
          help: 'means nothing here',
          noEffect: ONE_STREAM,
        }),
      },
    },
  },
  hostnameOverride: text({
    ...STRONGER,
    flag: 'hostname-override',
    help: 'name of this node; default: the host name',
  }),
  bindAddress: text(
    { flag: 'bind-address', help: "this node's primary IP, if not 0.0.0.0 or ::; nothing binds to it" },
    '0.0.0.0',
  ),
  healthzBindAddress: text({
    flag: 'healthz-bind-address',
    help: 'where /healthz and /livez are served; default 0.0.0.0:10256',
  }),
  metricsBindAddress: text({
    flag: 'metrics-bind-address',
    help: 'where /metrics is served; default 127.0.0.1:10249',
  }),
  bindAddressHardFail: truth({
    flag: 'bind-address-hard-fail',
    help: 'end when one of the two cannot be bound, instead of trying again',
  }),
  enableProfiling: truth({ flag: 'profiling', help: 'serve /debug on the metrics address' }),
  showHiddenMetricsForVersion: text({
    flag: 'show-hidden-metrics-for-version',
    help: 'the minor version before this one (1.35), or empty; nothing is hidden here',
  }),
  mode: text({ flag: 'proxy-mode', help: 'ipvs; this build has no other' }),
  iptables: {
    masqueradeBit: integer(
      {
        flag: 'iptables-masquerade-bit',
        help: 'bit of the packet mark that asks for SNAT, also in mode ipvs',
      },
      14,
      0,
      31,
    ),
    masqueradeAll: truth({
      flag: 'masquerade-all',
      help: 'SNAT all traffic to cluster IPs, also in mode ipvs',
    }),
    localhostNodePorts: truth(
      { flag: 'iptables-localhost-nodeports', help: 'NodePorts on 127.0.0.1, in mode iptables only' },
      true,
    ),
    syncPeriod: duration(
      { ...OTHER_MODE, flag: 'iptables-sync-period', help: 'as ipvs.syncPeriod, in mode iptables only' },
      '30s',
      { isZeroDefault: true, isUnchecked: true },
    ),
    minSyncPeriod: duration(
      {
        ...OTHER_MODE,
        flag: 'iptables-min-sync-period',
        help: 'as ipvs.minSyncPeriod, in mode iptables only',
      },
      '1s',
      { isZeroDefault: true, isUnchecked: true },
    ),
  },
  ipvs: {
    syncPeriod: duration(
      { flag: 'ipvs-sync-period', help: 'everything is checked anew after this long' },
      '30s',
      { isZeroDefault: true },
    ),
    minSyncPeriod: duration(
      { flag: 'ipvs-min-sync-period', help: 'least time between two syncs; 1s without --config' },
      '0s',
    ),
    scheduler: text({ flag: 'ipvs-scheduler', help: 'scheduler where a Service names none; empty: rr' }),
    excludeCIDRs: texts({
      flag: 'ipvs-exclude-cidrs',
      help: 'networks whose virtual servers are never removed by a clean-up',
    }),
    strictARP: truth({ flag: 'ipvs-strict-arp', help: 'set arp_ignore to 1 and arp_announce to 2' }),
    tcpTimeout: duration({ flag: 'ipvs-tcp-timeout', help: 'of idle TCP connections; 0s: leave' }, '0s'),
    tcpFinTimeout: duration(
      { flag: 'ipvs-tcpfin-timeout', help: 'of TCP connections after a FIN; 0s: leave' },
      '0s',
    ),
    udpTimeout: duration({ flag: 'ipvs-udp-timeout', help: 'after the last UDP packet; 0s: leave' }, '0s'),
  },
  nftables: {
    masqueradeBit: integer({ help: 'as iptables.masqueradeBit, in mode nftables' }, 14, INT32_MIN),
    masqueradeAll: truth({ help: 'as iptables.masqueradeAll, in mode nftables', lostAs: false }),
    syncPeriod: duration({ ...OTHER_MODE, help: 'as ipvs.syncPeriod, in mode nftables' }, '30s', {
      isZeroDefault: true,
      isUnchecked: true,
    }),
    minSyncPeriod: duration({ ...OTHER_MODE, help: 'as ipvs.minSyncPeriod, in mode nftables' }, '1s', {
      isZeroDefault: true,
      isUnchecked: true,
    }),
  },
  winkernel: {
    networkName: text({ help: WINDOWS, noEffect: WINDOWS }),
    sourceVip: text({ help: WINDOWS, noEffect: WINDOWS }),
    enableDSR: truth({ help: WINDOWS, noEffect: WINDOWS }),
    rootHnsEndpointName: text({ help: WINDOWS, noEffect: WINDOWS }),
    forwardHealthCheckVip: truth({ help: WINDOWS, noEffect: WINDOWS }),
  },
  detectLocalMode: text({
    flag: 'detect-local-mode',
    help: 'how pods are known: ClusterCIDR (default), NodeCIDR, BridgeInterface, InterfaceNamePrefix',
  }),
  detectLocal: {
    bridgeInterface: text({
      flag: 'pod-bridge-interface',
      help: 'in mode BridgeInterface: the bridge of the pods',
    }),
    interfaceNamePrefix: text({
      flag: 'pod-interface-name-prefix',
      help: 'in mode InterfaceNamePrefix: how the names of their interfaces begin',
    }),
  },
  clusterCIDR: text({
    flag: 'cluster-cidr',
    help: 'networks of the pods: one CIDR, or one of each family with a comma between them',
  }),
  nodePortAddresses: texts({
    flag: 'nodeport-addresses',
    help: 'networks of the addresses on which NodePorts answer, or primary; empty: on all',
  }),
  oomScoreAdj: integer({ flag: 'oom-score-adj', help: 'of this process' }, -999, -1000, 1000),
  conntrack: {
    maxPerCore: integer(
      { flag: 'conntrack-max-per-core', help: 'connections tracked per CPU core; 0: leave the limit' },
      32_768,
      0,
    ),
    min: integer({ flag: 'conntrack-min', help: 'at least so many in all' }, 131_072, 0),
    tcpEstablishedTimeout: duration(
      { flag: 'conntrack-tcp-timeout-established', help: 'of idle TCP connections; 0s: leave' },
      '24h',
    ),
    tcpCloseWaitTimeout: duration(
      { flag: 'conntrack-tcp-timeout-close-wait', help: 'of TCP connections in CLOSE_WAIT; 0s: leave' },
      '1h',
    ),
    tcpBeLiberal: truth({
      flag: 'conntrack-tcp-be-liberal',
      help: 'do not call packets out of the window invalid',
    }),
    udpTimeout: duration(
      { flag: 'conntrack-udp-timeout', help: 'of UDP without an answer; 0s: leave' },
      '0s',
    ),
    udpStreamTimeout: duration(
      { flag: 'conntrack-udp-timeout-stream', help: 'of UDP with answers; 0s: leave' },
      '0s',
    ),
  },
  configSyncPeriod: duration(
    { flag: 'config-sync-period', help: 'means nothing here: what is watched needs no refresh' },
    '15m',
    { isZeroDefault: true },
  ),
  portRange: text({ help: 'means nothing any more', noEffect: 'kube-proxy ignores it, too', lostAs: '' }),
  windowsRunAsService: truth({ help: WINDOWS, noEffect: WINDOWS, isOmittedWhenEmpty: true }),
  pointsman: {
    otherFamilySourceRanges: choice(
      {
        help: 'who may use load-balancer IPs of a family for which source ranges are given only in the other',
      },
      ['Allow', 'Deny'],
      'Allow',
    ),
    estimation: choice(
      { help: 'whether the kernel keeps rates; Auto: off only where that would delay packets' },
      ['Auto', 'On', 'Off'],
      'Auto',
    ),
    drainTimeout: duration(
      { help: 'how long connections to servers that go are kept; 0s: not at all' },
      '15m',
    ),
    nodePortRange: portRange({ help: "the API server's --service-node-port-range" }, '30000-32767'),
    serviceTraffic: choice(
      { help: 'whether /metrics has the traffic of each Service' },
      ['Off', 'On'],
      'Off',
    ),
    maxTrafficServices: integer({ help: 'of at most so many Services' }, 1000, 1, 10_000),
  },
} as const satisfies Fields;

type Parsed<F> = { readonly [K in keyof F]: F[K] extends Field<infer T> ? T : Parsed<F[K]> };
/** Every field with its default filled in; durations in nanoseconds. */
export type ParsedFields = Parsed<typeof FIELDS>;

/** A field, and where it stands: ['ipvs', 'scheduler']. */
export interface Leaf {
  readonly path: readonly string[];
  /** "ipvs.scheduler". */
  readonly name: string;
  readonly field: Field;
}

/** Tells a field from a section. */
export function isField(item: Field | Fields): item is Field {
  return 'isField' in item;
}

/** All fields, in the order of the table. */
export const LEAVES: readonly Leaf[] = leavesOf(FIELDS, []);
const LEAF_BY_NAME: ReadonlyMap<string, Leaf> = new Map(LEAVES.map((leaf) => [leaf.name, leaf]));

function leavesOf(fields: Fields, prefix: readonly string[]): Leaf[] {
  return Object.entries(fields).flatMap(([name, item]) => {
    const path = [...prefix, name];
    return isField(item) ? [{ path, name: path.join('.'), field: item }] : leavesOf(item, path);
  });
}

/** The field that a path leads to or into; undefined for a section and for what is unknown. */
export function leafAt(path: readonly (string | number)[]): Leaf | undefined {
  for (let length = path.length; length > 0; length--) {
    const leaf = LEAF_BY_NAME.get(path.slice(0, length).join('.'));
    if (leaf !== undefined) return leaf;
  }
  return undefined;
}
