// Inside a guest: the built program started as tools start a kube-proxy, and asked over its ports as people and Prometheus ask.

import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { request } from 'node:http';

const LIMIT_MS = 300_000;
const POLL_MS = 100;

/** What a port answered; status 0: nothing did. */
export interface PortAnswer {
  readonly status: number;
  readonly headers: readonly string[];
  readonly body: string;
}

/** Asks a port of this node once. */
export function ask(port: number, path: string, host = '127.0.0.1', method = 'GET'): Promise<PortAnswer> {
  return new Promise((resolve) => {
    const nothing = { status: 0, headers: [], body: '' };
    const asked = request({ host, port, path, method, agent: false, timeout: 10_000 }, (response) => {
      let body = '';
      response.on('data', (chunk: Buffer) => (body += chunk.toString()));
      response.on('error', () => resolve(nothing));
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.rawHeaders, body }),
      );
    });
    asked.on('timeout', () => asked.destroy());
    asked.on('error', () => resolve(nothing));
    asked.end();
  });
}

/** Resolves with the first value of `look` that is not null; throws with `explain` when there is none in time. */
export async function until<T>(
  what: string,
  look: () => Promise<T | null> | T | null,
  explain: () => string = () => '',
): Promise<T> {
  const deadline = performance.now() + LIMIT_MS;
  while (performance.now() < deadline) {
    const value = await look();
    if (value !== null) return value;
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
  throw new Error(`"${what}" did not come; ${explain()}`);
}

/** A running program. */
export class DropIn {
  readonly child: ChildProcess;
  log = '';
  code: number | string | null = null;
  private readonly ended: Promise<void>;

  constructor(program: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.child = spawn(program, args, {
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...env },
    });
    this.child.stderr?.on('data', (part: Buffer) => (this.log += part.toString()));
    this.ended = new Promise((resolve) =>
      this.child.once('close', (code, signal) => {
        this.code = code ?? signal;
        resolve();
      }),
    );
  }

  /** Of /proc/PID. */
  file(name: string): string {
    return readFileSync(`/proc/${this.child.pid}/${name}`, 'utf8');
  }

  /** Resolves when the health port says that all is well. */
  async healthy(port = 10_256): Promise<PortAnswer> {
    return this.until('200 at /healthz', async () => {
      const answer = await ask(port, '/healthz');
      return answer.status === 200 && answer.body.includes('"status"') ? answer : null;
    });
  }

  async logged(text: string): Promise<void> {
    await this.until(`log: ${text}`, () => (this.log.includes(text) ? true : null));
  }

  until<T>(what: string, look: () => Promise<T | null> | T | null): Promise<T> {
    const alive = (): Promise<T | null> | T | null => {
      if (this.code !== null) throw new Error(`it ended with ${this.code} before "${what}": ${this.log}`);
      return look();
    };
    return until(what, alive, () => `its log:\n${this.log}`);
  }

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | string | null> {
    this.child.kill(signal);
    await this.ended;
    return this.code;
  }

  /** Waits for its end. */
  async over(): Promise<number | string | null> {
    await this.ended;
    return this.code;
  }
}
