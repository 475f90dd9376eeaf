// Guests of user-mode Linux: Debian's linux.uml, a Linux 6.1 with IPVS that runs as an ordinary process and boots in about 1.5 s.
// Its root is this machine's file system, read-only (hostfs), under an overlay in the guest's memory. This file runs the process and
// bounds it in time and output; what it wrote is read in uml-results.ts, and what dead callers left is removed in uml-leftovers.ts.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PointsmanError } from '../src/model/errors.ts';
import type { GuestKernel, GuestResult, GuestSpec } from './guest.ts';
import { renderInit, renderStage2 } from './uml-init.ts';
import {
  endByFolder,
  killByFolder,
  LINUX,
  makeGuestFolder,
  removeDeadOwners,
  removeGuestFolder,
} from './uml-leftovers.ts';
import { followText, readResults, readText, requireWithinLimits } from './uml-results.ts';

const MODULES = '/usr/lib/uml/modules';
const DEFAULT_MEMORY_MB = 2048;
/** Far above what any case takes: a machine may be ten times slower at one hour than at another. */
const DEFAULT_TIMEOUT_MS = 1_500_000;
const MAX_CONSOLE_CHARACTERS = 1 << 20;
/** SIGTERM ends a guest cleanly; one that hangs gets SIGKILL after this. */
const GRACE_MS = 3000;
/** How often the results folder is looked at: for output to hand over, and for its limit. */
const RESULTS_POLL_MS = 50;

/** Guests of user-mode Linux. boot() rejects with LAB_FAILED (cannot boot) and LIMIT_EXCEEDED (wrote more than it may). */
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

/** Folders of guests, so that they end with this process; null before the guest's process has started and after it has ended. */
const guests = new Map<string, ChildProcess | null>();
let isExitHandled = false;

function endWithThisProcess(): void {
  if (isExitHandled) return;
  isExitHandled = true;
  process.on('exit', () => {
    for (const [folder, child] of guests) {
      if (child !== null) killGroup(child, 'SIGKILL');
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
  const folder = makeGuestFolder();
  guests.set(folder, null);
  const terminal = spec.isInteractive === true ? saveTerminal() : null;
  try {
    const results = join(folder, 'results');
    mkdirSync(results);
    const timeLimitSeconds = Math.ceil((spec.timeoutMs ?? DEFAULT_TIMEOUT_MS) / 1000) + 5;
    const init = renderInit({ folder, modules: MODULES, timeLimitSeconds });
    writeFileSync(join(folder, 'init'), init, { mode: 0o755 });
    writeFileSync(join(folder, 'stage2'), renderStage2({ folder, results, spec }), { mode: 0o755 });
    writeFileSync(join(folder, 'stdin'), spec.stdin ?? '');
    return await run(spec, folder, results);
  } finally {
    terminal?.restore();
    await endByFolder(folder);
    removeGuestFolder(folder);
    guests.delete(folder);
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
  guests.set(folder, child);
  let console = '';
  const keep = (chunk: Buffer): void => {
    if (console.length < MAX_CONSOLE_CHARACTERS) console += chunk.toString('latin1');
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  const followers = [
    ...(spec.onOutput === undefined ? [] : [followText(join(results, '.stdout'), spec.onOutput)]),
    ...(spec.onErrorOutput === undefined ? [] : [followText(join(results, '.stderr'), spec.onErrorOutput)]),
  ];
  let failure: { readonly reason: unknown } | undefined;
  const poll = setInterval(() => {
    try {
      requireWithinLimits(results);
      for (const follower of followers) follower.read();
    } catch (reason) {
      failure ??= { reason };
      // Nothing of it is given back, so there is nothing to end in good order.
      killGroup(child, 'SIGKILL');
    }
  }, RESULTS_POLL_MS);
  let timedOut = false;
  let timer = setTimeout(() => {
    timedOut = true;
    killGroup(child, 'SIGTERM');
    timer = setTimeout(() => killGroup(child, 'SIGKILL'), GRACE_MS);
  }, spec.timeoutMs ?? DEFAULT_TIMEOUT_MS);
  try {
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', () => resolve());
    });
    guests.set(folder, null);
    await endByFolder(folder);
  } finally {
    clearTimeout(timer);
    clearInterval(poll);
  }
  if (failure !== undefined) throw failure.reason;
  requireWithinLimits(results);
  for (const follower of followers) follower.end();
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
