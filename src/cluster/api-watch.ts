// One line of a watch, decoded. Pure.
// Source: k8s.io/apimachinery/pkg/watch (event types), KEP-3157 (the bookmark that ends the initial events), KEP-956 (bookmarks).

import { member } from '../model/fields.ts';
import { PointsmanError } from '../model/errors.ts';
import { ApiStatusError } from './api-client-status.ts';

/** What a line says. */
export type WatchFrame =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: unknown }
  /** Everything up to `resourceVersion` was sent. `isInitialEnd`: what a streaming list holds came before it. */
  | { readonly type: 'BOOKMARK'; readonly resourceVersion: string; readonly isInitialEnd: boolean };

const INITIAL_EVENTS_END = 'k8s.io/initial-events-end';

/** Throws API_PROTOCOL for what is no event, and ApiStatusError for an ERROR. `what` names the watch in errors. */
export function decodeWatchLine(line: string, what: string): WatchFrame {
  let frame: unknown;
  try {
    frame = JSON.parse(line);
  } catch {
    throw new PointsmanError(
      'API_PROTOCOL',
      `${what} sent a line that is no JSON; is something in between?`,
      {},
    );
  }
  const type = member(frame, 'type');
  const object = member(frame, 'object');
  if (type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED') return { type, object };
  if (type === 'BOOKMARK') {
    const metadata = member(object, 'metadata');
    const version = member(metadata, 'resourceVersion');
    return {
      type,
      resourceVersion: typeof version === 'string' ? version : '',
      isInitialEnd: member(member(metadata, 'annotations'), INITIAL_EVENTS_END) === 'true',
    };
  }
  if (type === 'ERROR') {
    const code = member(object, 'code');
    throw new ApiStatusError(what, typeof code === 'number' ? code : 0, object, { isInStream: true });
  }
  throw new PointsmanError(
    'API_PROTOCOL',
    `${what} sent an event of no known type; is that an API server?`,
    {},
  );
}

/**
 * Compares two resourceVersions: below 0, 0 or above 0; null when they cannot be compared. API servers give decimal numbers, and from 1.35
 * on clients may rely on that (KEP-5504).
 */
export function compareVersions(a: string, b: string): number | null {
  if (!isNumber(a) || !isNumber(b)) return null;
  return a.length === b.length ? (a < b ? -1 : Number(a > b)) : a.length - b.length;
}

function isNumber(text: string): boolean {
  return /^[1-9]\d{0,19}$/.test(text);
}
