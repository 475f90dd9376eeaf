// The rules of health on a clock that stands still, and the bodies as kube-proxy writes them.

import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import type { Family } from '../model/ip.ts';
import { projectNode } from '../model/node.ts';
import { isNodeEligible, ProxyHealth, type Moment } from './proxy-health.ts';

const TIMEOUT_MS = 60_000;
const ROUND_MS = 15_000;
const WALL_MS = Date.UTC(2026, 10, 21, 5, 19, 32, 659);

/** The moment `ms` after the start of the monotonic clock. */
const at = (ms: number): Moment => ({ monotonicMs: ms, wallMs: WALL_MS + ms });

function startedHealth(...families: Family[]): ProxyHealth {
  const health = new ProxyHealth({ healthTimeoutMs: TIMEOUT_MS, roundIntervalMs: ROUND_MS });
  health.setNodeEligible(true);
  for (const family of families) health.started(family, 0);
  return health;
}

/** Rounds go on, so that only the rule of the test speaks. */
function goOn(health: ProxyHealth, untilMs: number): void {
  health.cameRound(untilMs);
}

describe('a request that waits', () => {
  it('turns it red when it has waited for the timeout, not before, and a success turns it green', () => {
    const health = startedHealth('IPv4');
    health.queued('IPv4', 1000);
    goOn(health, 60_000);
    expect(health.isHealthy(60_999)).toBe(true);
    expect(health.isHealthy(61_000)).toBe(false);
    expect(health.reasons(61_000)).toEqual([
      'IPv4: a sync was asked for 60 s ago and has not succeeded since',
    ]);
    health.updated('IPv4', 61_000);
    expect(health.isHealthy(61_000)).toBe(true);
  });

  it('counts from the oldest request, and anew after a success', () => {
    const health = startedHealth('IPv4');
    health.queued('IPv4', 0);
    health.queued('IPv4', 50_000);
    goOn(health, 59_000);
    expect(health.isHealthy(60_000)).toBe(false);
    health.updated('IPv4', 60_000);
    health.queued('IPv4', 61_000);
    goOn(health, 120_000);
    expect(health.isHealthy(120_999)).toBe(true);
    expect(health.isHealthy(121_000)).toBe(false);
  });

  it('is of one family: the other stays healthy in the body', () => {
    const health = startedHealth('IPv4', 'IPv6');
    health.queued('IPv6', 0);
    goOn(health, 60_000);
    expect(JSON.parse(health.livez(at(60_000)).body)).toMatchObject({
      healthy: false,
      status: { IPv4: { healthy: true }, IPv6: { healthy: false } },
    });
  });

  it('of a family that has not started counts for nothing', () => {
    const health = startedHealth('IPv4');
    health.queued('IPv6', 0);
    health.failing('IPv6', 'x', 0);
    health.updated('IPv6', 0);
    goOn(health, 100_000);
    expect(health.isHealthy(100_000)).toBe(true);
    expect(JSON.parse(health.livez(at(0)).body).status).toEqual({
      IPv4: { lastUpdated: expect.any(String), healthy: true },
    });
  });
});

describe('something that is not programmed', () => {
  it('turns it red after the timeout without any request, with its latest reason', () => {
    const health = startedHealth('IPv4');
    for (let ms = 0; ms < 60_000; ms += 10_000) {
      expect(health.isHealthy(ms)).toBe(true);
      health.failing('IPv4', `try at ${ms}`, ms);
    }
    expect(health.isHealthy(59_999)).toBe(true);
    expect(health.reasons(60_000)).toEqual([
      'IPv4: something has not been programmed for 60 s: try at 50000',
    ]);
  });

  it('that is put right in between counts anew', () => {
    const health = startedHealth('IPv4');
    health.failing('IPv4', 'x', 0);
    health.updated('IPv4', 30_000);
    health.failing('IPv4', 'x', 31_000);
    goOn(health, 90_000);
    expect(health.isHealthy(90_999)).toBe(true);
    expect(health.isHealthy(91_000)).toBe(false);
  });
});

describe('an agent that does not come round', () => {
  it('turns all families red, also when nothing was asked for and nothing failed', () => {
    const health = startedHealth('IPv4', 'IPv6');
    expect(health.isHealthy(74_999)).toBe(true);
    expect(health.reasons(75_000)).toEqual(['no sync and no check has ended for 75 s']);
    expect(JSON.parse(health.livez(at(75_000)).body).status).toMatchObject({
      IPv4: { healthy: false },
      IPv6: { healthy: false },
    });
    health.cameRound(75_000);
    expect(health.isHealthy(75_000)).toBe(true);
  });

  it('is none before anything has started', () => {
    expect(startedHealth().isHealthy(10_000_000)).toBe(true);
  });
});

