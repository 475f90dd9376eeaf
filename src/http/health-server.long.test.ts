// 10,000 slow connections to the health port: it goes on answering.

import { expect, test } from 'vitest';
import { flood } from '../../test/flood.ts';
import { lineLog } from '../../test/line-log.ts';
import { askRaw, statusOf } from '../../test/raw-http.ts';
import { NODE_TIMERS } from '../daemon/node-timers.ts';
import { ProxyHealth } from '../daemon/proxy-health.ts';
import type { IpAddress } from '../model/ip.ts';
import { HEALTH_LIMITS, healthAnswerer } from './health-server.ts';
import { TcpServer } from './tcp-server.ts';

test('it answers while 10,000 clients hold connections and never ask', async () => {
  const health = new ProxyHealth({ healthTimeoutMs: 60_000, roundIntervalMs: 15_000 });
  health.setNodeEligible(true);
  const server = new TcpServer({
    ...{ title: 'Healthz server', address: { address: '0.0.0.0' as IpAddress, port: 0 } },
    ...{ onBindFailure: 'fail', limits: HEALTH_LIMITS, log: lineLog().log, timers: NODE_TIMERS },
    answerer: healthAnswerer({
      health,
      now: () => ({ monotonicMs: 0, wallMs: Date.now() }),
      onAnswer: () => {},
    }),
  });
  await server.start();
  try {
    const { port } = server.bound!;
    const statuses = await flood(port, 10_000, async () => statusOf(await askRaw(port, '/healthz')));
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect(server.connections).toBeLessThanOrEqual(HEALTH_LIMITS.maxConnections);
  } finally {
    await server.close();
  }
});
