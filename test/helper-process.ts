// Starts programs of the tests as processes of their own and waits for what they print. Ends by pid all that it started.

import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const started = new Set<HelperProcess>();

/** A running program with what it printed so far. */
export class HelperProcess {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  /** Resolves with the exit code, or the name of the signal that ended it. */
  readonly ended: Promise<number | string>;

  constructor(program: string, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.child = spawn(program, args, { stdio: 'pipe', env: { ...process.env, ...env } });
    this.child.stdout?.on('data', (part: Buffer) => (this.stdout += part.toString()));
    this.child.stderr?.on('data', (part: Buffer) => (this.stderr += part.toString()));
    this.child.stdin?.on('error', () => {});
    this.ended = new Promise((resolve) =>
      this.child.once('close', (code, signal) => {
        started.delete(this);
        resolve(code ?? signal ?? 'nothing');
      }),
    );
    started.add(this);
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Resolves when its output (both streams) has `text`; rejects with all of it when it ends before. */
  async until(text: string | RegExp): Promise<void> {
    const has = (): boolean => {
      const all = this.stdout + this.stderr;
      return typeof text === 'string' ? all.includes(text) : text.test(all);
    };
    while (!has()) {
      if (this.child.exitCode !== null || this.child.signalCode !== null) {
        await this.ended;
        if (has()) return;
        throw new Error(`it ended without ${text}:\n${this.stdout}${this.stderr}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Ends its standard input and resolves with its exit code. */
  async finish(): Promise<number | string> {
    this.child.stdin?.end();
    return this.ended;
  }
}

/** Runs a TypeScript file of this checkout with Node; as another user where `uid` is given. */
export function startProgram(file: URL, args: readonly string[], uid?: number): HelperProcess {
  const line = [process.execPath, fileURLToPath(file), ...args];
  return uid === undefined
    ? new HelperProcess(process.execPath, line.slice(1))
    : new HelperProcess('setpriv', [`--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', ...line]);
}

/** For afterEach: kills what still runs. */
export async function endHelpers(): Promise<void> {
  const all = [...started];
  for (const { child } of all) child.kill('SIGKILL');
  await Promise.all(all.map(({ ended }) => ended));
}
