// An agent on a real kernel whose flow keeper hears after each sync what the backend changed, as the daemon's does. For the lab.

import type { FlowKeeper } from '../../src/backends/flow-keeper.ts';
import type { FlowChange } from '../../src/backends/stale-flows.ts';
import type { KernelPort } from '../../src/backends/ipvs/kernel-port.ts';
import type { ClusterEvent } from '../../src/model/objects.ts';
import type { NodeOptions } from '../../src/plan/plan.ts';
import { makeAgent, type StartedAgent } from '../in-memory-agent.ts';

export class NotedAgent {
  private readonly started: StartedAgent;
  private readonly keeper: FlowKeeper;
  private known = new Map<string, FlowChange>();

  constructor(port: KernelPort, node: NodeOptions, keeper: FlowKeeper) {
    this.started = makeAgent(port, node);
    this.keeper = keeper;
  }

  /** Takes the events in, syncs once and notes what is otherwise than before; after a start that is everything. Throws when something is not programmed. */
  async commit(events: readonly ClusterEvent[]): Promise<void> {
    const { agent, backend } = this.started;
    agent.onEvents(events);
    agent.setComplete();
    const { needsRetry } = await agent.sync('request');
    const problems = agent.problems();
    if (needsRetry || problems.length > 0)
      throw new Error(`not all is programmed: ${JSON.stringify([problems, backend.failedOperations()])}`);
    const now = new Map<string, FlowChange>();
    for (const key of agent.serviceKeys())
      for (const { id, service, realServers } of backend.virtualServersOf(key))
        now.set(id, { portal: service, realServers });
    for (const [id, { portal }] of this.known)
      if (!now.has(id)) this.keeper.note({ portal, realServers: null });
    for (const [id, change] of now)
      if (JSON.stringify(change) !== JSON.stringify(this.known.get(id))) this.keeper.note(change);
    this.known = now;
  }
}
