// Guests of user-mode Linux: Debian's linux.uml, a Linux 6.1 with IPVS that runs as an ordinary process and boots in about 1.5 s.
// Its root is this machine's file system, read-only (hostfs), under an overlay in the guest's memory.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PointsmanError } from '../src/model/errors.ts';
import type { GuestKernel, GuestResult, GuestSpec } from './guest.ts';
import { renderInit, renderStage2 } from './uml-init.ts';

const LINUX = '/usr/bin/linux.uml';
const MODULES = '/usr/lib/uml/modules';
const FOLDER_PREFIX = 'pointsman-lab-';
const DEFAULT_MEMORY_MB = 2048;
const MAX_RESULT_BYTES = 64 << 20;
const MAX_CONSOLE_CHARACTERS = 1 << 20;
/** SIGTERM ends a guest cleanly; one that hangs gets SIGKILL after this. */
const GRACE_MS = 3000;
const OUTPUT_POLL_MS = 50;

export const umlKernel: GuestKernel = { kind: 'uml', probe, boot };

function probe(): string | null {
  const unavailable = process.env.POINTSMAN_LAB_UNAVAILABLE;
  if (unavailable !== undefined && unavailable !== '') return unavailable;
  if (process.getuid?.() !== 0)
    return 'the lab needs root (the guest runs as the caller, and its root must own the files it reads)';
  if (process.arch !== 'x64')
    return `user-mode Linux exists for x86-64 only, this machine is ${process.arch}`;
  if (!existsSync(LINUX) || !existsSync(MODULES))
    return 'the package user-mode-linux is missing; run "npm run setup" as root';
  return null;
}

/** Guests that run, so that they end with this process. */
const running = new Map<ChildProcess, string>();
let isExitHandled = false;

function endWithThisProcess(): void {
  if (isExitHandled) return;
  isExitHandled = true;
  process.on('exit', () => {
    for (const [child, folder] of running) {
      killGroup(child, 'SIGKILL');
      killByFolder(folder);
      rmSync(folder, { recursive: true, force: true });
    }
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      // The exit handler ends the guests; the code is the shell's for this signal.
      process.exit(128 + { SIGINT: 2, SIGTERM: 15, SIGHUP: 1 }[signal]);
    });
  }
}

async function boot(spec: GuestSpec): Promise<GuestResult> {
  const reason = probe();
  if (reason !== null) throw new PointsmanError('LAB_FAILED', `no guest can boot here: ${reason}`);
  removeDeadOwners();
  endWithThisProcess();
  const folder = mkdtempSync(join(tmpdir(), `${FOLDER_PREFIX}${process.pid}-`));
  const results = join(folder, 'results');
  mkdirSync(results);
  const timeLimitSeconds = Math.ceil(spec.timeoutMs / 1000) + 5;
  writeFileSync(join(folder, 'init'), renderInit({ folder, modules: MODULES, timeLimitSeconds }), {
    mode: 0o755,
  });
  writeFileSync(join(folder, 'stage2'), renderStage2({ folder, results, spec }), { mode: 0o755 });
  writeFileSync(join(folder, 'stdin'), spec.stdin ?? '');
  const terminal = spec.isInteractive === true ? saveTerminal() : null;
  try {
    return await run(spec, folder, results);
  } finally {
    terminal?.restore();
    killByFolder(folder);
    rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  }
}

