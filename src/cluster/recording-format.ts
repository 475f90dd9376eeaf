// What a recording is made of: gzip (RFC 1952, one member after the other, so that each one written is readable whatever comes after),
// and in it one line of JSON each for the header, a batch of events, the mark of the first complete snapshot, and the end. Lines are made
// and read here; files are not touched. A change that an older reader would misread needs a new FORMAT_VERSION.
// Times are whole milliseconds since the recording began, by a clock that nobody sets.

import { printable } from '../files/document.ts';
import { member, objectOf } from '../model/fields.ts';
import { isDnsSubdomain } from '../model/names.ts';
import { PointsmanError } from '../model/errors.ts';
import type { ClusterEvent, ClusterObject } from '../model/objects.ts';
import { usedFields } from './used-fields.ts';

/** Raised when an older reader would misread what is written. */
export const FORMAT_VERSION = 1;
/** Longest line, in bytes of UTF-8 with its end. Writers split batches; one object of etcd has at most 1.5 MiB. */
export const MAX_LINE_BYTES = 4 << 20;
/** All lines of one recording. Writers stop there, readers refuse more: it is far beyond what a file of 256 MiB usually holds. */
export const MAX_TEXT_BYTES = 4 * 2 ** 30;

const FORMAT = 'pointsman-recording';
const ABOUT =
  'Services, EndpointSlices and Nodes as an agent learned of them, with only the fields that it reads';
/** Ten years; times beyond it are a sign of damage. */
const MAX_AT_MS = 3660 * 86_400_000;
const MAX_REASON_LENGTH = 200;
const KINDS: ReadonlySet<unknown> = new Set<ClusterObject['kind']>(['Service', 'EndpointSlice', 'Node']);

/** The first line. */
export interface RecordingHeader {
  readonly formatVersion: number;
  /** The version that recorded, '' when unknown. */
  readonly pointsmanVersion: string;
  /** The node whose agent recorded, '' when unknown. */
  readonly nodeName: string;
}

/** Any line after the first. */
export type RecordedLine =
  | { readonly type: 'events'; readonly atMs: number; readonly events: readonly ClusterEvent[] }
  | { readonly type: 'complete'; readonly atMs: number }
  /** The last line of a recording that was ended, and why. */
  | { readonly type: 'end'; readonly atMs: number; readonly reason: string };

/** The first line, with its end. */
export function formatHeader(header: Omit<RecordingHeader, 'formatVersion'>): string {
  const { pointsmanVersion, nodeName } = header;
  const line = { format: FORMAT, formatVersion: FORMAT_VERSION, pointsmanVersion, nodeName, about: ABOUT };
  return `${JSON.stringify(line)}\n`;
}

/** One event reduced to what Pointsman reads, as JSON; null for a kind that it does not read. */
export function formatEvent(event: ClusterEvent): string | null {
  if (event.type === 'apply') {
    const object = usedFields(event.object);
    return object === null ? null : JSON.stringify({ type: 'apply', object });
  }
  const { type, kind, namespace, name } = event;
  return KINDS.has(kind) ? JSON.stringify({ type, kind, namespace, name }) : null;
}

/** A line of events that are JSON already; with its end. */
export function formatEvents(atMs: number, events: readonly string[]): string {
  return `{"at":${atMs},"events":[${events.join(',')}]}\n`;
}

/** The mark of the first complete snapshot; with its end. */
export function formatComplete(atMs: number): string {
  return `{"at":${atMs},"complete":true}\n`;
}

/** The last line; with its end. */
export function formatEnd(atMs: number, reason: string): string {
  return `${JSON.stringify({ at: atMs, end: reason })}\n`;
}

/** What is wrong with a line, or with a file as a whole: `message` and `remedy` as in INVALID_RECORDING. */
export class LineError extends Error {
  readonly remedy: string;

  constructor(message: string, remedy: string) {
    super(message);
    this.name = 'LineError';
    this.remedy = remedy;
  }
}

const DAMAGED = 'the file is damaged; use a copy that is whole';

/** Reads the first line. Throws LineError. */
export function parseHeader(text: string): RecordingHeader {
  const value = parseJson(text);
  const version = member(value, 'formatVersion');
  if (member(value, 'format') !== FORMAT || typeof version !== 'number' || !Number.isInteger(version))
    throw new LineError('it is no recording of facts', 'give a file that "pointsman run --record" wrote');
  const pointsmanVersion = textOf(member(value, 'pointsmanVersion'));
  if (version > FORMAT_VERSION || version < 1) {
    const writer =
      pointsmanVersion === '' ? 'the version that wrote it' : `Pointsman ${printable(pointsmanVersion)}`;
    throw new LineError(
      `it has format ${version}, and this version reads format ${FORMAT_VERSION}`,
      `replay it with ${writer}`,
    );
  }
  const nodeName = textOf(member(value, 'nodeName'));
  if (nodeName !== '' && !isDnsSubdomain(nodeName))
    throw new LineError('its nodeName is no name of a Node', DAMAGED);
  return { formatVersion: version, pointsmanVersion: printable(pointsmanVersion), nodeName };
}

/** Reads any line after the first; `notBeforeMs` is the time of the one before. Objects come back reduced. Throws LineError. */
export function parseLine(text: string, notBeforeMs: number): RecordedLine {
  const value = parseJson(text);
  const atMs = member(value, 'at');
  if (typeof atMs !== 'number' || !(atMs >= notBeforeMs && atMs <= MAX_AT_MS))
    throw new LineError('its time is none that may follow', DAMAGED);
  const events = member(value, 'events');
  if (Array.isArray(events) && events.length > 0)
    return { type: 'events', atMs, events: events.map(parseEvent) };
  if (member(value, 'complete') === true) return { type: 'complete', atMs };
  const reason = member(value, 'end');
  if (typeof reason === 'string') return { type: 'end', atMs, reason: oneLine(reason) };
  throw new LineError('it is neither events nor a mark', DAMAGED);
}

function parseEvent(value: unknown, index: number): ClusterEvent {
  const type = member(value, 'type');
  if (type === 'apply') {
    const object = objectOf(member(value, 'object')) as ClusterObject | null;
    const reduced = object === null ? null : usedFields(object);
    if (reduced !== null) return { type, object: reduced };
  }
  const [kind, namespace, name] = [member(value, 'kind'), member(value, 'namespace'), member(value, 'name')];
  if (type === 'delete' && KINDS.has(kind) && typeof namespace === 'string' && typeof name === 'string')
    return { type, kind: kind as ClusterObject['kind'], namespace, name };
  throw new LineError(`its event ${index + 1} is none`, DAMAGED);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new LineError('it is no JSON', DAMAGED);
  }
}

function oneLine(text: string): string {
  return text.slice(0, MAX_REASON_LENGTH).replaceAll(/[^\x20-\x7e]/g, '?');
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

/** INVALID_RECORDING. `line` counts from 1; 0: the file as a whole. */
export function invalidRecording(
  path: string,
  line: number,
  error: LineError,
  cause?: unknown,
): PointsmanError {
  const where = line === 0 ? path : `${path}: line ${line}`;
  const message = `--replay ${where}: ${error.message}; ${error.remedy}`;
  return new PointsmanError('INVALID_RECORDING', message, { path, line }, { cause });
}
