// Endpoint selection: the cases of kube-proxy's topology tests, and where each list falls back. Endpoints are named by their number.

import { describe, expect, test } from 'vitest';
import { address } from '../../test/addresses.ts';
import { CONDITION } from '../model/endpoint-slice.ts';
import type { Endpoint } from '../model/endpoints.ts';
import { categorizeEndpoints, type EndpointPolicy } from './categorize.ts';

const { READY, SERVING, TERMINATING } = CONDITION;
const UP = READY | SERVING;
const DOWN = 0;
const NOT_READY = SERVING;
const LEAVING = SERVING | TERMINATING;
const GONE = TERMINATING;

const NODE = { nodeName: 'node1', zone: 'zone-a' };
const CLUSTER: EndpointPolicy = {
  isInternalLocal: false,
  isExternalLocal: false,
  isExternallyAccessible: true,
};
const INSIDE: EndpointPolicy = { ...CLUSTER, isExternallyAccessible: false };
const EXTERNAL_LOCAL: EndpointPolicy = { ...CLUSTER, isExternalLocal: true };
const INTERNAL_LOCAL: EndpointPolicy = { ...CLUSTER, isInternalLocal: true };
const BOTH_LOCAL: EndpointPolicy = { ...CLUSTER, isInternalLocal: true, isExternalLocal: true };
const INTERNAL_LOCAL_INSIDE: EndpointPolicy = { ...INSIDE, isInternalLocal: true };

/** An endpoint on a node, in the zone of that name, with zone and node hints. */
function on(
  nodeName: string,
  conditions: number,
  zones: readonly string[] = [],
  nodes: readonly string[] = [],
): Omit<Endpoint, 'address'> {
  return { conditions, nodeName, zoneHints: zones, nodeHints: nodes, port: 80, weight: 1 };
}

/** Numbers the endpoints from 1: the answers below are these numbers. */
function categorize(
  endpoints: readonly Omit<Endpoint, 'address'>[],
  policy: EndpointPolicy,
  node = NODE,
): object {
  const numbered = endpoints.map((one, index): Endpoint => ({
    ...one,
    address: address(`10.244.0.${index + 1}`),
  }));
  const numbers = (list: readonly Endpoint[]): number[] =>
    list.map((one) => Number(one.address.split('.')[3]));
  const { cluster, local, allReachable, hasAny, topology } = categorizeEndpoints(numbered, policy, node);
  return { cluster: numbers(cluster), local: numbers(local), all: numbers(allReachable), hasAny, topology };
}

describe('Cluster policies', () => {
  test.each([
    ['no endpoints', [], []],
    ['a single dead endpoint', [on('node1', DOWN)], []],
    ['all ready', [on('node1', UP), on('node2', UP)], [1, 2]],
    [
      'ready ones only',
      [on('node1', UP), on('node2', NOT_READY), on('node2', GONE), on('node1', LEAVING)],
      [1],
    ],
    ['ready though not serving', [on('node1', READY)], [1]],
    ['none ready, none serving', [on('node1', DOWN), on('node2', GONE)], []],
    ['none ready, some serving but not terminating', [on('node1', NOT_READY)], []],
    [
      'all terminating: the serving ones stand in',
      [on('node1', LEAVING), on('node2', LEAVING), on('node2', GONE)],
      [1, 2],
    ],
    ['ready and terminating (publishNotReadyAddresses)', [on('node1', READY | TERMINATING)], [1]],
  ])('%s', (_name, endpoints, cluster) => {
    const expected = { cluster, local: [], all: cluster, hasAny: cluster.length > 0, topology: 'none' };
    expect(categorize(endpoints, CLUSTER)).toEqual(expected);
    expect(categorize(endpoints, INSIDE)).toEqual(expected);
  });

  test('externalTrafficPolicy Local changes nothing for a Service that nobody outside can reach', () => {
    const endpoints = [on('node1', UP), on('node2', UP)];
    expect(categorize(endpoints, { ...EXTERNAL_LOCAL, isExternallyAccessible: false })).toEqual(
      categorize(endpoints, INSIDE),
    );
  });
});

