// Runs an exec plugin to its end: in a process group of its own, without input, with limits on time and output, and none outlives the
// agent. What it wrote on standard output is a secret and goes back to the caller alone; of standard error the last lines are shown, with
// everything hidden that looks like a secret.

import { spawn, type ChildProcess } from 'node:child_process';
import { printable } from '../files/document.ts';
import type { PointsmanError } from '../model/errors.ts';
import { credentialError, shownPath, withoutColours } from './kubeconfig-problem.ts';
import type { ExecEntry } from './kubeconfig-user.ts';

/** Limits of a run; those that client-go does not have are ours. */
export interface ExecLimits {
  /** After this the plugin and its children are killed. */
  readonly timeoutMs: number;
  /** Of standard output and standard error together. */
  readonly maxOutputBytes: number;
  /** What it left running in the background may hold its output open for as long; then it is killed. */
  readonly lingerMs: number;
}

/** A minute, 1 MiB. */
export const DEFAULT_EXEC_LIMITS: ExecLimits = {
  timeoutMs: 60_000,
  maxOutputBytes: 1024 * 1024,
  lingerMs: 2_000,
};

const SHOWN_LINES = 3;
const SHOWN_CHARACTERS = 400;
/** Shorter words are no secrets, and hiding them would make messages unreadable. */
const MIN_SECRET_LENGTH = 6;
/** As much of standard error as is looked at. */
const TAIL_BYTES = 4096;
const WORD = /[^\s"'`,;:={}[\]()<>\\]+/g;

type End =
  | { readonly kind: 'exit'; readonly exitCode: number }
  | { readonly kind: 'signal'; readonly signal: string }
  | { readonly kind: 'notStarted'; readonly error: unknown }
  | { readonly kind: 'timeout' | 'tooMuchOutput' | 'aborted' };

/**
 * The standard output of the plugin. Rejects with CREDENTIALS_FAILED when it cannot be started, fails, takes too long or writes too much;
 * with the reason of `signal` when that is aborted: then it is killed as well.
 */
export async function runExecPlugin(
  exec: ExecEntry,
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
  limits: ExecLimits = DEFAULT_EXEC_LIMITS,
): Promise<Buffer> {
  signal.throwIfAborted();
  const { end, stdout, stderr } = await runToEnd(exec, env, signal, limits);
  if (end.kind === 'exit' && end.exitCode === 0) return stdout;
  signal.throwIfAborted();
  throw explainEnd(exec, end, shownTail(stderr, exec, stdout), limits);
}

function explainEnd(exec: ExecEntry, end: End, tail: string, limits: ExecLimits): PointsmanError {
  const name = `the exec plugin ${shownPath(exec.command)}`;
  const hint = exec.installHint === '' ? '' : `: ${exec.installHint}`;
  const byHand = 'run it by hand as the user of the agent';
  const fail = (message: string, remedy: string): PointsmanError =>
    credentialError('CREDENTIALS_FAILED', exec.origin, `${name} ${message}`, remedy);
  switch (end.kind) {
    case 'notStarted': {
      const code: unknown = end.error instanceof Error && 'code' in end.error ? end.error.code : '';
      if (code === 'ENOENT') return fail('is not installed, or its interpreter is not', `install it${hint}`);
      if (code === 'EACCES') return fail('may not be executed', 'make it executable (chmod +x)');
      const reason = typeof code === 'string' ? printable(code) : '';
      return fail(`cannot be started (${reason})`, `see whether it is a program for this machine${hint}`);
    }
    case 'exit':
      return fail(`ended with exit code ${end.exitCode}: ${tail}`, `${byHand}${hint}`);
    case 'signal':
      return fail(`was ended by ${end.signal}: ${tail}`, byHand);
    case 'timeout':
      return fail(
        `did not end within ${limits.timeoutMs} ms and was killed: ${tail}`,
        `see what it waits for: ${byHand}`,
      );
    case 'tooMuchOutput':
      return fail(`wrote more than ${limits.maxOutputBytes} bytes and was killed`, byHand);
    case 'aborted':
      return fail('was stopped', byHand);
  }
}

function runToEnd(
  exec: ExecEntry,
  env: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
  limits: ExecLimits,
): Promise<{ readonly end: End; readonly stdout: Buffer; readonly stderr: Buffer }> {
  const { promise, resolve } = Promise.withResolvers<{ end: End; stdout: Buffer; stderr: Buffer }>();
  // Detached: a process group of its own, so that its children can be killed with it.
  let child: ChildProcess;
  try {
    child = spawn(exec.command, [...exec.args], {
      env: { ...env },
      detached: true,
      shell: false,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
  } catch (error) {
    // Some reasons come as an event, others (E2BIG) at once.
    resolve({ end: { kind: 'notStarted', error }, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) });
    return promise;
  }
  const output = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  let bytes = 0;
  let lingering: ReturnType<typeof setTimeout> | undefined;
  let isOver = false;
  const kill = (): void => {
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // Nothing of it is left.
    }
  };
  const finish = (end: End): void => {
    if (isOver) return;
    isOver = true;
    clearTimeout(timer);
    clearTimeout(lingering);
    signal.removeEventListener('abort', abort);
    process.off('exit', kill);
    // Whoever left the process group may hold them open for ever.
    child.stdout?.destroy();
    child.stderr?.destroy();
    resolve({ end, stdout: Buffer.concat(output.stdout), stderr: Buffer.concat(output.stderr) });
  };
  const stop = (kind: 'timeout' | 'tooMuchOutput' | 'aborted'): void => {
    kill();
    finish({ kind });
  };
  const abort = (): void => stop('aborted');
  const timer = setTimeout(() => stop('timeout'), limits.timeoutMs);
  signal.addEventListener('abort', abort);
  process.once('exit', kill);
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > limits.maxOutputBytes) stop('tooMuchOutput');
      else output[name].push(chunk);
    });
    child[name]?.on('error', () => undefined);
  }
  child.on('error', (error) => finish({ kind: 'notStarted', error }));
  const endOf = (exitCode: number | null, killedBy: string | null): End =>
    exitCode === null ? { kind: 'signal', signal: killedBy ?? 'a signal' } : { kind: 'exit', exitCode };
  child.on('close', (exitCode, killedBy) => finish(endOf(exitCode, killedBy)));
  child.on('exit', (exitCode, killedBy) => {
    if (isOver) return;
    lingering = setTimeout(() => {
      kill();
      // What is in the pipes already is read before.
      setImmediate(() => finish(endOf(exitCode, killedBy)));
    }, limits.lingerMs);
  });
  return promise;
}

