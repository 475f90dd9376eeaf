// How the agent ends: SIGTERM and SIGINT ask it to, a second one ends it at once, and so does time. SIGHUP does not end it: what it reads is
// watched anyway. Says what it does in one line each.

import type { Log } from '../daemon/log.ts';
import { EXIT } from './exit-codes.ts';

/** Longest time that stopping may take. */
export const STOP_TIMEOUT_MS = 10_000;

/** Signals as they come. */
export interface StopSignals {
  /** Resolves with the first signal that asks to stop. */
  readonly asked: Promise<NodeJS.Signals>;
  /** From now on there is something to stop in order; a signal before that ends the process at once. */
  setStarted(): void;
}

/** Follows signals from now on. One that comes before setStarted ends the process with `earlyCode`, a second one with 1. */
export function followSignals(log: Log, earlyCode: number): StopSignals {
  process.on('SIGHUP', () => log.info('SIGHUP is ignored: manifests and configuration are watched'));
  const { promise: asked, resolve } = Promise.withResolvers<NodeJS.Signals>();
  let state: 'starting' | 'started' | 'stopping' = 'starting';
  const onSignal = (signal: NodeJS.Signals): void => {
    if (state === 'starting') endAtOnce(`${signal} came before anything was written`, earlyCode);
    if (state === 'stopping')
      endAtOnce(`${signal} came while stopping; ended at once, forwarding stays as it is`, EXIT.FAILED);
    state = 'stopping';
    resolve(signal);
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  return { asked, setStarted: () => (state = state === 'starting' ? 'started' : state) };
}

/** Runs `stop`, which says by `onWait` what it waits for. When that takes too long the process ends with exit code 1. */
export async function stopInTime(
  stop: (onWait: (what: string) => void) => Promise<void>,
  timeoutMs = STOP_TIMEOUT_MS,
): Promise<void> {
  let waitsFor = 'nothing';
  const timer = setTimeout(
    () =>
      endAtOnce(
        `not stopped within ${timeoutMs / 1000} s: it still waits for ${waitsFor}; ended, forwarding stays as it is`,
        EXIT.FAILED,
      ),
    timeoutMs,
  );
  try {
    await stop((what) => (waitsFor = what));
  } finally {
    clearTimeout(timer);
  }
}

function endAtOnce(line: string, code: number): never {
  process.stderr.write(`${code === EXIT.GOOD ? '' : 'error: '}${line}\n`);
  process.exit(code);
}
