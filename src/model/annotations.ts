// The annotations by which people tune one Service: scheduler, its flags and the time to drain on the Service, the weight on an
// EndpointSlice; ours, and those of kube-router and Cilium as aliases. None of them redirects traffic. Values come from closed sets; anything else is reported.
// Source: kube-router's user guide (service.scheduler, service.schedflags), Cilium 1.20 (service.cilium.io/lb-algorithm and weight).

import { isAbsent, objectOf, quote, type ProblemList } from './fields.ts';
import {
  isScheduler,
  isSchedulerFlagName,
  SCHEDULER_FLAG_NAMES,
  SCHEDULERS,
  type Scheduler,
  type SchedulerFlagName,
} from './schedulers.ts';

/** Annotations of a Service, ours first: the first that is given counts. */
const SCHEDULER = ['pointsman.dev/scheduler', 'kube-router.io/service.scheduler'] as const;
const CILIUM_ALGORITHM = 'service.cilium.io/lb-algorithm';
const SCHEDULER_FLAGS = ['pointsman.dev/scheduler-flags', 'kube-router.io/service.schedflags'] as const;
const DRAIN_TIMEOUT = 'pointsman.dev/drain-timeout';
/** Annotations of an EndpointSlice. */
const WEIGHT = 'pointsman.dev/weight';
const CILIUM_WEIGHT = 'service.cilium.io/weight';

const OUR_PREFIX = 'pointsman.dev/';
const OURS = {
  Service: new Set<string>([SCHEDULER[0], SCHEDULER_FLAGS[0], DRAIN_TIMEOUT]),
  EndpointSlice: new Set<string>([WEIGHT]),
};

/** Cilium's algorithms, and what comes nearest to each in the kernel. */
const CILIUM_ALGORITHMS: Readonly<Record<string, { readonly scheduler: Scheduler; readonly note: string }>> =
  {
    maglev: { scheduler: 'mh', note: 'the same hashing, though with a table of another size' },
    random: { scheduler: 'rr', note: 'as even, and as blind to load, but in turn' },
  };

/** Largest weight that is taken; with larger ones the kernel's products of connections and weights overflow. */
const MAX_WEIGHT = 65_535;

/** What the annotations of a Service ask of the scheduler; null = nothing, the node's setting counts. */
export interface SchedulerWish {
  readonly scheduler: Scheduler | null;
  /** The field that gave the scheduler, for problems; '' without one. */
  readonly schedulerField: string;
  /** Without repetition, sorted; [] = expressly none. */
  readonly flags: readonly SchedulerFlagName[] | null;
  /** The field that gave the flags, for problems; '' without flags. */
  readonly flagsField: string;
}

/** The weight that an annotation gives to all endpoints of a slice. */
export interface SliceWeight {
  /** 0 to 65535; 0 takes no new connections. */
  readonly value: number;
  /** What slices of the same Service without a weight have: 1, or 100 where Cilium's annotation is in use. */
  readonly usual: 1 | 100;
}

const NO_WISH: SchedulerWish = Object.freeze({
  scheduler: null,
  schedulerField: '',
  flags: null,
  flagsField: '',
});

/** Reads what a Service asks of the scheduler. An unknown name is reported and read as not given. */
export function readSchedulerWish(value: unknown, problems: ProblemList): SchedulerWish {
  const annotations = objectOf(value);
  if (annotations === null) return NO_WISH;
  reportUnknown(annotations, 'Service', problems);
  const schedulerField = fieldOf(firstGiven(annotations, SCHEDULER) ?? CILIUM_ALGORITHM);
  const scheduler = readScheduler(annotations, problems);
  const flagsKey = firstGiven(annotations, SCHEDULER_FLAGS);
  const flagsField = flagsKey === null ? '' : fieldOf(flagsKey);
  const flags = flagsKey === null ? null : readFlags(annotations[flagsKey], flagsField, problems);
  if (scheduler === null && flags === null) return NO_WISH;
  return {
    scheduler,
    schedulerField: scheduler === null ? '' : schedulerField,
    flags,
    flagsField: flags === null ? '' : flagsField,
  };
}

function readScheduler(
  annotations: Readonly<Record<string, unknown>>,
  problems: ProblemList,
): Scheduler | null {
  const key = firstGiven(annotations, SCHEDULER);
  if (key !== null) {
    const name = textOf(annotations[key]);
    if (isScheduler(name)) return name;
    problems.invalid(
      fieldOf(key),
      annotations[key],
      "the node's scheduler is used",
      `use one of ${SCHEDULERS.join(', ')}`,
    );
    return null;
  }
  if (isAbsent(annotations[CILIUM_ALGORITHM])) return null;
  const name = textOf(annotations[CILIUM_ALGORITHM]);
  const nearest = Object.hasOwn(CILIUM_ALGORITHMS, name) ? CILIUM_ALGORITHMS[name] : undefined;
  if (nearest === undefined) {
    problems.invalid(
      fieldOf(CILIUM_ALGORITHM),
      annotations[CILIUM_ALGORITHM],
      "the node's scheduler is used",
      `use ${Object.keys(CILIUM_ALGORITHMS).join(' or ')}, or ${SCHEDULER[0]}`,
    );
    return null;
  }
  problems.add(
    'Approximated',
    fieldOf(CILIUM_ALGORITHM),
    `${name} is done with scheduler ${nearest.scheduler}: ${nearest.note}`,
    `choose for yourself with ${SCHEDULER[0]}`,
  );
  return nearest.scheduler;
}

