// The health server against what kube-proxy 1.36 answered, byte by byte, and against thousands of clients that never ask.

import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { FakeTimers } from '../../test/fake-timers.ts';
import { flood } from '../../test/flood.ts';
import { lineLog } from '../../test/line-log.ts';
import { askRaw, bodyOf, statusOf, withoutTimes } from '../../test/raw-http.ts';
import { ProxyHealth } from '../daemon/proxy-health.ts';
import type { IpAddress } from '../model/ip.ts';
import { HEALTH_LIMITS, healthAnswerer } from './health-server.ts';
import { TcpServer } from './tcp-server.ts';

const recorded = (name: string): string =>
  readFileSync(new URL(`../../test/golden/http/${name}`, import.meta.url), 'latin1');

let health: ProxyHealth;
let server: TcpServer;
let nowMs = 0;
const counted: string[] = [];

beforeEach(async () => {
  nowMs = 0;
  counted.length = 0;
  health = new ProxyHealth({ healthTimeoutMs: 60_000, roundIntervalMs: 15_000 });
  health.setNodeEligible(true);
  health.started('IPv4', 0);
  health.started('IPv6', 0);
  server = new TcpServer({
    ...{ title: 'Healthz server', address: { address: '127.0.0.1' as IpAddress, port: 0 } },
    ...{ onBindFailure: 'fail', limits: HEALTH_LIMITS, log: lineLog().log, timers: new FakeTimers() },
    answerer: healthAnswerer({
      health,
      now: () => ({ monotonicMs: nowMs, wallMs: Date.now() }),
      onAnswer: (path, code) => counted.push(`${path} ${code}`),
    }),
  });
  await server.start();
});
afterEach(() => server.close());

const ask = (target: string, method = 'GET'): Promise<string> =>
  askRaw(server.bound!.port, target, { method });

describe('the answers of kube-proxy', () => {
  it.each(['healthz', 'livez'])('/%s', async (name) => {
    expect(withoutTimes(await ask(`/${name}`))).toBe(withoutTimes(recorded(`${name}.txt`)));
  });

  it('with 503 when it is not healthy, for both', async () => {
    nowMs = 75_000;
    for (const path of ['/healthz', '/livez']) {
      const answer = await ask(path);
      expect(
        answer.startsWith('HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n'),
      ).toBe(true);
      expect(JSON.parse(bodyOf(answer))).toMatchObject({ healthy: false });
    }
    expect(counted).toEqual(['healthz 503', 'livez 503']);
  });

  it('with 503 of /healthz alone when the node leaves', async () => {
    health.setNodeEligible(false);
    expect([statusOf(await ask('/healthz')), statusOf(await ask('/livez'))]).toEqual([503, 200]);
    expect(counted).toEqual(['healthz 503', 'livez 200']);
  });

  it.each(['POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD'])('to %s as to GET', async (method) => {
    expect(statusOf(await ask('/healthz?x=1', method))).toBe(200);
  });

  it.each(['/', '/healthz/', '/readyz', '/metrics', '/healthz/ping', '/%ff'])(
    '404 for %s as Go does',
    async (path) => {
      expect(withoutTimes(await ask(path))).toBe(
        'HTTP/1.1 404 Not Found\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n' +
          'Date: DATE\r\nContent-Length: LENGTH\r\n\r\n404 page not found\n',
      );
      expect(counted).toEqual([]);
    },
  );
});

test('it answers while 2,000 clients hold connections and never ask', async () => {
  const { port } = server.bound!;
  const statuses = await flood(port, 2000, async () => statusOf(await ask('/healthz')));
  expect(statuses.length).toBeGreaterThanOrEqual(20);
  expect(new Set(statuses)).toEqual(new Set([200]));
  expect(server.connections).toBeLessThanOrEqual(HEALTH_LIMITS.maxConnections);
});
