// Time limits for an answer that arrives in pieces: so long without a piece, so long for all of it. Ends the work by a signal of its own.

import { PointsmanError } from '../model/errors.ts';
import type { ApiTimers } from './api-timers.ts';

export interface TimeLimits {
  /** Without a piece. */
  readonly idleMs: number;
  /** For everything. */
  readonly totalMs: number;
  /** To come to the end of the total is as good as any other end. */
  readonly isTotalGood?: boolean;
}

/** The answer took too long. */
export class ApiSilentError extends PointsmanError {
  constructor(message: string) {
    super('API_UNREACHABLE', message, { code: 'SILENT' });
    this.name = 'ApiSilentError';
  }
}

/**
 * Runs `work` with a signal that is aborted when a limit is reached or `signal` is, and with a function to call whenever something came.
 * The limits count from the first such call: until then whoever sends the request has its own. Rejects as `work` does, with
 * `ApiSilentError` for a limit, with the signal's reason for `signal`; resolves at the end of a total that is good.
 */
export async function within(
  timers: ApiTimers,
  limits: TimeLimits | { readonly current: TimeLimits },
  signal: AbortSignal,
  work: (limited: AbortSignal, touch: () => void) => Promise<void>,
): Promise<void> {
  signal.throwIfAborted();
  const controller = new AbortController();
  const current = (): TimeLimits => ('current' in limits ? limits.current : limits);
  let startMs: number | null = null;
  let touchedMs = 0;
  let timer: unknown = null;
  let isEnd = false;
  const look = (): void => {
    const { idleMs, totalMs, isTotalGood = false } = current();
    const nowMs = timers.now();
    const leftMs = Math.min(touchedMs + idleMs, (startMs ?? nowMs) + totalMs) - nowMs;
    if (leftMs > 0) {
      timer = timers.set(look, Math.ceil(leftMs));
      return;
    }
    isEnd = isTotalGood && nowMs - (startMs ?? nowMs) >= totalMs;
    const what =
      nowMs - touchedMs >= idleMs
        ? `nothing came for ${idleMs / 1000} s`
        : `it took more than ${totalMs / 1000} s`;
    controller.abort(
      new ApiSilentError(
        `an answer of the API server stopped: ${what}; check firewalls in between and the load of the server`,
      ),
    );
  };
  const touch = (): void => {
    touchedMs = timers.now();
    if (startMs !== null) return;
    startMs = touchedMs;
    look();
  };
  const onAbort = (): void => controller.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await work(controller.signal, touch);
  } catch (error) {
    signal.throwIfAborted();
    if (isEnd) return;
    throw controller.signal.aborted ? controller.signal.reason : error;
  } finally {
    if (timer !== null) timers.clear(timer);
    signal.removeEventListener('abort', onAbort);
  }
}