async function run(spec: GuestSpec, folder: string, results: string): Promise<GuestResult> {
  const startMs = performance.now();
  const child = spawn(
    LINUX,
    [
      `mem=${spec.memoryMb ?? DEFAULT_MEMORY_MB}M`,
      'rootfstype=hostfs',
      'rootflags=/',
      'ro',
      'con=null',
      'con0=fd:0,fd:1',
      // A person's terminal shows no messages of the kernel.
      spec.isInteractive === true ? 'loglevel=1' : 'quiet',
      `init=${join(folder, 'init')}`,
      `uml_dir=${folder}/`,
      'umid=guest',
    ],
    // A group of its own, so that no process of the guest can outlive it. An interactive one must stay with the terminal.
    {
      detached: spec.isInteractive !== true,
      stdio: spec.isInteractive === true ? ['inherit', 'inherit', 'pipe'] : ['ignore', 'pipe', 'pipe'],
    },
  );
  running.set(child, folder);
  let console = '';
  const keep = (chunk: Buffer): void => {
    if (console.length < MAX_CONSOLE_CHARACTERS) console += chunk.toString('latin1');
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  const followers = [
    ...(spec.onOutput === undefined ? [] : [followFile(join(results, '.stdout'), spec.onOutput)]),
    ...(spec.onErrorOutput === undefined ? [] : [followFile(join(results, '.stderr'), spec.onErrorOutput)]),
  ];
  let timedOut = false;
  let timer = setTimeout(() => {
    timedOut = true;
    killGroup(child, 'SIGTERM');
    timer = setTimeout(() => killGroup(child, 'SIGKILL'), GRACE_MS);
  }, spec.timeoutMs);
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', () => resolve());
    });
  } finally {
    clearTimeout(timer);
    running.delete(child);
    for (const follower of followers) follower.stop();
  }
  const started = readText(join(results, '.started'));
  if (started === '' && !timedOut) {
    throw new PointsmanError(
      'LAB_FAILED',
      `the guest did not boot; its console ends with: ${tail(console)}`,
      { console },
    );
  }
  const bootMs =
    started === '' ? 0 : statSync(join(results, '.started')).mtimeMs - (performance.timeOrigin + startMs);
  const exit = readText(join(results, '.exit')).trim();
  return {
    exitCode: /^\d+$/.test(exit) ? Number(exit) : null,
    timedOut,
    stdout: readText(join(results, '.stdout')),
    stderr: readText(join(results, '.stderr')),
    files: readResults(results),
    bootMs,
    wallMs: performance.now() - startMs,
    console,
  };
}

/** User-mode Linux makes the terminal raw and puts it back only when it ends by itself. */
function saveTerminal(): { restore(): void } {
  const stty = (argument: string): string =>
    spawnSync('stty', [argument], { stdio: ['inherit', 'pipe', 'ignore'], encoding: 'utf8' }).stdout;
  const settings = stty('-g').trim();
  return { restore: () => void (settings === '' || stty(settings)) };
}

function readText(path: string): string {
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

function readResults(folder: string): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  let bytes = 0;
  for (const name of readdirSync(folder).sort()) {
    if (name.startsWith('.') || !statSync(join(folder, name)).isFile()) continue;
    bytes += statSync(join(folder, name)).size;
    if (bytes > MAX_RESULT_BYTES)
      throw new PointsmanError(
        'LIMIT_EXCEEDED',
        `the guest wrote more than ${MAX_RESULT_BYTES} bytes of results`,
      );
    files.set(name, readFileSync(join(folder, name)));
  }
  return files;
}

/** Hands over what is appended to a file that another kernel writes: hostfs gives no reliable notification, so it is polled. */
function followFile(path: string, onText: (text: string) => void): { stop(): void } {
  let seen = 0;
  const read = (): void => {
    const bytes = existsSync(path) ? readFileSync(path) : Buffer.alloc(0);
    // Up to the last whole line, so that no character is cut in two.
    const end = bytes.lastIndexOf(0x0a) + 1;
    if (end > seen) onText(bytes.subarray(seen, end).toString('utf8'));
    seen = Math.max(seen, end);
  };
  const timer = setInterval(read, OUTPUT_POLL_MS);
  return {
    stop() {
      clearInterval(timer);
      read();
    },
  };
}

function tail(text: string): string {
  return text.trimEnd().split('\n').slice(-5).join(' | ');
}

function killGroup(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined) return;
  for (const target of [-child.pid, child.pid]) {
    try {
      process.kill(target, signal);
    } catch {
      // It has ended already, or (interactive) it has no group of its own.
    }
  }
}

/** Ends what still runs with this folder as its uml_dir: linux.uml's helper processes survive a SIGKILL of the first one. */
function killByFolder(folder: string): void {
  for (const pid of readdirSync('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    try {
      if (readlinkSync(`/proc/${pid}/exe`) !== LINUX) continue;
      if (readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(`uml_dir=${folder}/`))
        process.kill(Number(pid), 'SIGKILL');
    } catch {
      // The process ended while we looked.
    }
  }
}

/** Removes what callers left that were killed before they could clean up. */
function removeDeadOwners(): void {
  for (const name of readdirSync(tmpdir())) {
    const owner = new RegExp(`^${FOLDER_PREFIX}(\\d+)-`).exec(name)?.[1];
    if (owner === undefined || existsSync(`/proc/${owner}`)) continue;
    killByFolder(join(tmpdir(), name));
    rmSync(join(tmpdir(), name), { recursive: true, force: true });
  }
}
