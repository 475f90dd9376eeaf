// The processes beside a bench: each answers a line on its standard input with a line of JSON.

import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
/** For one line. */
const LINE_TIMEOUT_MS = 300_000;

/** A process of Node.js that answers with lines of JSON. */
export class Answering {
  private readonly child: ChildProcess;
  private readonly lines: AsyncIterator<string>;

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, args, {
      ...{ stdio: ['pipe', 'pipe', 'inherit'], cwd: ROOT },
      // As bin/pointsman.
      env: { ...process.env, MALLOC_ARENA_MAX: '1' },
    });
    this.lines = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  say(line: string): void {
    this.child.stdin?.write(`${line}\n`);
  }

  async next(): Promise<unknown> {
    const timer = setTimeout(() => this.child.kill('SIGKILL'), LINE_TIMEOUT_MS);
    const { value, done } = await this.lines.next();
    clearTimeout(timer);
    if (done === true) throw new Error(`a process of the bench ended early (${this.child.exitCode})`);
    return JSON.parse(value as string);
  }

  async end(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const ended = new Promise((resolve) => this.child.once('exit', resolve));
    this.child.stdin?.end();
    await ended;
  }
}
