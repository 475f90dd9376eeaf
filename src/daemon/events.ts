// The Events that the agent writes: those of a kube-proxy, field by field, and one of our own. Pure: names and times are given.
// kube-proxy's IPVSDeprecation is not among them: its mode ipvs is deprecated, this one is not.
//
//   regarding  type     reason                           action          when
//   Node       Normal   Starting                         StartKubeProxy  the agent follows its objects
//   Node       Warning  FailedToStartProxierHealthcheck  StartKubeProxy  the health port is taken and bindAddressHardFail is set
//   Node       Warning  FailedToStartMetricServer        StartKubeProxy  the metrics port is taken and bindAddressHardFail is set
//   Service    Warning  FailedToStartServiceHealthcheck  Listen          the Service's health-check port is taken
//   Node       Warning  InvalidConfiguration             Reconfigure     a changed configuration file is refused; the running one stays
//
// Source: kube-proxy 1.36 (cmd/kube-proxy/app/server.go, pkg/proxy/healthcheck), client-go tools/events; recorded in test/golden/events.

import {
  MAX_NAME_BYTES,
  MAX_NOTE_BYTES,
  MAX_WORD_BYTES,
  type ApiEvent,
  type EventReference,
} from '../cluster/api-event.ts';

const CONTROLLER = 'kube-proxy';
/** Where Events of what is in no namespace are. */
const DEFAULT_NAMESPACE = 'default';

/** Who writes an Event, and when. */
export interface EventOrigin {
  readonly nodeName: string;
  /** Of the operating system, which may differ from the node's name. */
  readonly hostname: string;
  /** Nanoseconds since 1970; no other Event of the same object may have the same. */
  readonly atNs: bigint;
}

/** A Service that an Event is about; `uid`: '' when it is not known. */
export interface EventService {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export function startingEvent(origin: EventOrigin): ApiEvent {
  return makeEvent(origin, nodeReference(origin), 'Normal', 'Starting', 'StartKubeProxy', '');
}

/** `address` as it is configured, "0.0.0.0:10256"; `error` is one line. */
export function healthServerFailedEvent(origin: EventOrigin, address: string, error: string): ApiEvent {
  const note = `healthz server failed: failed to start proxy healthz on ${address}: ${error}`;
  const reason = 'FailedToStartProxierHealthcheck';
  return makeEvent(origin, nodeReference(origin), 'Warning', reason, 'StartKubeProxy', note);
}

/** `error` is one line. */
export function metricsServerFailedEvent(origin: EventOrigin, error: string): ApiEvent {
  const note = `starting metrics server failed: ${error}`;
  const reason = 'FailedToStartMetricServer';
  return makeEvent(origin, nodeReference(origin), 'Warning', reason, 'StartKubeProxy', note);
}

/** `port` is the Service's healthCheckNodePort; `error` is one line. */
export function serviceHealthServerFailedEvent(
  origin: EventOrigin,
  service: EventService,
  port: number,
  error: string,
): ApiEvent {
  const { namespace, name, uid } = service;
  const note = `node ${origin.nodeName} failed to start healthcheck "${namespace}/${name}" on port ${port}: ${error}`;
  const regarding = {
    kind: 'Service',
    namespace,
    name,
    ...(uid === '' ? {} : { uid }),
    apiVersion: 'v1',
  };
  return makeEvent(origin, regarding, 'Warning', 'FailedToStartServiceHealthcheck', 'Listen', note);
}

/** `error` is one line that says what is wrong in the file and where. */
export function invalidConfigurationEvent(origin: EventOrigin, error: string): ApiEvent {
  const note = `the changed configuration is refused, the running one stays: ${error}`;
  return makeEvent(origin, nodeReference(origin), 'Warning', 'InvalidConfiguration', 'Reconfigure', note);
}

/** Without uid, as kube-proxy does; kubectl finds Events of Nodes by name. */
function nodeReference({ nodeName }: EventOrigin): EventReference {
  return { kind: 'Node', name: nodeName, apiVersion: 'v1' };
}

function makeEvent(
  { hostname, atNs }: EventOrigin,
  regarding: EventReference,
  type: ApiEvent['type'],
  reason: string,
  action: string,
  note: string,
): ApiEvent {
  const shown = cutBytes(oneLine(note), MAX_NOTE_BYTES);
  return {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: {
      name: nameOf(regarding.name, atNs),
      namespace: regarding.namespace ?? DEFAULT_NAMESPACE,
    },
    eventTime: microTime(atNs),
    reportingController: CONTROLLER,
    reportingInstance: cutBytes(`${CONTROLLER}-${hostname}`, MAX_WORD_BYTES),
    action,
    reason,
    regarding,
    ...(shown === '' ? {} : { note: shown }),
    type,
  };
}

/** `<name>.<hex of nanoseconds>`; of a name that leaves no room for that, the beginning. */
function nameOf(name: string, atNs: bigint): string {
  const suffix = `.${atNs.toString(16)}`;
  return `${name.slice(0, MAX_NAME_BYTES - suffix.length).replace(/[-.]+$/, '')}${suffix}`;
}

/** '2026-11-21T05:19:14.945507Z' */
function microTime(atNs: bigint): string {
  const micros = String((atNs / 1000n) % 1_000_000n).padStart(6, '0');
  return `${new Date(Number(atNs / 1_000_000n)).toISOString().slice(0, 19)}.${micros}Z`;
}

/** What breaks lines, steers terminals or is not seen becomes a blank. */
function oneLine(text: string): string {
  return text.toWellFormed().replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]+/gu, ' ');
}

/** At most so many bytes of UTF-8, whole characters, with "..." for what is missing. */
function cutBytes(text: string, maxBytes: number): string {
  const bytes = new TextEncoder().encode(text);
  if (bytes.length <= maxBytes) return text;
  let end = maxBytes - 3;
  // The bytes of a character after its first are 10xxxxxx.
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return `${new TextDecoder().decode(bytes.subarray(0, end))}...`;
}
