// The order in which real servers are added: the node's own, stable, and spread over nodes.

import { expect, test } from 'vitest';
import { address } from '../../test/addresses.ts';
import type { Endpoint } from '../model/endpoints.ts';
import { orderForNode } from './order.ts';

const ENDPOINTS = Array.from({ length: 8 }, (_, index): Endpoint => {
  return {
    address: address(`10.244.0.${index + 1}`),
    port: 8080,
    weight: 1,
    conditions: 3,
    nodeName: '',
    zoneHints: [],
    nodeHints: [],
  };
});

test('holds every endpoint once', () => {
  expect(new Set(orderForNode(ENDPOINTS, 'node1'))).toEqual(new Set(ENDPOINTS));
});

test('is the same for the same node', () => {
  expect(orderForNode(ENDPOINTS, 'node1')).toEqual(orderForNode(ENDPOINTS, 'node1'));
});

test('keeps the order of the others when one goes', () => {
  const [, gone] = ENDPOINTS;
  const rest = orderForNode(
    ENDPOINTS.filter((one) => one !== gone),
    'node1',
  );
  expect(rest).toEqual(orderForNode(ENDPOINTS, 'node1').filter((one) => one !== gone));
});

test('spreads the first server evenly over 500 nodes', () => {
  const firsts = new Map<string, number>();
  for (let node = 0; node < 500; node++) {
    const first = orderForNode(ENDPOINTS, `worker-${node}`)[0]!.address;
    firsts.set(first, (firsts.get(first) ?? 0) + 1);
  }
  expect(firsts.size).toBe(8);
  // 62.5 each on average; the bounds are four standard deviations away.
  for (const count of firsts.values()) {
    expect(count).toBeGreaterThan(32);
    expect(count).toBeLessThan(93);
  }
});
