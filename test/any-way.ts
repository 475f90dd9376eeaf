// The properties that hold the IPVS backend together, on the stateful fake kernel, through the agent, with random objects:
//  - any way to the facts, with refusals and lost answers anywhere on it, ends in the same kernel state as from scratch, and then nothing is
//    left to do;
//  - on the way nothing leaks, after every single write, and no connection is cut that could be kept;
//  - whatever somebody else changes in what is ours is put right by one comparison of the table, and a second one finds nothing.

import fc from 'fast-check';
import { expect } from 'vitest';
import type { IpvsBackend } from '../src/backends/ipvs/backend.ts';
import { kernelSetName } from '../src/backends/ipvs/sets.ts';
import { PointsmanError } from '../src/model/errors.ts';
import type { IpAddress } from '../src/model/ip.ts';
import type { ClusterEvent } from '../src/model/objects.ts';
import { compile } from '../src/plan/planner.ts';
import type { NodeOptions } from '../src/plan/plan.ts';
import { clusterEvents, nodeOptions } from './arbitraries.ts';
import { FakeIpvsKernel } from './fake-ipvs-kernel.ts';
import { makeAgent } from './in-memory-agent.ts';
import { addFault, clearFaults, INTERFERENCES, interfere } from './ipvs-misfortunes.ts';
import { expectNoLeak, restrictionsOf, unite, type Restrictions } from './leaks.ts';

/** Retries after which everything must be in place; each fault strikes once or twice. */
const MAX_RETRIES = 8;
const FAMILIES: NodeOptions['families'] = ['IPv4', 'IPv6'];

const node = nodeOptions.map((options): NodeOptions => ({ ...options, families: FAMILIES }));
const fault = fc.record({
  verb: fc.constantFrom(
    ...['', '', 'NEW_SERVICE', 'NEW_DEST', 'SET_', 'DEL_SERVICE', 'DEL_DEST'],
    ...[
      'ADD ',
      'ADD POINTSMAN',
      'ADD KUBE-LOAD-BALANCER-FW',
      'DEL ',
      'BIND',
      'UNBIND',
      'RESTORE',
      'lost answer',
    ],
  ),
  skip: fc.nat({ max: 6 }),
  times: fc.integer({ min: 1, max: 2 }),
});
const step = fc.record({
  events: fc.oneof(
    { weight: 4, arbitrary: clusterEvents.map((events) => events.slice(0, 5)) },
    {
      weight: 1,
      arbitrary: fc.constant<ClusterEvent[]>([]),
    },
  ),
  node: fc.option(node, { freq: 4 }),
  fault,
  /** Which of the servers get a connection before it, and which of the connections end after it. */
  opened: fc.array(fc.nat(), { maxLength: 3 }),
  ended: fc.array(fc.nat(), { maxLength: 2 }),
});

/** An agent on a fake kernel, and the way to let it sync until everything is in place. */
function start(first: NodeOptions) {
  const kernel = new FakeIpvsKernel();
  const { agent, backend, clock } = makeAgent(kernel, first);
  agent.setComplete();
  return {
    kernel,
    agent,
    backend,
    /** Later, with a look at what drains. */
    wait: async (): Promise<void> => {
      clock.nowMs += 5000;
      await backend.drain();
    },
    plans: (options: NodeOptions): Restrictions =>
      restrictionsOf(compile(agent.snapshot, options).services.values(), options),
    /** As after a comparison that left something undone. */
    retry: async (): Promise<void> => {
      let needsRetry = agent.noteReport(backend.currentReport());
      for (let tries = 0; needsRetry && tries < MAX_RETRIES; tries++)
        ({ needsRetry } = await agent.sync('retry'));
    },
    settle: async (): Promise<void> => {
      let { needsRetry } = await agent.sync('request');
      for (let retry = 0; needsRetry && retry < MAX_RETRIES; retry++)
        ({ needsRetry } = await agent.sync('retry'));
      expect(
        needsRetry,
        [agent.status.lastError, ...backend.failedOperations().map(({ message }) => message)].join(),
      ).toBe(false);
    },
  };
}

/** A client connects to one of the servers that take new connections. */
function openConnection(kernel: FakeIpvsKernel, which: number): void {
  const servers = [...kernel.table].flatMap(([id, { destinations }]) =>
    [...destinations].filter(([, { weight }]) => weight > 0).map(([server]) => `${id} -> ${server}`),
  );
  const server = servers[which % servers.length];
  if (server !== undefined) kernel.connections.set(server, 1);
}

/**
 * UDP has no connections that end, scheduler dh would refuse clients of a server that drains, and nobody comes to an address that the machine lost.
 */
function mayBeCut(kernel: FakeIpvsKernel, server: string, lost: ReadonlySet<IpAddress>): boolean {
  return (
    server.startsWith('UDP') ||
    kernel.cutWithScheduler.get(server) === 'dh' ||
    lost.has(/^\S+ \[?(.+?)\]?:\d+ -> /.exec(server)?.[1] as IpAddress)
  );
}

