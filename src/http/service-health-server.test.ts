// Health-check ports of Services on real sockets: the bytes of kube-proxy, and which sockets open and close when.

import { readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeTimers } from '../../test/fake-timers.ts';
import { lineLog } from '../../test/line-log.ts';
import { askRaw, bodyOf, RawClient, statusOf, withoutTimes } from '../../test/raw-http.ts';
import type { HealthCheckAddresses, ServiceHealthCheck } from '../daemon/service-health.ts';
import type { IpAddress } from '../model/ip.ts';
import { serviceKey, type ServiceKey } from '../model/names.ts';
import { SERVICE_HEALTH_LIMITS, ServiceHealthServer, type ListenFailure } from './service-health-server.ts';

const EVERYWHERE = { IPv4: ['0.0.0.0'], IPv6: ['::'] } as unknown as HealthCheckAddresses;
const WEB = serviceKey('default', 'lblocal');
const OTHER = serviceKey('default', 'other');

let server: ServiceHealthServer;
let isHealthy = true;
const failures: ListenFailure[] = [];
const { log, lines } = lineLog();
const holders: { close(): unknown }[] = [];

beforeEach(() => {
  isHealthy = true;
  failures.length = 0;
  lines.length = 0;
  server = new ServiceHealthServer({
    isHealthy: () => isHealthy,
    onListenFailure: (failure) => failures.push(failure),
    ...{ addresses: EVERYWHERE, limits: SERVICE_HEALTH_LIMITS, log, timers: new FakeTimers() },
  });
});
afterEach(async () => {
  await server.close();
  for (const holder of holders.splice(0)) holder.close();
});

/** A check of one that has an IPv4 address alone, unless said otherwise. */
const check = (
  port: number,
  localEndpoints: ServiceHealthCheck['localEndpoints'] = { IPv4: 1 },
): ServiceHealthCheck => ({ port, localEndpoints, owner: null });

const apply = (...changes: [ServiceKey, ServiceHealthCheck | null][]): Promise<void> =>
  server.apply(new Map(changes));

