// Runs programs of the operating system: by absolute path from fixed folders, with an empty environment, never through a shell, always
// with a time limit and an output limit; none outlives a process that exits. A child inherits the network namespace of the thread that starts it.
// What is in no netlink family goes this way: iptables-restore, modprobe.

import { spawn, type ChildProcess } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { PointsmanError } from '../model/errors.ts';

/** Where programs are looked for, in this order; PATH of the caller means nothing. */
export const TOOL_FOLDERS = ['/usr/sbin', '/usr/bin', '/sbin', '/bin'] as const;

/** An argument; `token` is for text from outside: it must be a plain word that no program takes for an option. */
export type ToolArgument = string | { readonly token: string };

/** Limits of one run, and its input. */
export interface ToolOptions {
  /** Default: nothing. */
  readonly stdin?: string;
  /** After this the program and its children are killed. Default 10,000. */
  readonly timeoutMs?: number;
  /** Of stdout and stderr together. Default 64 MiB. */
  readonly maxOutputBytes?: number;
  /** Exit codes that are no failure. Default 0 only. */
  readonly acceptExitCodes?: readonly number[];
}

/** What a program that ended as accepted left behind. */
export interface ToolResult {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

const DEFAULT_TIMEOUT_MS = 10_000;
const DEFAULT_MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
/** Lines and characters of stderr that an error shows. */
const SHOWN_LINES = 3;
const SHOWN_CHARACTERS = 400;

/** Absolute path of a program, or null when it is in none of TOOL_FOLDERS. */
export function findTool(name: string): string | null {
  if (!/^[a-zA-Z0-9][a-zA-Z0-9._-]*$/.test(name))
    throw new Error(`no name of a program: ${JSON.stringify(name)}`);
  for (const folder of TOOL_FOLDERS) {
    try {
      accessSync(`${folder}/${name}`, constants.X_OK);
      return `${folder}/${name}`;
    } catch {
      // Not here.
    }
  }
  return null;
}

/**
 * Runs a program to its end. Throws MISSING_TOOL when it is not installed, TOOL_FAILED when it ends with another exit code than those
 * accepted, by a signal or not in time, LIMIT_EXCEEDED when it writes too much. Arguments with NUL and tokens that are none are
 * programmer errors: plain Error, thrown at once.
 */
export async function runTool(
  name: string,
  args: readonly ToolArgument[],
  options: ToolOptions = {},
): Promise<ToolResult> {
  const texts = args.map(argumentText);
  const path = findTool(name);
  if (path === null) {
    const message = `${name} is in none of ${TOOL_FOLDERS.join(', ')}; install the package that has it`;
    throw new PointsmanError('MISSING_TOOL', message, { tool: name });
  }
  const result = await runToEnd(path, texts, options);
  const exitCodes = options.acceptExitCodes ?? [0];
  const command = [name, ...texts].join(' ').slice(0, SHOWN_CHARACTERS);
  const context = {
    tool: path,
    arguments: texts,
    exitCode: result.exitCode,
    stderr: result.stderr.slice(0, 4096),
  };
  switch (result.end) {
    case 'notStarted':
      throw new PointsmanError('TOOL_FAILED', `${command}: it cannot be started: ${result.reason}`, context);
    case 'timeout':
      throw new PointsmanError(
        'TOOL_FAILED',
        `${command}: killed after ${options.timeoutMs ?? DEFAULT_TIMEOUT_MS} ms; see what blocks it`,
        context,
      );
    case 'tooMuchOutput':
      throw new PointsmanError(
        'LIMIT_EXCEEDED',
        `${command}: it wrote more than ${options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES} bytes`,
        context,
      );
    case 'signal':
      throw new PointsmanError('TOOL_FAILED', `${command}: ended by ${result.reason}`, context);
    case 'exit':
      break;
  }
  if (!exitCodes.includes(result.exitCode))
    throw new PointsmanError(
      'TOOL_FAILED',
      `${command}: exit code ${result.exitCode}: ${firstLines(result.stderr)}`,
      context,
    );
  return { exitCode: result.exitCode, stdout: result.stdout, stderr: result.stderr };
}

/** True for a non-empty word that is no option and means nothing to any parser of rules or arguments. */
export function isPlainToken(text: string): boolean {
  return /^[A-Za-z0-9_.:/@%+,=][A-Za-z0-9_.:/@%+,=-]*$/.test(text);
}

/** The first lines of what a program said, on one line. */
export function firstLines(text: string): string {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  const shown = lines
    .slice(0, SHOWN_LINES)
    .join(' | ')
    .replaceAll(/[^\x20-\x7e]/g, '?');
  return shown === '' ? 'it said nothing' : shown.slice(0, SHOWN_CHARACTERS);
}

function argumentText(argument: ToolArgument): string {
  const text = typeof argument === 'string' ? argument : argument.token;
  if (text.includes('\0')) throw new Error('an argument of a program contains NUL');
  if (typeof argument !== 'string' && !isPlainToken(text))
    throw new Error(`no plain token: ${JSON.stringify(text.slice(0, 100))}`);
  return text;
}

type End = 'exit' | 'signal' | 'timeout' | 'tooMuchOutput' | 'notStarted';

function runToEnd(
  path: string,
  args: readonly string[],
  options: ToolOptions,
): Promise<ToolResult & { readonly end: End; readonly reason: string }> {
  const { promise, resolve } = Promise.withResolvers<
    ToolResult & { readonly end: End; readonly reason: string }
  >();
  const maxBytes = options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES;
  // A process group of its own, so that children of the program can be killed with it.
  // Out of descriptors (EMFILE) it comes without its pipes, and the error follows.
  const child: ChildProcess = spawn(path, args, {
    env: { PATH: TOOL_FOLDERS.join(':'), LANG: 'C', LC_ALL: 'C' },
    cwd: '/',
    detached: true,
    shell: false,
    stdio: 'pipe',
  });
  const output = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  let bytes = 0;
  let end: End = 'exit';
  const kill = (why: End): void => {
    if (end !== 'exit') return;
    end = why;
    try {
      if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL');
    } catch {
      // It has ended by itself in the meantime.
    }
  };
  // What it writes after our end nobody knows of: the next agent would have written in between.
  const killAtExit = (): void => kill('signal');
  process.once('exit', killAtExit);
  const timer = setTimeout(() => kill('timeout'), options.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > maxBytes) kill('tooMuchOutput');
      else output[name].push(chunk);
    });
  }
  // A program that does not read its input ends the pipe; its exit code tells what happened.
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(options.stdin ?? '');
  const finish = (exitCode: number, reason: string): void => {
    clearTimeout(timer);
    process.off('exit', killAtExit);
    const [stdout, stderr] = [output.stdout, output.stderr].map((chunks) =>
      Buffer.concat(chunks).toString('utf8'),
    );
    resolve({ exitCode, stdout: stdout ?? '', stderr: stderr ?? '', end, reason });
  };
  child.on('error', (error) => {
    end = 'notStarted';
    finish(-1, error.message);
  });
  child.on('close', (exitCode, signal) => {
    if (signal !== null && end === 'exit') end = 'signal';
    finish(exitCode ?? -1, signal ?? '');
  });
  return promise;
}