/** Addresses that a machine loses when its node becomes another. */
function lostAddresses(before: NodeOptions, after: NodeOptions): IpAddress[] {
  const kept = new Set([...after.localAddresses, ...after.nodePortAddresses]);
  return [...before.localAddresses, ...before.nodePortAddresses].filter((address) => !kept.has(address));
}

/** What may be used where under a plan, and under the one before it where a portal is still there because it lingers. */
function withLingering(kernel: FakeIpvsKernel, before: Restrictions, after: Restrictions): Restrictions {
  const portals = FAMILIES.flatMap((family) => [
    ...(kernel.sets.get(kernelSetName('KUBE-LOAD-BALANCER', family))?.keys() ?? []),
  ]);
  const united = new Map(after);
  for (const portal of portals) {
    const sources = before.get(portal);
    if (sources !== undefined && !united.has(portal)) united.set(portal, sources);
  }
  return united;
}

async function freshState(events: readonly ClusterEvent[], options: NodeOptions): Promise<string> {
  const { kernel, agent, settle } = start(options);
  agent.onEvents(events);
  await settle();
  return kernel.dump();
}

/** Property: see above, first and second. */
export async function assertAnyWayEndsTheSame(numRuns: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(node, fc.array(step, { minLength: 1, maxLength: 5 }), async (first, steps) => {
      let current = first;
      const { kernel, agent, plans, settle, wait } = start(current);
      const history: ClusterEvent[] = [];
      // Kept apart: what is thrown in a write, a retry would make good.
      const leaks: unknown[] = [];
      const lost = new Set<IpAddress>();
      let before = plans(current);
      for (const { events, node: next, fault: broken, opened, ended } of steps) {
        for (const which of opened) openConnection(kernel, which);
        agent.onEvents(events);
        history.push(...events);
        for (const address of lostAddresses(current, next ?? current)) lost.add(address);
        current = next ?? current;
        agent.setNode(current);
        const after = plans(current);
        const permitted = unite([before, after]);
        kernel.onWrite = () => {
          try {
            expectNoLeak(kernel, permitted);
          } catch (error) {
            leaks.push(error);
          }
        };
        addFault(kernel, broken);
        await settle();
        if (leaks.length > 0) throw leaks[0];
        clearFaults(kernel);
        const open = [...kernel.connections.keys()];
        for (const which of ended) kernel.connections.delete(open[which % open.length] ?? '');
        await wait();
        await settle();
        before = withLingering(kernel, before, after);
      }
      expect(kernel.cut.filter((server) => !mayBeCut(kernel, server, lost))).toEqual([]);
      kernel.connections.clear();
      await wait();
      await settle();
      kernel.writes = [];
      agent.setSettingsChanged();
      await settle();
      expect(kernel.writes).toEqual([]);
      expect(kernel.dump()).toBe(await freshState(history, current));
    }),
    { numRuns },
  );
}

const interference = fc.record({ what: fc.constantFrom(...INTERFERENCES), which: fc.nat() });

/** The comparison of the whole table, to its end, and a look at what drains after it. */
async function compare(backend: IpvsBackend): Promise<void> {
  for (let slices = 0; !(await backend.verifier.checkSlice()); slices++) expect(slices).toBeLessThan(10_000);
  await backend.drain();
}

/** Property: see above, third. */
export async function assertDriftIsRepaired(numRuns: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(
      node,
      clusterEvents,
      fc.array(interference, { minLength: 1, maxLength: 4 }),
      async (options, events, changes) => {
        const { kernel, agent, backend, settle } = start(options);
        agent.onEvents(events);
        await settle();
        const wanted = kernel.dump();
        for (const { what, which } of changes) interfere(kernel, what, which);
        const isChanged = kernel.dump() !== wanted;
        await compare(backend);
        expect(kernel.dump()).toBe(wanted);
        if (isChanged) expect(backend.verifier.repairs.total).toBeGreaterThan(0);
        const { total } = backend.verifier.repairs;
        kernel.writes = [];
        await compare(backend);
        await backend.verifier.checkContainers();
        expect([kernel.writes, backend.verifier.repairs.total]).toEqual([[], total]);
      },
    ),
    { numRuns },
  );
}

/** Property: a repair that is refused is seen and tried again until it is done. */
export async function assertRefusedRepairsAreRetried(numRuns: number): Promise<void> {
  await fc.assert(
    fc.asyncProperty(
      node,
      clusterEvents,
      fc.array(interference, { minLength: 1, maxLength: 4 }),
      fc.array(fault, { minLength: 1, maxLength: 2 }),
      async (options, events, changes, faults) => {
        const { kernel, agent, backend, settle, retry } = start(options);
        agent.onEvents(events);
        await settle();
        const wanted = kernel.dump();
        for (const { what, which } of changes) interfere(kernel, what, which);
        for (const each of faults) addFault(kernel, each);
        await compare(backend).catch(expectRefusal);
        await backend.verifier.checkContainers().catch(expectRefusal);
        await retry();
        clearFaults(kernel);
        await retry();
        await compare(backend);
        await retry();
        expect(kernel.dump()).toBe(wanted);
        expect(backend.failedOperations()).toEqual([]);
      },
    ),
    { numRuns },
  );
}

function expectRefusal(error: unknown): void {
  if (!(error instanceof PointsmanError)) throw error;
}
