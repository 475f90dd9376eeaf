// What holds for every plan of random clusters, as plan.ts promises it; that nobody shares what only one may own; and that no text of an object gets through to a backend.

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { clusterEvents, nodeOptions, serviceObject, sliceObject } from '../../test/arbitraries.ts';
import { compareIp, parseCidr, parseIp } from '../model/ip.ts';
import { isPortName, parseServiceKey, type ServiceKey } from '../model/names.ts';
import type { ClusterObject } from '../model/objects.ts';
import { formatProblem } from '../model/problem.ts';
import { Snapshot } from '../model/snapshot.ts';
import { compileService } from './compile.ts';
import { virtualServerId } from './ownership.ts';
import { compile } from './planner.ts';
import type { NodeOptions, Selection, ServicePlan, VirtualServer } from './plan.ts';

/** Replaces the text at `index` (counting all texts of the object) by another. */
function poison(object: ClusterObject, index: number, text: string): ClusterObject {
  let at = 0;
  return JSON.parse(JSON.stringify(object), (key, value: unknown) =>
    typeof value === 'string' && key !== 'kind' && at++ === index ? text : value,
  ) as ClusterObject;
}

function textsOf(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsOf) : [];
}

const CONSTANTS = new Set<string>([
  'ClusterIP',
  'ExternalIP',
  'LoadBalancerIP',
  'NodePort',
  'IPv4',
  'IPv6',
  'TCP',
  'UDP',
  'SCTP',
  'rr',
  'forward',
  'reject',
  'drop',
  'none',
  'node',
  'nonPods',
  'all',
  'Cluster',
  'Local',
  'NotReady',
  'Terminating',
  'NotLocal',
  'OtherNode',
  'OtherZone',
]);

test('no text of an object reaches a plan unless it is a canonical address, a valid name or of a closed set', () => {
  const text = fc.oneof(
    fc.constantFrom(
      'a; reboot',
      '$(reboot)',
      '-j ACCEPT',
      'x\ny',
      '10.0.0.1 -j DROP',
      '010.1.1.1',
      '::FFFF:10.9.9.9',
      'IPv7',
      '../x',
      '',
    ),
    fc.string(),
  );
  fc.assert(
    fc.property(
      serviceObject,
      sliceObject,
      fc.nat(30),
      fc.nat(30),
      text,
      nodeOptions,
      (service, slice, i, j, nasty, options) => {
        const snapshot = new Snapshot();
        snapshot.apply({ type: 'apply', object: poison(service, i, nasty) });
        snapshot.apply({ type: 'apply', object: poison(slice, j, nasty) });
        for (const compiled of compile(snapshot, options).services.values()) {
          // Problems are for people: their texts are on one line each, and nobody reads names or addresses out of them.
          for (const problem of compiled.problems) expect(formatProblem(problem)).toMatch(/^[^\p{Cc}]+$/u);
          for (const one of textsOf({ ...compiled, problems: [] })) {
            const isSafe =
              CONSTANTS.has(one) ||
              parseIp(one) === one ||
              parseCidr(one) === one ||
              isPortName(one) ||
              parseServiceKey(one) === one;
            expect(isSafe, JSON.stringify(one)).toBe(true);
          }
        }
      },
    ),
    { numRuns: 1000 },
  );
});

function checkSelection(selection: Selection, one: VirtualServer): void {
  if (selection.verdict !== 'forward') return;
  const ids = selection.realServers.map(({ address, port }) => `${address} ${port}`);
  expect(ids.length).toBeGreaterThan(0);
  expect(new Set(ids).size).toBe(ids.length);
  for (const { address, port, weight, isLocal } of selection.realServers) {
    expect(address.includes(':')).toBe(one.family === 'IPv6');
    expect(port >= 1 && port <= 65_535 && weight >= 0 && weight <= 65_535).toBe(true);
    if (selection.policy === 'Local') expect(isLocal).toBe(true);
  }
}

function checkVirtualServer(one: VirtualServer, node: NodeOptions): void {
  checkSelection(one.internal, one);
  checkSelection(one.external, one);
  // Refused for all or for none.
  expect(one.internal.verdict === 'reject').toBe(one.external.verdict === 'reject');
  expect(one.address === null).toBe(one.kind === 'NodePort');
  if (one.kind !== 'LoadBalancerIP') expect(one.allowedSources).toBeNull();
  if (one.kind === 'ClusterIP') expect(one.internal).toBe(one.external);
  else expect(one.internal.policy).toBe('Cluster');
  if (one.kind !== 'NodePort') expect(one.exceptAddresses).toEqual([]);
  for (const address of one.exceptAddresses) expect(node.nodePortAddresses).toContain(address);
  expect(node.families).toContain(one.family);
  expect([...new Set(one.schedulerFlags)].sort()).toEqual(one.schedulerFlags);
}

