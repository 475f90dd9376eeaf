// Cuts a stream of operations into slices, so that a client encodes, sends and reads one slice at a time and Node's loop is served
// between them. Knows nothing of netlink.

import { nextTurn } from './netlink.ts';

/**
 * The values in order, in arrays of `size` (the last may be shorter, none is empty). Between two slices Node's loop gets a turn, so
 * what the caller does with one slice is the longest block of the loop.
 */
export async function* slicesOf<T>(
  values: Iterable<T> | AsyncIterable<T>,
  size: number,
): AsyncGenerator<T[], void, void> {
  let slice: T[] = [];
  if (Symbol.iterator in values) {
    for (const value of values) {
      if (slice.length === size) {
        yield slice;
        slice = [];
        await nextTurn();
      }
      slice.push(value);
    }
  } else {
    for await (const value of values) {
      if (slice.length === size) {
        yield slice;
        slice = [];
        await nextTurn();
      }
      slice.push(value);
    }
  }
  if (slice.length > 0) yield slice;
}