it('takes another timeout at once', () => {
  const health = startedHealth('IPv4');
  health.queued('IPv4', 0);
  expect(health.isHealthy(9000)).toBe(true);
  health.setHealthTimeout(9000);
  expect(health.isHealthy(9000)).toBe(false);
});

describe('answers', () => {
  it('/healthz in the order of kube-proxy, lastUpdated is now when all is well', () => {
    const health = startedHealth('IPv6', 'IPv4');
    health.updated('IPv4', 1000);
    expect(health.healthz(at(2500))).toEqual({
      status: 200,
      body:
        '{"lastUpdated":"2026-11-21T05:19:35.159Z","currentTime":"2026-11-21T05:19:35.159Z","nodeEligible":true,"healthy":true,' +
        '"status":{"IPv4":{"lastUpdated":"2026-11-21T05:19:33.659Z","healthy":true},"IPv6":{"lastUpdated":"2026-11-21T05:19:32.659Z","healthy":true}}}',
    });
  });

  it('503 with the latest real update; healthy leaves the Node out, /livez ignores it', () => {
    const health = startedHealth('IPv4', 'IPv6');
    health.updated('IPv4', 1000);
    health.setNodeEligible(false);
    const { status, body } = health.healthz(at(2500));
    expect(status).toBe(503);
    expect(JSON.parse(body)).toMatchObject({
      lastUpdated: '2026-11-21T05:19:33.659Z',
      nodeEligible: false,
      healthy: true,
    });
    expect(health.livez(at(2500)).status).toBe(200);
    expect(Object.keys(JSON.parse(health.livez(at(2500)).body))).toEqual([
      'lastUpdated',
      'currentTime',
      'healthy',
      'status',
    ]);
  });

  it('before anything has started: alive, no status, not eligible while the Node is not known', () => {
    const health = new ProxyHealth({ healthTimeoutMs: TIMEOUT_MS, roundIntervalMs: ROUND_MS });
    expect(health.healthz(at(0))).toEqual({
      status: 503,
      body: '{"lastUpdated":"0001-01-01T00:00:00Z","currentTime":"2026-11-21T05:19:32.659Z","nodeEligible":false,"healthy":true}',
    });
    expect(health.livez(at(0)).status).toBe(200);
  });

  it('show the wall clock of now, also after somebody has set it', () => {
    const health = startedHealth('IPv4');
    health.setNodeEligible(false);
    const { body } = health.healthz({ monotonicMs: 1000, wallMs: Date.UTC(2030, 0, 1) });
    expect(JSON.parse(body)).toMatchObject({
      lastUpdated: '2029-12-31T23:59:59.000Z',
      currentTime: '2030-01-01T00:00:00.000Z',
    });
  });
});

test('whatever happens, a red answer has a reason, a green one none, and livez is the and of all families', () => {
  const family = fc.constantFrom<Family>('IPv4', 'IPv6');
  const step = fc.tuple(
    fc.constantFrom('queued', 'updated', 'failing', 'round', 'timeout'),
    family,
    fc.integer({ min: 0, max: 40_000 }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const health = startedHealth('IPv4', 'IPv6');
      let now = 0;
      for (const [what, family, ms] of steps) {
        now += ms;
        if (what === 'queued') health.queued(family, now);
        else if (what === 'updated') health.updated(family, now);
        else if (what === 'failing') health.failing(family, 'x', now);
        else if (what === 'round') health.cameRound(now);
        else health.setHealthTimeout(ms + 1);
        const { status, body } = health.livez(at(now));
        const { healthy, status: families } = JSON.parse(body) as {
          healthy: boolean;
          status: Record<Family, { healthy: boolean }>;
        };
        expect(status).toBe(healthy ? 200 : 503);
        expect(health.reasons(now).length === 0).toBe(healthy);
        expect(families.IPv4.healthy && families.IPv6.healthy).toBe(healthy);
      }
    }),
  );
});

test.each<[string, object | undefined, boolean, boolean]>([
  ['a Node', { metadata: { name: 'n' } }, true, true],
  ['no Node yet', undefined, true, false],
  ['no Node where there is no API server', undefined, false, true],
  [
    'a Node that is deleted',
    { metadata: { name: 'n', deletionTimestamp: '2026-01-01T00:00:00Z' } },
    true,
    false,
  ],
  [
    'a Node that the autoscaler takes away, in a manifest too',
    { metadata: { name: 'n' }, spec: { taints: [{ key: 'ToBeDeletedByClusterAutoscaler' }] } },
    false,
    false,
  ],
])('eligible: %s', (_, node, hasApiServer, expected) => {
  expect(isNodeEligible(node && projectNode(node).record!, hasApiServer)).toBe(expected);
});
