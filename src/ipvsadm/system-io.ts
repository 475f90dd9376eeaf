// The command's io on the real machine: standard streams, files, clock, terminal, signals, and the kernel's table. Streams are written
// synchronously, so that standard output and standard error keep their order and nothing is lost at exit.

import { readFileSync, readSync, writeSync } from 'node:fs';
import { IpvsClient } from '../kernel/ipvs.ts';
import { systemNames } from '../kernel/name-service.ts';
import { PointsmanError } from '../model/errors.ts';
import { CONNECTIONS_FILE } from './connections.ts';
import type { IpvsadmIo, IpvsTable } from './io.ts';
import { EXIT } from './refusal.ts';

/** Some hundred lines of a restore: what they become is sent before it grows old, which is what garbage costs. */
const PIECE_BYTES = 1 << 14;
const MODPROBE = '/sbin/modprobe';
/** What a shell reports of a program that wrote to a reader who left. */
const EXIT_BROKEN_PIPE = 141;
const pauseCell = new Int32Array(new SharedArrayBuffer(4));

/** The io of this process; `program` is the name it was called by. */
export function systemIo(program: string): IpvsadmIo {
  let interrupted: AbortController | undefined;
  return {
    program,
    out: (text) => write(1, text),
    err: (text) => write(2, text),
    stdin: readStdin,
    readFile: (path) => readFileSync(path, 'latin1'),
    openTable,
    readConnections: () => readFileSync(CONNECTIONS_FILE, 'latin1'),
    names: systemNames,
    nowMs: () => performance.now(),
    wait,
    terminal: () =>
      process.stdout.isTTY ? { columns: process.stdout.columns, rows: process.stdout.rows } : null,
    get signal() {
      // Only who asks for it is told; every other command ends at a signal as usual.
      if (interrupted === undefined) {
        const controller = new AbortController();
        interrupted = controller;
        for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
          process.once(name, () => controller.abort(name));
      }
      return interrupted.signal;
    },
  };
}

function write(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length;) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === 'EAGAIN') pause();
      else if (code === 'EPIPE') process.exit(EXIT_BROKEN_PIPE);
      // A closed stream is nobody's loss; a full disk is.
      else if (code === 'EBADF') return;
      else endUnwritten(fd, code);
    }
  }
}

function endUnwritten(fd: number, code: string | undefined): never {
  if (fd === 1) write(2, `ipvsadm: standard output cannot be written: ${code}\n`);
  process.exit(EXIT.FAILED);
}

/** Ends at the end of the input, and as stdio does at an input that cannot be read. */
function* readStdin(): Generator<string> {
  const bytes = Buffer.alloc(PIECE_BYTES);
  for (;;) {
    let length: number;
    try {
      length = readSync(0, bytes);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EAGAIN') return;
      pause();
      continue;
    }
    if (length === 0) return;
    yield bytes.toString('latin1', 0, length);
  }
}

/** A stream that somebody made non-blocking has nothing to wait on but time. */
function pause(): void {
  Atomics.wait(pauseCell, 0, 0, 5);
}

/** Loads the module as the original does, in the same words when that fails, if the kernel has no IPVS yet. */
function openTable(): IpvsTable {
  try {
    return IpvsClient.open();
  } catch (error) {
    if (!(error instanceof PointsmanError) || error.code !== 'MISSING_MODULE') throw error;
    loadModule();
    return IpvsClient.open();
  }
}

function loadModule(): void {
  // Loaded late: nearly every run finds the module there.
  const { spawnSync } = process.getBuiltinModule('node:child_process');
  spawnSync(MODPROBE, ['ip_vs'], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    timeout: 30_000,
  });
}

function wait(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted === true) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}
