// An object of the API reduced to the fields that Pointsman reads, so that nothing else of a cluster gets into a recording: no managed
// fields, no last-applied configuration, no unknown annotation or label, no selector, no field of a newer API. What a projection tells
// apart stays as it is, also where it is wrong: the reduced object gives the same record and the same problems.
// Pure. It must name every field that model/service.ts, service-addresses.ts, service-ports.ts, endpoint-slice.ts, node.ts and
// annotations.ts ask for, and no other: used-fields.test.ts watches them ask.

import { MAX_ENDPOINTS_PER_SLICE, MAX_PORTS_PER_SLICE } from '../model/endpoint-slice.ts';
import { MAX_LIST_LENGTH, member, objectOf, readTimeMs } from '../model/fields.ts';
import {
  ANNOTATION_TRIGGER_TIME,
  isDnsSubdomain,
  isLabelValue,
  LABEL_HEADLESS,
  LABEL_PROXY_NAME,
  LABEL_SERVICE_NAME,
  LABEL_ZONE,
} from '../model/names.ts';
import { MAX_TAINTS, TAINT_TO_BE_DELETED } from '../model/node.ts';
import type { ClusterObject } from '../model/objects.ts';

type Members = Readonly<Record<string, unknown>>;

const SERVICE_ANNOTATIONS: ReadonlySet<string> = new Set([
  'pointsman.dev/scheduler',
  'pointsman.dev/scheduler-flags',
  'pointsman.dev/drain-timeout',
  'kube-router.io/service.scheduler',
  'kube-router.io/service.schedflags',
  'service.cilium.io/lb-algorithm',
]);
const SLICE_ANNOTATIONS: ReadonlySet<string> = new Set(['pointsman.dev/weight', 'service.cilium.io/weight']);
/** Unknown annotations under it are reported by their names. */
const OUR_PREFIX = 'pointsman.dev/';

/** Cluster IPs, families and pod CIDRs: one of each family. */
const MAX_OF_FAMILIES = 2;
/** Read of one Node, as in node.ts, and of one endpoint, as in endpoint-slice.ts. */
const MAX_NODE_ADDRESSES = 1000;
const MAX_HINTS = 64;

/**
 * The object with only the fields that Pointsman reads; null when its kind is none of Service, EndpointSlice and Node. Never throws on
 * JSON values, keeps no reference into `object`, and projects to the same record and problems as `object`.
 */
export function usedFields(object: ClusterObject): ClusterObject | null {
  const kind = member(object, 'kind');
  const reduce =
    typeof kind === 'string' && Object.hasOwn(KINDS, kind) ? KINDS[kind as keyof typeof KINDS] : null;
  return reduce === null ? null : ({ kind, ...reduce(object) } as unknown as ClusterObject);
}

const KINDS = { Service: serviceFields, EndpointSlice: sliceFields, Node: nodeFields } as const;

function serviceFields(object: unknown): Members {
  const metadata = member(object, 'metadata');
  const labels = member(metadata, 'labels');
  // Another proxy's: nothing else of it is read.
  if (member(labels, LABEL_PROXY_NAME) !== undefined) return marked(metadata, LABEL_PROXY_NAME);
  const spec = member(object, 'spec');
  const affinity = scalars(member(member(spec, 'sessionAffinityConfig'), 'clientIP'), ['timeoutSeconds']);
  const ingress = member(member(member(object, 'status'), 'loadBalancer'), 'ingress');
  const loadBalancer = given({
    ingress: list(ingress, MAX_LIST_LENGTH, (item) => scalars(item, ['ip', 'ipMode'])),
  });
  return given({
    metadata: given({
      ...scalars(metadata, ['name', 'namespace']),
      creationTimestamp: timeText(member(metadata, 'creationTimestamp')),
      labels: member(labels, 'k8s-app') === 'kube-dns' ? { 'k8s-app': 'kube-dns' } : undefined,
      annotations: annotationsOf(metadata, SERVICE_ANNOTATIONS),
    }),
    spec: given({
      ...scalars(spec, [
        'type',
        'clusterIP',
        'externalTrafficPolicy',
        'internalTrafficPolicy',
        'healthCheckNodePort',
        'sessionAffinity',
      ]),
      clusterIPs: list(member(spec, 'clusterIPs'), MAX_OF_FAMILIES, scalar),
      ipFamilies: list(member(spec, 'ipFamilies'), MAX_OF_FAMILIES, scalar),
      ports: list(member(spec, 'ports'), MAX_LIST_LENGTH, (port) =>
        scalars(port, ['name', 'protocol', 'port', 'nodePort']),
      ),
      externalIPs: list(member(spec, 'externalIPs'), MAX_LIST_LENGTH, scalar),
      loadBalancerSourceRanges: list(member(spec, 'loadBalancerSourceRanges'), MAX_LIST_LENGTH, scalar),
      sessionAffinityConfig: orNone({ clientIP: orNone(affinity) }),
    }),
    status: orNone({ loadBalancer: orNone(loadBalancer) }),
  });
}

function sliceFields(object: unknown): Members {
  const metadata = member(object, 'metadata');
  const labels = member(metadata, 'labels');
  // Of a headless Service: nothing else of it is read.
  if (member(labels, LABEL_HEADLESS) !== undefined) return marked(metadata, LABEL_HEADLESS);
  const triggerTime = timeText(member(member(metadata, 'annotations'), ANNOTATION_TRIGGER_TIME));
  const annotations = {
    ...annotationsOf(metadata, SLICE_ANNOTATIONS),
    [ANNOTATION_TRIGGER_TIME]: triggerTime,
  };
  return given({
    metadata: given({
      ...scalars(metadata, ['name', 'namespace']),
      labels: orNone(scalars(labels, [LABEL_SERVICE_NAME])),
      annotations: orNone(annotations),
    }),
    addressType: scalar(member(object, 'addressType')),
    ports: list(member(object, 'ports'), MAX_PORTS_PER_SLICE, (port) =>
      scalars(port, ['name', 'protocol', 'port']),
    ),
    endpoints: list(member(object, 'endpoints'), MAX_ENDPOINTS_PER_SLICE, endpointFields),
  });
}