const KINDS = ['ClusterIP', 'ExternalIP', 'LoadBalancerIP', 'NodePort'];

function checkOrder(virtualServers: readonly VirtualServer[]): void {
  virtualServers.forEach((next, index) => {
    const one = virtualServers[index - 1];
    if (one === undefined || one.portName !== next.portName || one.protocol !== next.protocol) return;
    const order =
      KINDS.indexOf(one.kind) - KINDS.indexOf(next.kind) ||
      (one.family < next.family ? -1 : one.family > next.family ? 1 : 0) ||
      compareIp(one.address!, next.address!);
    expect(order).toBeLessThan(0);
  });
}

/** An endpoint is used under a policy, or it is said why not. */
function checkLeftOut({ virtualServers, leftOut }: ServicePlan): void {
  for (const one of virtualServers) {
    for (const selection of [one.internal, one.external]) {
      if (selection.verdict !== 'forward') continue;
      const used = new Set(selection.realServers.map(({ address, port }) => `${address} ${port}`));
      const without = leftOut.filter(
        (each) =>
          each.policy === selection.policy &&
          each.portName === one.portName &&
          each.protocol === one.protocol &&
          used.has(`${each.address} ${each.port}`),
      );
      expect(without).toEqual([]);
    }
  }
  const ids = leftOut.map((each) => JSON.stringify({ ...each, reason: '' }));
  expect(new Set(ids).size).toBe(ids.length);
}

test('a plan obeys its own contract', () => {
  fc.assert(
    fc.property(clusterEvents, nodeOptions, (events, node) => {
      const snapshot = new Snapshot();
      for (const event of events) snapshot.apply(event);
      for (const plan of compile(snapshot, node).services.values()) {
        plan.virtualServers.forEach((one) => checkVirtualServer(one, node));
        checkOrder(plan.virtualServers);
        checkLeftOut(plan);
        const local = plan.localEndpoints.map(
          ({ protocol, address, port }) => `${protocol} ${address} ${port}`,
        );
        expect(new Set(local).size).toBe(local.length);
        const counts = Object.values(plan.healthCheck?.localEndpoints ?? {});
        expect(counts.reduce((sum, count) => sum + count, 0)).toBeLessThanOrEqual(local.length);
      }
    }),
    { numRuns: 500 },
  );
});

/** Where a virtual server answers, as one text each; recomputed here from its fields. */
function answersOf(one: VirtualServer, node: NodeOptions): string[] {
  const isIpv6 = (text: string): boolean => text.includes(':');
  const addresses =
    one.address === null
      ? node.nodePortAddresses.filter(
          (each) =>
            isIpv6(each) === (one.family === 'IPv6') && !one.exceptAddresses.some((not) => not === each),
        )
      : [one.address];
  return addresses.map((each) => `${one.protocol} ${each} ${one.port}`);
}

test('on random clusters nobody shares an address, port and protocol, and everything claimed has the right owner', () => {
  fc.assert(
    fc.property(clusterEvents, nodeOptions, (events, node) => {
      const snapshot = new Snapshot();
      for (const event of events) snapshot.apply(event);
      const { services } = compile(snapshot, node);

      // Who answers where: nobody twice.
      const owners = new Map<string, ServiceKey>();
      for (const [key, { virtualServers }] of services) {
        for (const place of virtualServers.flatMap((one) => answersOf(one, node))) {
          expect(owners.has(place), place).toBe(false);
          owners.set(place, key);
        }
      }

      // Who would answer there if it were alone: the oldest of them answers, or somebody with the node port on all addresses.
      const wishes = new Map<string, ServicePlan[]>();
      for (const key of snapshot.services()) {
        const { service, slices } = snapshot.get(key)!;
        const alone = compileService(service, slices, node);
        for (const place of new Set(alone.virtualServers.flatMap((one) => answersOf(one, node))))
          wishes.set(place, [...(wishes.get(place) ?? []), alone]);
        // What it has and what it lost is what it asked for.
        const { virtualServers, lost } = services.get(key)!;
        const ids = new Set([...virtualServers.map(virtualServerId), ...lost.map(({ id }) => id)]);
        const asked = alone.virtualServers.map(virtualServerId);
        if (alone.healthCheck !== null && services.get(key)!.healthCheck === null)
          asked.push(`HealthCheckNodePort TCP *:${alone.healthCheck.nodePort}`);
        expect([...ids].sort()).toEqual(asked.sort());
        for (const { owner } of lost) expect(owner).not.toBe(key);
      }
      for (const [place, plans] of wishes) {
        const [oldest] = plans.sort((a, b) => a.createdAtMs - b.createdAtMs || (a.key < b.key ? -1 : 1));
        expect(owners.get(place), place).toBe(oldest!.key);
      }
      expect(owners.size).toBe(wishes.size);
    }),
    { numRuns: 1000 },
  );
});