/** A list with commas, or the word none. */
function readFlags(
  value: unknown,
  field: string,
  problems: ProblemList,
): readonly SchedulerFlagName[] | null {
  const names = textOf(value)
    .split(',', MAX_FLAGS + 1)
    .map((name) => name.trim());
  if (names.length === 1 && names[0] === 'none') return [];
  const unknown = names.find((name) => !isSchedulerFlagName(name));
  if (unknown === undefined && names.length <= MAX_FLAGS)
    return [...new Set(names.filter(isSchedulerFlagName))].sort();
  const what =
    unknown === undefined ? `more than ${MAX_FLAGS} flags are given` : `${quote(unknown)} is no flag`;
  problems.add(
    'InvalidField',
    field,
    `${what}: the annotation is ignored`,
    `use none, or of ${Object.keys(SCHEDULER_FLAG_NAMES).join(', ')}`,
  );
  return null;
}

const MAX_FLAGS = 8;

/** The longest time to drain that is taken: a day. */
export const MAX_DRAIN_TIMEOUT_SECONDS = 86_400;

/**
 * How long a Service keeps connections to servers that go: 0 to 86,400 seconds, from "90s", "15m", "1h30m" or "0s" (not at all). null when
 * nothing is given or it is none, which is reported: then the node's setting counts.
 */
export function readDrainTimeout(value: unknown, problems: ProblemList): number | null {
  const annotations = objectOf(value);
  if (annotations === null || firstGiven(annotations, [DRAIN_TIMEOUT]) === null) return null;
  const [whole = '', hours, minutes, seconds] =
    /^(?:(\d{1,2})h)?(?:(\d{1,4})m)?(?:(\d{1,5})s)?$/.exec(textOf(annotations[DRAIN_TIMEOUT])) ?? [];
  const total = Number(hours ?? 0) * 3600 + Number(minutes ?? 0) * 60 + Number(seconds ?? 0);
  if (whole !== '' && total <= MAX_DRAIN_TIMEOUT_SECONDS) return total;
  problems.invalid(
    fieldOf(DRAIN_TIMEOUT),
    annotations[DRAIN_TIMEOUT],
    "the node's time is used",
    'write 0s to 24h, for instance 90s or 15m',
  );
  return null;
}

/** Reads the weight of a slice; null when none is given or it is none, which is reported. */
export function readWeight(value: unknown, problems: ProblemList): SliceWeight | null {
  const annotations = objectOf(value);
  if (annotations === null) return null;
  reportUnknown(annotations, 'EndpointSlice', problems);
  const key = firstGiven(annotations, [WEIGHT, CILIUM_WEIGHT]);
  if (key === null) return null;
  const text = textOf(annotations[key]);
  const weight = /^\d{1,5}$/.test(text) ? Number(text) : MAX_WEIGHT + 1;
  if (weight <= MAX_WEIGHT) return { value: weight, usual: key === CILIUM_WEIGHT ? 100 : 1 };
  problems.invalid(
    fieldOf(key),
    annotations[key],
    'its endpoints have the usual weight',
    `write a whole number from 0 to ${MAX_WEIGHT} as text`,
  );
  return null;
}

/** Annotations with our prefix that mean nothing: probably misspelt, and nobody else would say so. */
function reportUnknown(
  annotations: Readonly<Record<string, unknown>>,
  kind: keyof typeof OURS,
  problems: ProblemList,
): void {
  for (const key of Object.keys(annotations)) {
    if (!key.startsWith(OUR_PREFIX) || OURS[kind].has(key)) continue;
    problems.add(
      'InvalidField',
      'metadata.annotations',
      `${quote(key)} means nothing on a kind ${kind}: it is ignored`,
      `known there: ${[...OURS[kind]].join(', ')}`,
    );
  }
}

function firstGiven<K extends string>(
  annotations: Readonly<Record<string, unknown>>,
  keys: readonly K[],
): K | null {
  return keys.find((key) => Object.hasOwn(annotations, key) && !isAbsent(annotations[key])) ?? null;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value.trim() : '';
}

function fieldOf(key: string): string {
  return `metadata.annotations[${key}]`;
}
