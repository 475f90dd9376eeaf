// The limits on what one Service may cost: endpoints of a port, and ports times addresses.

import { describe, expect, test } from 'vitest';
import { PLAIN_NODE } from '../../test/nodes.ts';
import { planOf, serviceOf, sliceOf } from '../../test/one-service.ts';
import {
  compileService,
  MANY_ENDPOINTS_PER_PORT,
  MAX_ENDPOINTS_PER_PORT,
  MAX_VIRTUAL_SERVERS,
} from './compile.ts';

describe('limits', () => {
  const many = (count: number): object[] =>
    Array.from({ length: count }, (_, i) => ({ addresses: [`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`] }));
  const named = (name: string, endpoints: object[]): ReturnType<typeof sliceOf> =>
    sliceOf(endpoints, { metadata: { name, labels: { 'kubernetes.io/service-name': 'web' } } });
  /** As many endpoints as one port may have, in eight slices, and two more. Reading that many takes its time: once is enough. */
  let read: ReturnType<typeof sliceOf>[] | undefined;
  const slices = (): ReturnType<typeof sliceOf>[] => {
    const endpoints = many(MAX_ENDPOINTS_PER_PORT + 2);
    const each = MAX_ENDPOINTS_PER_PORT / 8;
    return (read ??= Array.from({ length: 9 }, (_, index) =>
      named(`web-${index}`, endpoints.slice(index * each, (index + 1) * each)),
    ));
  };

  test('a Service with 10,000 endpoints is served whole, with a warning', () => {
    const { virtualServers, problems, leftOut } = planOf({}, many(10_000));
    const { internal } = virtualServers[0]!;
    expect(internal.verdict === 'forward' && internal.realServers.length).toBe(10_000);
    expect(problems).toEqual([
      {
        object: 'Service default/web',
        field: '',
        reason: 'LimitExceeded',
        message: 'port 80 TCP has 10000 IPv4 endpoints: all are used, but changes are slow',
        remedy: 'spread the pods over several Services',
      },
    ]);
    expect(leftOut).toEqual([]);
    expect(planOf({}, many(MANY_ENDPOINTS_PER_PORT)).problems).toEqual([]);
    expect(planOf({}, many(MANY_ENDPOINTS_PER_PORT + 1)).problems).toHaveLength(1);
  });

  test.each([
    ['Cluster', {}, ['Cluster']],
    ['Local', { internalTrafficPolicy: 'Local', ports: [{ name: 'http', port: 80 }] }, ['Local']],
    ['both', { internalTrafficPolicy: 'Local' }, ['Cluster', 'Local']],
  ])('endpoints beyond the limit are left out of the lists in use: %s', (_name, spec, policies) => {
    const { problems, leftOut, virtualServers } = compileService(serviceOf(spec), slices(), PLAIN_NODE);
    expect(problems).toMatchObject([
      { message: 'port 80 TCP has 65538 IPv4 endpoints: only the first 65536 are used' },
    ]);
    const beyond = leftOut.filter(({ reason }) => reason === 'TooMany');
    expect(beyond.map(({ policy }) => policy)).toEqual([...policies, ...policies]);
    expect(beyond[0]).toMatchObject({ portName: 'http', protocol: 'TCP', port: 8080 });
    // The last two in the order of texts.
    expect([...new Set(beyond.map(({ address }) => address))]).toEqual(['10.1.0.0', '10.1.0.1']);
    const { internal } = virtualServers[0]!;
    if (internal.policy === 'Cluster')
      expect(internal.verdict === 'forward' && internal.realServers.length).toBe(MAX_ENDPOINTS_PER_PORT);
  });

  test('exactly as many endpoints as the limit are all used', () => {
    const { problems, leftOut } = compileService(serviceOf({}), slices().slice(0, 8), PLAIN_NODE);
    expect(problems).toMatchObject([{ message: expect.stringContaining('all are used') as string }]);
    expect(leftOut).toEqual([]);
  });

  test('ports times addresses are bounded', () => {
    const ports = Array.from({ length: 1000 }, (_, index) => ({ name: `p${index}`, port: index + 1 }));
    const externalIPs = Array.from({ length: 100 }, (_, index) => `198.51.100.${index + 1}`);
    const { virtualServers, problems } = planOf({ ports, externalIPs });
    expect(virtualServers).toHaveLength(Math.floor(MAX_VIRTUAL_SERVERS / 101) * 101);
    expect(problems).toEqual([
      {
        object: 'Service default/web',
        field: 'spec.ports',
        reason: 'LimitExceeded',
        message: 'ports times addresses are more than 65536: port 649 TCP and later ones are left out',
        remedy: 'spread the ports or addresses over several Services',
      },
    ]);
  });

  test('exactly as many frontends as the limit are all there', () => {
    const ports = Array.from({ length: 512 }, (_, index) => ({ name: `p${index}`, port: index + 1 }));
    const externalIPs = Array.from({ length: 127 }, (_, index) => `198.51.100.${index + 1}`);
    const { virtualServers, problems } = planOf({ ports, externalIPs });
    expect(virtualServers).toHaveLength(MAX_VIRTUAL_SERVERS);
    expect(problems).toEqual([]);
  });
});
