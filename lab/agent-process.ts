// The agent as a user starts it: bin/pointsman in a process of its own, asked over its socket. For the demo and the lab's cases.

import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { request } from 'node:http';
import { fileURLToPath } from 'node:url';

const POINTSMAN = fileURLToPath(new URL('../bin/pointsman', import.meta.url));
const POLL_MS = 50;
/** Where the agent listens unless told otherwise. */
export const AGENT_SOCKET = '/run/pointsman/agent.sock';

/** What a finished command gave. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `pointsman ARGS` to its end. */
export function pointsman(args: readonly string[], timeoutMs = 300_000): CommandResult {
  return tool(POINTSMAN, args, timeoutMs);
}

/** Runs a program to its end; code 255 when it could not be started or took too long. */
export function tool(path: string, args: readonly string[], timeoutMs = 300_000, stdin = ''): CommandResult {
  const done = spawnSync(path, args, {
    timeout: timeoutMs,
    encoding: 'utf8',
    input: stdin,
    maxBuffer: 1 << 26,
  });
  return { code: done.status ?? 255, stdout: done.stdout ?? '', stderr: done.stderr ?? '' };
}

/** The parts of `pointsman status -o json` that the lab looks at. */
export interface StatusView {
  readonly isSynced: boolean;
  readonly syncs: number;
  readonly scheduler: string;
  readonly services: readonly {
    readonly service: string;
    readonly virtualServers: readonly {
      readonly address: string;
      readonly scheduler: string;
      readonly realServers: readonly {
        readonly address: string;
        readonly weight: number;
        readonly state: 'serving' | 'draining' | 'missing' | 'extra';
      }[];
    }[];
  }[];
  readonly draining: {
    readonly servers: readonly {
      readonly virtualServer: string;
      readonly address: string;
      readonly activeConnections: number;
      readonly inactiveConnections: number;
    }[];
    readonly ended: Readonly<Record<'drained' | 'deadline' | 'returned' | 'gone', number>>;
  };
  readonly foreignVirtualServers: readonly string[];
  readonly repairs: { readonly total: number };
  readonly takeOver: {
    readonly state: string;
    readonly what: readonly string[];
    readonly reason: string;
  } | null;
  readonly facts: {
    readonly from: string;
    readonly isComplete: boolean;
    readonly trouble: string;
    readonly recording: { readonly events: number } | null;
  } | null;
  readonly problems: readonly {
    readonly object: string;
    readonly reason: string;
    readonly message: string;
  }[];
}

/** A running `pointsman run`. */
export class AgentProcess {
  private readonly child: ChildProcess;
  private log = '';

  constructor(args: readonly string[]) {
    this.child = spawn(POINTSMAN, ['run', ...args], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.child.stderr?.on('data', (chunk: Buffer) => (this.log += chunk.toString()));
  }

  /** What it logged so far. */
  get logText(): string {
    return this.log;
  }

  /** Resolves as soon as `condition` holds for the agent's status; throws when it does not within the time, with the log. */
  async until(
    what: string,
    condition: (status: StatusView) => boolean,
    timeoutMs = 300_000,
  ): Promise<StatusView> {
    const deadline = Date.now() + timeoutMs;
    while (Date.now() < deadline && this.child.exitCode === null) {
      const startMs = performance.now();
      const status = await askStatus();
      if (status !== null && condition(status)) return status;
      // The answer costs the agent a read of the kernel, which is not to take most of its time.
      const pauseMs = Math.max(POLL_MS, 2 * (performance.now() - startMs));
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
    throw new Error(`the agent did not reach "${what}" within ${timeoutMs} ms; its log:\n${this.log}`);
  }

  /** Resolves as soon as it has logged this; throws when it does not within the time. */
  async logged(text: string, timeoutMs = 300_000): Promise<void> {
    const deadline = Date.now() + timeoutMs;
    while (!this.log.includes(text)) {
      if (Date.now() > deadline || this.child.exitCode !== null)
        throw new Error(`the agent did not log "${text}" within ${timeoutMs} ms; its log:\n${this.log}`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Ends it and waits for its exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    if (this.child.exitCode !== null) return this.child.exitCode;
    const ended = new Promise<number | null>((resolve) => this.child.once('exit', (code) => resolve(code)));
    this.child.kill(signal);
    return ended;
  }
}

function askStatus(): Promise<StatusView | null> {
  return new Promise((resolve) => {
    const asked = request({ socketPath: AGENT_SOCKET, path: '/status', timeout: 5000 }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => (text += chunk.toString()));
      response.on('end', () =>
        resolve(response.statusCode === 200 ? (JSON.parse(text) as StatusView) : null),
      );
    });
    asked.on('error', () => resolve(null));
    asked.end();
  });
}
