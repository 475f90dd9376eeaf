// How long to wait after a failure: 0.8 to 30 seconds, doubling, with jitter, as client-go's reflector. Pure: chance and time are given.
// Starts over after two minutes of health, so that a server that answers and fails in turns is not asked ever faster.

const FIRST_MS = 800;
/** A pause is between its step and twice that. */
const LAST_STEP_MS = 15_000;
const HEALTH_RESETS_MS = 120_000;

/** The longest pause without a Retry-After. */
export const MAX_BACKOFF_MS = 2 * LAST_STEP_MS;
/** A server may ask for this much at most: one that asks for a day gets a request all the same. */
export const MAX_RETRY_AFTER_MS = 120_000;

export class Backoff {
  private readonly random: () => number;
  private stepMs = FIRST_MS;
  private healthySinceMs: number | null = null;

  /** `random` gives 0 to below 1. */
  constructor(random: () => number) {
    this.random = random;
  }

  /** Things work, at least since now. */
  healthy(nowMs: number): void {
    this.healthySinceMs ??= nowMs;
  }

  /** Something failed: how long to wait. `retryAfterMs` is what the server asked for; never less than that, within reason. */
  failed(nowMs: number, retryAfterMs = 0): number {
    if (this.healthySinceMs !== null && nowMs - this.healthySinceMs >= HEALTH_RESETS_MS)
      this.stepMs = FIRST_MS;
    this.healthySinceMs = null;
    const stepMs = this.stepMs;
    this.stepMs = Math.min(stepMs * 2, LAST_STEP_MS);
    return this.jittered(stepMs, retryAfterMs);
  }

  /** Something ended that went well for a while (a watch that was cut): the shortest wait, which counts for nothing. */
  interrupted(): number {
    return this.jittered(FIRST_MS, 0);
  }

  private jittered(stepMs: number, retryAfterMs: number): number {
    const askedMs = Math.min(retryAfterMs, MAX_RETRY_AFTER_MS);
    // All agents of a cluster hear the same Retry-After; they must not come back at the same time.
    return Math.max(stepMs * (1 + this.random()), askedMs * (1 + this.random() / 4));
  }
}
