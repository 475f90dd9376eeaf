// Which watches are refused for what they ask: sendInitialEvents and resourceVersionMatch. Source: metainternalversionvalidation
// (validateWatchOptions), KEP-3157.

import { invalidOptions, makeStatus, Refusal } from './api-status.ts';

/**
 * What a watch with sendInitialEvents gets: `on` as from 1.34 (and in 1.32), `refused` as in 1.27 to 1.31 and 1.33, where the gate is off
 * (422), `badRequest` as from things in between, `ignored` as if the parameter were not there (KEP-3157).
 */
export type StreamingLists = 'on' | 'refused' | 'badRequest' | 'ignored';

/** The value of sendInitialEvents; null: it is not there, or ignored. Throws Refusal. */
export function validateWatch(query: URLSearchParams, streamingLists: StreamingLists): boolean | null {
  const value = query.get('sendInitialEvents');
  const match = query.get('resourceVersionMatch') ?? '';
  if (streamingLists === 'ignored') return null;
  if (value === null) {
    if (match === '') return null;
    const message = 'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided';
    throw new Refusal(invalidOptions('resourceVersionMatch', message));
  }
  if (streamingLists === 'badRequest')
    throw new Refusal(makeStatus(400, 'unknown parameter sendInitialEvents'));
  if (streamingLists === 'refused') {
    const message = 'sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled';
    throw new Refusal(invalidOptions('sendInitialEvents', message));
  }
  if (match !== 'NotOlderThan') {
    const message = 'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan';
    throw new Refusal(invalidOptions('resourceVersionMatch', message));
  }
  return value === 'true' || value === '1';
}