/** The last lines of standard error on one line, with whatever may be a secret hidden. Exported for its test. */
export function shownTail(stderr: Buffer, exec: Pick<ExecEntry, 'env' | 'args'>, stdout: Buffer): string {
  let text = stderr.subarray(-TAIL_BYTES).toString('utf8');
  // The first word may be the end of one, and no secret that is known.
  if (stderr.length > TAIL_BYTES) text = text.replace(/^\S*/, '');
  for (const secret of givenSecrets(exec)) text = text.replaceAll(secret, '***');
  const given = stdout.toString('utf8');
  const lines = withoutColours(text)
    .replaceAll(WORD, (word) => (word.length >= MIN_SECRET_LENGTH && given.includes(word) ? '***' : word))
    .replaceAll(/eyJ[A-Za-z0-9_.-]{8,}|[A-Za-z0-9_+=-]{32,}/g, '***')
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const tail = lines
    .slice(-SHOWN_LINES)
    .join(' | ')
    .replaceAll(/[^\x20-\x7e]/g, '?');
  return tail === '' ? 'it said nothing' : tail.slice(-SHOWN_CHARACTERS);
}

/** What a plugin was given and may repeat in its complaints, longest first. Names of options and commands among arguments are none. */
function givenSecrets(exec: Pick<ExecEntry, 'env' | 'args'>): readonly string[] {
  const args = exec.args
    .flatMap((text) => [text, ...(text.match(WORD) ?? [])])
    .filter((text) => !/^-*[a-z]+(?:-[a-z]+)*$/.test(text));
  const values = exec.env.flatMap(({ value }) => [value, ...(value.match(WORD) ?? [])]);
  return [...new Set([...values, ...args])]
    .filter((text) => text.length >= MIN_SECRET_LENGTH)
    .sort((a, b) => b.length - a.length);
}
