// Keeps Node's loop served during long work: a turn whenever the loop was held long enough. Cheap to call after each small piece.

/** Work holds the loop for about this long before others get a turn. */
const HOLD_MS = 4;

/**
 * A function to await between pieces of work: it resolves at once until `HOLD_MS` have passed since the last turn, then it gives the loop
 * one. `now` is monotonic milliseconds, `nextTurn` resolves in a later turn of the loop.
 */
export function makePacer(now: () => number, nextTurn: () => Promise<void>): () => Promise<void> {
  let turnAtMs = now();
  return async () => {
    if (now() - turnAtMs < HOLD_MS) return;
    await nextTurn();
    turnAtMs = now();
  };
}
