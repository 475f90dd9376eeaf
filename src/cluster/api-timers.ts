// The clock of everything that reads or records facts, so that tests need no sleeping. Structurally that of the daemon.

/** setTimeout and clearTimeout, or a test's own. Times in milliseconds, `now` is monotonic. */
export interface ApiTimers {
  now(): number;
  set(callback: () => void, delayMs: number): unknown;
  clear(timer: unknown): void;
}

/** The machine's own. Keeps a process alive while something waits: a command that pauses before it asks again must not end there. */
export const REAL_TIMERS: ApiTimers = {
  now: () => performance.now(),
  set: (callback, delayMs) => setTimeout(callback, delayMs),
  clear: (timer) => clearTimeout(timer as NodeJS.Timeout),
};

/** Resolves when `delayMs` have passed or `signal` is aborted, whichever is first. Never rejects. */
export function pause(timers: ApiTimers, delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const end = (): void => {
      timers.clear(timer);
      signal.removeEventListener('abort', end);
      resolve();
    };
    const timer = timers.set(end, delayMs);
    signal.addEventListener('abort', end, { once: true });
  });
}
