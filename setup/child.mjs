// Starts programs for the set-up: either with the caller's terminal, or with output kept for the case of failure.
// Plain JavaScript for Node >= 20 and no npm package: it runs before anything is installed.

import { spawn } from 'node:child_process';
import { constants } from 'node:os';

const MAX_KEPT_CHARACTERS = 1 << 20;
const FORWARDED_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/**
 * Runs a program to its end and forwards signals to it.
 * @param {string} file program, absolute or on PATH
 * @param {readonly string[]} args
 * @param {{ isQuiet?: boolean, env?: NodeJS.ProcessEnv, cwd?: string, timeoutMs?: number }} [options]
 *   isQuiet keeps the output (the last 1 MiB) instead of showing it
 * @returns {Promise<{ code: number, output: string, signal: string | null }>} code: as a shell gives it (127 not found, 128 + signal)
 */
export function runChild(file, args, { isQuiet = false, env = process.env, cwd, timeoutMs } = {}) {
  return new Promise((resolve) => {
    const child = spawn(file, args, {
      cwd,
      env,
      timeout: timeoutMs,
      stdio: isQuiet ? ['ignore', 'pipe', 'pipe'] : 'inherit',
    });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text) => {
        output = (output + text).slice(-MAX_KEPT_CHARACTERS);
      });
    }
    const stopForwarding = forwardSignals(child);
    child.once('error', (error) => {
      stopForwarding();
      resolve({ code: 127, output: `${file}: ${error.message}`, signal: null });
    });
    child.once('close', (code, signal) => {
      stopForwarding();
      resolve({ code: code ?? 128 + (constants.signals[signal ?? 'SIGTERM'] ?? 0), output, signal });
    });
  });
}

/** @param {import('node:child_process').ChildProcess} child */
function forwardSignals(child) {
  const handlers = FORWARDED_SIGNALS.map((signal) => {
    const handler = () => {
      // Ctrl-C reaches the whole foreground group; a second SIGINT would make the child give up its clean end.
      if (signal === 'SIGINT' && process.stdin.isTTY) return;
      child.kill(/** @type {NodeJS.Signals} */ (signal));
    };
    process.on(signal, handler);
    return { signal, handler };
  });
  return () => {
    for (const { signal, handler } of handlers) process.off(signal, handler);
  };
}

/**
 * The end of a program's output, indented, for an error report.
 * @param {string} output
 * @param {number} count lines
 */
export function lastLines(output, count) {
  const lines = output.trimEnd().split('\n');
  return lines
    .slice(-count)
    .map((line) => `  ${line}\n`)
    .join('');
}
