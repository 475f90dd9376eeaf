// What the fake API server demands of a new Event, and what it fills in. Source: kubernetes pkg/apis/core/validation/events.go
// (ValidateEventCreate for events.k8s.io/v1); what it fills in is as kube-apiserver 1.36 was recorded.

import type { ApiResource } from './api-resources.ts';
import { invalid } from './api-status.ts';

type Fields = Record<string, any>;

const MAX_WORD_BYTES = 128;
const MAX_NOTE_BYTES = 1024;
/** Namespaces in which Events of what is in none may be. */
const OF_CLUSTER = ['default', 'kube-system'];
const QUALIFIED = /^([a-z0-9.-]{1,253}\/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const MICRO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[+-]\d\d:\d\d)$/;
const UNSET = [
  ['deprecatedFirstTimestamp', 'firstTimestamp'],
  ['deprecatedLastTimestamp', 'lastTimestamp'],
  ['deprecatedCount', 'count'],
] as const;

/** The Event as it will be kept. Throws Refusal. */
export function completeEvent(resource: ApiResource, namespace: string, name: string, given: Fields): Fields {
  const refuse = (message: string): never => {
    throw invalid(resource, name, message);
  };
  const regarding = (given['regarding'] ?? {}) as Fields;
  const within = (regarding['namespace'] ?? '') as string;
  const isPlaced = within === '' ? OF_CLUSTER.includes(namespace) : within === namespace;
  if (!isPlaced)
    refuse(`involvedObject.namespace: Invalid value: "${within}": does not match event.namespace`);
  const time = given['eventTime'] as unknown;
  if (typeof time !== 'string') refuse('eventTime: Required value');
  else if (!MICRO_TIME.test(time) || Number.isNaN(Date.parse(time)))
    refuse(`eventTime: Invalid value: "${time}"`);
  for (const field of ['reportingController', 'reportingInstance', 'action', 'reason']) {
    const value = given[field] as unknown;
    if (typeof value !== 'string' || value === '') refuse(`${field}: Required value`);
    else if (Buffer.byteLength(value) > MAX_WORD_BYTES)
      refuse(`${field}: Invalid value: "": can have at most ${MAX_WORD_BYTES} characters`);
  }
  if (!QUALIFIED.test(given['reportingController'] as string))
    refuse(`reportingController: Invalid value: a qualified name`);
  if (Buffer.byteLength((given['note'] ?? '') as string) > MAX_NOTE_BYTES)
    refuse(`message: Invalid value: "": can have at most ${MAX_NOTE_BYTES} characters`);
  if (given['type'] !== 'Normal' && given['type'] !== 'Warning')
    refuse(`type: Invalid value: "": has invalid value: ${String(given['type'])}`);
  if (given['series'] !== undefined && !((given['series'].count as number) >= 2))
    refuse('series.count: Invalid value: "": should be at least 2');
  for (const [field, shown] of UNSET)
    if (given[field] !== undefined && given[field] !== null)
      refuse(`${shown}: Invalid value: "": needs to be unset`);
  return {
    ...given,
    deprecatedSource: {},
    deprecatedFirstTimestamp: null,
    deprecatedLastTimestamp: null,
  };
}