/** Without helpers where that saves copies: there are a hundred times as many endpoints as anything else. */
function endpointFields(endpoint: unknown): Members {
  const kept: Record<string, unknown> = {};
  const addresses = member(endpoint, 'addresses');
  if (Array.isArray(addresses)) kept['addresses'] = addresses.slice(0, 1).map(scalar);
  const nodeName = scalar(member(endpoint, 'nodeName'));
  if (nodeName !== undefined) kept['nodeName'] = nodeName;
  const conditions = member(endpoint, 'conditions');
  if (objectOf(conditions) !== null)
    kept['conditions'] = scalars(conditions, ['ready', 'serving', 'terminating']);
  const hints = member(endpoint, 'hints');
  if (objectOf(hints) !== null)
    kept['hints'] = given({
      forZones: hintsOf(member(hints, 'forZones')),
      forNodes: hintsOf(member(hints, 'forNodes')),
    });
  return kept;
}

function nodeFields(object: unknown): Members {
  const metadata = member(object, 'metadata');
  const spec = member(object, 'spec');
  const addresses = member(member(object, 'status'), 'addresses');
  return given({
    metadata: given({
      ...scalars(metadata, ['name', 'namespace']),
      deletionTimestamp: timeText(member(metadata, 'deletionTimestamp')),
      labels: orNone(scalars(member(metadata, 'labels'), [LABEL_ZONE])),
    }),
    spec: orNone({
      podCIDR: scalar(member(spec, 'podCIDR')),
      podCIDRs: list(member(spec, 'podCIDRs'), MAX_OF_FAMILIES, scalar),
      taints: taintsOf(member(spec, 'taints')),
    }),
    status: orNone({ addresses: list(addresses, MAX_NODE_ADDRESSES, nodeAddress) }),
  });
}

/** The one taint that is read, when it is there. */
function taintsOf(value: unknown): readonly Members[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const isRead = value.slice(0, MAX_TAINTS).some((taint) => member(taint, 'key') === TAINT_TO_BE_DELETED);
  return isRead ? [{ key: TAINT_TO_BE_DELETED }] : undefined;
}

/** Host names of a Node are passed over, in silence. */
function nodeAddress(item: unknown): Members {
  const type = member(item, 'type');
  return type === 'InternalIP' || type === 'ExternalIP' ? scalars(item, ['type', 'address']) : {};
}

/** An object that is left alone for the mere presence of a label. */
function marked(metadata: unknown, label: string): Members {
  return { metadata: { ...scalars(metadata, ['name', 'namespace']), labels: { [label]: '' } } };
}

/** The known annotations with their values, others of ours by their names alone. In the order of the object: problems come in it. */
function annotationsOf(metadata: unknown, known: ReadonlySet<string>): Members | undefined {
  const annotations = objectOf(member(metadata, 'annotations'));
  if (annotations === null) return undefined;
  const kept: Record<string, unknown> = {};
  for (const key of Object.keys(annotations)) {
    if (known.has(key)) kept[key] = scalar(annotations[key]);
    else if (key.startsWith(OUR_PREFIX)) kept[key] = '';
  }
  return orNone(kept);
}

/** Names of hints that are valid; the others are passed over in silence. */
function hintsOf(value: unknown): readonly Members[] | undefined {
  if (!Array.isArray(value)) return undefined;
  const names = value.slice(0, MAX_HINTS).map((item) => member(item, 'name'));
  const isName = (name: unknown): boolean =>
    typeof name === 'string' && (isLabelValue(name) || isDnsSubdomain(name));
  return names.filter(isName).map((name) => ({ name }));
}

/** A list item by item; items beyond the limit count, but are not read. What is no list is reported as what it is. */
function list(value: unknown, max: number, reduce: (item: unknown) => unknown): unknown {
  if (!Array.isArray(value)) return scalar(value);
  return value.map((item: unknown, index) => (index < max ? reduce(item) : null));
}

/** The named members of an object, each as a scalar; {} for what is no object. */
function scalars(value: unknown, names: readonly string[]): Members {
  const kept: Record<string, unknown> = {};
  for (const name of names) {
    const found = scalar(member(value, name));
    if (found !== undefined) kept[name] = found;
  }
  return kept;
}

/** The members that are there. */
function given(members: Members): Members {
  const kept: Record<string, unknown> = {};
  for (const name in members) if (members[name] !== undefined) kept[name] = members[name];
  return kept;
}

/** The members that are there; undefined when none is. */
function orNone(members: Members): Members | undefined {
  const kept = given(members);
  for (const _ in kept) return kept;
  return undefined;
}

/** Text, number, boolean or null; where a list or an object stands in the place of one, only that it does. */
function scalar(value: unknown): unknown {
  if (Array.isArray(value)) return [];
  switch (typeof value) {
    case 'string':
    case 'number':
    case 'boolean':
      return value;
    case 'object':
      return value === null ? null : {};
    default:
      return undefined;
  }
}

/** A time as it is read; anything else in its place is passed over in silence. */
function timeText(value: unknown): unknown {
  return readTimeMs(value) === 0 ? undefined : value;
}