describe('topology hints', () => {
  const a = (conditions = UP): Omit<Endpoint, 'address'> => on('node1', conditions, ['zone-a']);
  const b = (conditions = UP): Omit<Endpoint, 'address'> => on('node2', conditions, ['zone-b']);
  test.each([
    ['the own zone', [a(), b(), a()], NODE, [1, 3], 'PreferSameZone'],
    [
      'several zones to an endpoint',
      [on('node1', UP, ['zone-b', 'zone-a']), b()],
      NODE,
      [1],
      'PreferSameZone',
    ],
    ['a node without zone uses all', [a(), b()], { ...NODE, zone: '' }, [1, 2], 'none'],
    ['a node in a zone nobody hints at uses all', [a(), b()], { ...NODE, zone: 'zone-c' }, [1, 2], 'none'],
    [
      'one ready endpoint without hints turns hints off',
      [a(), b(), on('node2', UP)],
      NODE,
      [1, 2, 3],
      'none',
    ],
    [
      'endpoints that are not ready do not count',
      [a(), b(), on('node2', NOT_READY), a(DOWN)],
      NODE,
      [1],
      'PreferSameZone',
    ],
    ['nothing ready in the own zone: all ready', [a(NOT_READY), b(), b()], NODE, [2, 3], 'none'],
    ['nothing ready anywhere: hints are ignored', [a(LEAVING), b(LEAVING)], NODE, [1, 2], 'none'],
    [
      'node hints come before zone hints',
      [on('node1', UP, ['zone-a'], ['node1']), on('node2', UP, ['zone-a'], ['node2'])],
      NODE,
      [1],
      'PreferSameNode',
    ],
    [
      'node hints that one lacks are passed over',
      [on('node1', UP, ['zone-a'], ['node1']), a(), b()],
      NODE,
      [1, 2],
      'PreferSameZone',
    ],
    [
      'node hints for others are passed over',
      [on('node2', UP, ['zone-a'], ['node2']), on('node2', UP, ['zone-b'], ['node2'])],
      NODE,
      [1],
      'PreferSameZone',
    ],
    [
      'an unknown node name and zone match not even empty hints',
      [on('', UP, [''], [''])],
      { nodeName: '', zone: '' },
      [1],
      'none',
    ],
    [
      'an unknown node name matches no hint',
      [on('', UP, [], ['node1'])],
      { nodeName: '', zone: '' },
      [1],
      'none',
    ],
  ])('%s', (_name, endpoints, node, cluster, topology) => {
    expect(categorize(endpoints, CLUSTER, node)).toEqual({
      cluster,
      local: [],
      all: cluster,
      hasAny: true,
      topology,
    });
  });

  test('local lists ignore hints, and the union is sorted', () => {
    const endpoints = [on('node1', UP, ['zone-b']), on('node2', UP, ['zone-a']), on('node1', UP, ['zone-b'])];
    for (const policy of [EXTERNAL_LOCAL, INTERNAL_LOCAL, BOTH_LOCAL]) {
      expect(categorize(endpoints, policy)).toEqual({
        cluster: [2],
        local: [1, 3],
        all: [1, 2, 3],
        hasAny: true,
        topology: 'PreferSameZone',
      });
    }
  });
});

describe('Local policies', () => {
  test.each([
    ['no endpoints', [], [], [], false],
    ['none on this node', [on('node2', UP)], [1], [], true],
    ['all on this node', [on('node1', UP), on('node1', UP)], [1, 2], [1, 2], true],
    ['some on this node', [on('node2', UP), on('node1', UP)], [1, 2], [2], true],
    ['not ready on this node', [on('node1', NOT_READY), on('node2', UP)], [2], [], true],
    [
      'leaving on this node, ready elsewhere: each list falls back by itself',
      [on('node1', LEAVING), on('node2', UP)],
      [2],
      [1],
      true,
    ],
    ['leaving and ready on this node', [on('node1', LEAVING), on('node1', UP)], [2], [2], true],
    ['all leaving elsewhere', [on('node2', LEAVING)], [1], [], true],
    ['all leaving', [on('node1', LEAVING), on('node2', LEAVING), on('node2', DOWN)], [1, 2], [1], true],
    ['all dead', [on('node1', DOWN), on('node2', GONE)], [], [], false],
  ])('%s', (_name, endpoints, cluster, local, hasAny) => {
    for (const policy of [EXTERNAL_LOCAL, INTERNAL_LOCAL, BOTH_LOCAL]) {
      const all = [...new Set([...cluster, ...local])].sort();
      expect(categorize(endpoints, policy)).toEqual({ cluster, local, all, hasAny, topology: 'none' });
    }
    // Without a way in from outside nobody needs the cluster list.
    expect(categorize(endpoints, INTERNAL_LOCAL_INSIDE)).toEqual({
      cluster: [],
      local,
      all: local,
      hasAny,
      topology: 'none',
    });
  });

  test('no endpoint is local where the name of the node is unknown', () => {
    expect(categorize([on('', UP)], INTERNAL_LOCAL, { nodeName: '', zone: '' })).toMatchObject({
      cluster: [1],
      local: [],
      hasAny: true,
    });
  });
});
