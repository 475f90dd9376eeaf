// One agent per network namespace: whoever has the abstract name @pointsman-agent. It needs no disk, dies with the process and is taken
// before anything is written. Guarantees: of agents that start at once one gets it; an agent that ends hands over to one that waits;
// and nobody but root keeps an agent from starting: a name can be taken by every user, so only root's process counts as an agent.

import {
  abstractNameHolder,
  takeAbstractName,
  type HeldName,
  type PeerCredentials,
} from '../kernel/unix-socket.ts';
import { PointsmanError } from '../model/errors.ts';
import type { Log } from './log.ts';

/** The abstract name; ss(8) and /proc/net/unix show it with an @ before it. */
export const AGENT_NAME = 'pointsman-agent';

/** How long a new agent waits for the one before it: as long as that one may take to stop. */
const WAIT_MS = 10_000;
const POLL_MS = 100;
const DISMISS_MS = 10_000;

const HOW_TO_FIND = `"ss -xlp src @${AGENT_NAME}" shows it`;

/** The lock, held. */
export interface AgentLock {
  /** Lets the next agent start. Call it last, when nothing is written any more. */
  release(): void;
}

export interface AgentLockOptions {
  readonly log: Log;
  /** Default 10,000. */
  readonly waitMs?: number;
  readonly name?: string;
}

/**
 * Takes the lock of this network namespace; waits while another agent has it. Throws AGENT_RUNNING when the time is up, KERNEL_REFUSED
 * when there are no unix sockets. When the name is taken by somebody who cannot be an agent, it warns, and the agent goes without a lock.
 */
export async function takeAgentLock(options: AgentLockOptions): Promise<AgentLock> {
  const { log, waitMs = WAIT_MS, name = AGENT_NAME } = options;
  const deadlineMs = performance.now() + waitMs;
  let agent: PeerCredentials | null = null;
  for (;;) {
    const held = takeAbstractName(name);
    if (held !== null) return keep(held);
    const holder = abstractNameHolder(name);
    const isOver = performance.now() >= deadlineMs;
    // Right after bind an agent does not listen yet, so it takes the whole time to tell that a holder is none.
    if ((holder !== null && holder.uid !== 0) || (isOver && holder === null && agent === null)) {
      log.warn(
        `The name that keeps a second agent away is held by somebody who is no agent; going on without it: stop that process, then restart this one; ${HOW_TO_FIND}`,
        { name: `@${name}`, pid: holder?.pid, uid: holder?.uid },
      );
      return { release: () => {} };
    }
    if (holder !== null && agent === null)
      log.info('Another agent runs here; waiting for its end', { pid: holder.pid, waitMs });
    agent = holder ?? agent;
    if (isOver && agent !== null) throw agentRunning(agent, waitMs);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}

function keep(held: HeldName): AgentLock {
  const timer = setInterval(() => held.dismissVisitors(), DISMISS_MS);
  timer.unref();
  return {
    release() {
      clearInterval(timer);
      held.release();
    },
  };
}

function agentRunning({ pid }: PeerCredentials, waitMs: number): PointsmanError {
  const who = pid === 0 ? 'a process of root in another container' : `process ${pid}`;
  return new PointsmanError(
    'AGENT_RUNNING',
    `another agent runs in this network namespace: ${who}, still there after ${waitMs / 1000} s; stop it first (${HOW_TO_FIND})`,
    { pid },
  );
}