/** A port that is free on all addresses, of those that the kernel gives to nobody by itself. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = 12_000 + Math.floor(Math.random() * 18_000);
    const held = await takePort('::', port).catch(() => null);
    if (held === null) continue;
    await held.release();
    return port;
  }
}

async function takePort(
  host: string,
  port = 0,
): Promise<{ readonly port: number; readonly release: () => Promise<void> }> {
  const holder = createServer();
  await new Promise<void>((resolve, reject) => {
    holder.once('error', reject);
    holder.listen(port, host, resolve);
  });
  const release = (): Promise<void> => new Promise((resolve) => void holder.close(() => resolve()));
  holders.push({ close: () => holder.close() });
  return { port: (holder.address() as AddressInfo).port, release };
}

async function canConnect(port: number, host = '127.0.0.1'): Promise<boolean> {
  const client = new RawClient(port, host);
  try {
    return await new Promise((resolve) => {
      client.socket.once('connect', () => resolve(true));
      client.socket.once('close', () => resolve(false));
    });
  } finally {
    client.end();
  }
}

describe('an answer', () => {
  it('is that of kube-proxy', async () => {
    const recorded = readFileSync(
      new URL('../../test/golden/http/healthCheckNodePorts.txt', import.meta.url),
      'latin1',
    ).replace(/^== 31234\n/, '');
    const port = await freePort();
    await apply([WEB, check(port)]);
    expect(withoutTimes(await askRaw(port, '/'))).toBe(withoutTimes(recorded));
  });

  it.each([
    ['no endpoint here', 0, true, 503],
    ['an unhealthy proxy', 3, false, 503],
    ['both well', 3, true, 200],
  ])('says %s', async (_, count, healthy, status) => {
    isHealthy = healthy;
    const port = await freePort();
    await apply([WEB, check(port, { IPv4: count })]);
    const answer = await askRaw(port, '/any/path?x', { method: 'POST' });
    expect(statusOf(answer)).toBe(status);
    expect(answer).toContain(`\r\nX-Load-Balancing-Endpoint-Weight: ${count}\r\n`);
    expect(JSON.parse(bodyOf(answer))).toEqual({
      service: { namespace: 'default', name: 'lblocal' },
      localEndpoints: count,
      serviceProxyHealthy: healthy,
    });
  });

  it('counts each family for itself', async () => {
    const port = await freePort();
    await apply([WEB, check(port, { IPv4: 1, IPv6: 2 })]);
    expect(server.size).toBe(2);
    expect(JSON.parse(bodyOf(await askRaw(port, '/')))).toMatchObject({ localEndpoints: 1 });
    expect(JSON.parse(bodyOf(await askRaw(port, '/', { host: '::1' })))).toMatchObject({ localEndpoints: 2 });
  });
});

describe('sockets', () => {
  it('are of the families that the Service has', async () => {
    const port = await freePort();
    await apply([WEB, check(port)]);
    expect([await canConnect(port), await canConnect(port, '::1')]).toEqual([true, false]);
  });

  it('stay, with their connections, while only the count changes', async () => {
    const port = await freePort();
    await apply([WEB, check(port)]);
    const client = new RawClient(port);
    const counts: number[] = [];
    for (const count of [1, 0, 7]) {
      await apply([WEB, check(port, { IPv4: count })]);
      client.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      counts.push((JSON.parse(bodyOf(await client.answer())) as { localEndpoints: number }).localEndpoints);
    }
    client.end();
    expect(counts).toEqual([1, 0, 7]);
  });

  it('move when the port changes, and go with the Service', async () => {
    const [first, second] = [await freePort(), await freePort()];
    await apply([WEB, check(first)]);
    await apply([WEB, check(second)]);
    expect([await canConnect(first), await canConnect(second)]).toEqual([first === second, true]);
    await apply([WEB, null]);
    expect(await canConnect(second)).toBe(false);
    expect(server.size).toBe(0);
  });

  it('pass from one Service to another in one step, whichever comes first', async () => {
    const port = await freePort();
    await apply([WEB, check(port)]);
    await apply([OTHER, check(port)], [WEB, null]);
    expect(JSON.parse(bodyOf(await askRaw(port, '/')))).toMatchObject({ service: { name: 'other' } });
    const next = await freePort();
    await apply([WEB, check(port)], [OTHER, check(next)]);
    expect(JSON.parse(bodyOf(await askRaw(port, '/')))).toMatchObject({ service: { name: 'lblocal' } });
    expect(failures).toEqual([]);
  });

  it('are on the addresses that are given, and follow them', async () => {
    const port = await freePort();
    await server.setAddresses({ IPv4: ['127.0.0.1' as IpAddress, '127.0.0.2' as IpAddress], IPv6: [] });
    await apply([WEB, check(port, { IPv4: 1, IPv6: 1 })]);
    const reached = async (): Promise<boolean[]> =>
      Promise.all(['127.0.0.1', '127.0.0.2', '127.0.0.3', '::1'].map((host) => canConnect(port, host)));
    expect(await reached()).toEqual([true, true, false, false]);
    const kept = new RawClient(port, '127.0.0.2').send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await kept.answer();
    await server.setAddresses({ IPv4: ['127.0.0.2' as IpAddress, '127.0.0.3' as IpAddress], IPv6: [] });
    expect(await reached()).toEqual([false, true, true, false]);
    kept.send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    expect(statusOf(await kept.answer())).toBe(200);
    kept.end();
  });

  it('close with the server, connections and all', async () => {
    const port = await freePort();
    await apply([WEB, check(port)]);
    const client = new RawClient(port).send('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
    await client.answer();
    await server.close();
    await client.closed();
    expect(await canConnect(port)).toBe(false);
    await apply([WEB, check(port)]);
    expect(server.size).toBe(0);
  });
});

describe('a port that cannot be had', () => {
  it('is reported once and tried again at every sync, also without a change', async () => {
    const { port, release } = await takePort('0.0.0.0');
    await apply([WEB, check(port)]);
    await apply();
    await apply([WEB, check(port, { IPv4: 2 })]);
    const reason = `cannot listen on 0.0.0.0:${port}: EADDRINUSE; another program listens there: stop it or choose another port`;
    expect(failures).toEqual([{ key: WEB, port, reason }]);
    expect(lines).toEqual([
      `E "Failed to start healthcheck" err="${reason}" service="default/lblocal" port=${port}`,
    ]);
    await release();
    await apply();
    expect(JSON.parse(bodyOf(await askRaw(port, '/')))).toMatchObject({ localEndpoints: 2 });
  });

  it('does not keep the others from being opened', async () => {
    const { port } = await takePort('0.0.0.0');
    const free = await freePort();
    await apply([WEB, check(port)], [OTHER, check(free)]);
    expect(statusOf(await askRaw(free, '/'))).toBe(200);
    expect(failures).toHaveLength(1);
  });

  it('is reported again when it is had in between', async () => {
    const taken = await takePort('0.0.0.0');
    await apply([WEB, check(taken.port)]);
    await taken.release();
    await apply();
    await apply([WEB, null]);
    await takePort('0.0.0.0', taken.port);
    await apply([WEB, check(taken.port)]);
    expect(failures).toHaveLength(2);
  });

  it('belongs to an older Service: the second reports, and nothing listens for it', async () => {
    const port = await freePort();
    await apply([WEB, check(port)], [OTHER, { port, localEndpoints: {}, owner: WEB }]);
    await apply();
    expect(failures).toEqual([
      {
        key: OTHER,
        port,
        reason:
          'the port belongs to Service default/lblocal, which is older; give one of them another healthCheckNodePort',
      },
    ]);
    await apply([WEB, null], [OTHER, check(port)]);
    expect(JSON.parse(bodyOf(await askRaw(port, '/')))).toMatchObject({ service: { name: 'other' } });
  });
});
