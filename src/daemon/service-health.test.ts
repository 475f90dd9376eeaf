// From plans to health-check ports.

import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { HERE, LEAVING, LOAD_BALANCER, NOT_READY, planOf, THERE } from '../../test/one-service.ts';
import type { Cidr, Family, IpAddress } from '../model/ip.ts';
import { serviceKey, type ServiceKey } from '../model/names.ts';
import type { ServicePlan } from '../plan/plan.ts';
import {
  healthCheckAddresses,
  healthCheckOf,
  ServiceHealthTable,
  type ServiceHealthCheck,
} from './service-health.ts';

const LOCAL = { type: 'LoadBalancer', externalTrafficPolicy: 'Local', healthCheckNodePort: 31_234 };
const WEB = serviceKey('default', 'web');

const planWith = (endpoints: readonly object[], spec: object = {}): ServicePlan =>
  planOf({ ...LOCAL, ...spec }, endpoints, {}, LOAD_BALANCER);

describe('healthCheckOf', () => {
  test.each<[string, readonly object[], number]>([
    ['one here', [HERE, THERE], 1],
    ['none here', [THERE], 0],
    ['one here that is not ready', [{ ...HERE, ...NOT_READY }, THERE], 0],
    ['one here that leaves', [{ ...HERE, ...LEAVING }], 0],
    ['two here', [HERE, { addresses: ['10.244.1.6'], nodeName: HERE.nodeName }], 2],
    ['no endpoints at all', [], 0],
  ])('counts %s', (_, endpoints, count) => {
    expect(healthCheckOf(planWith(endpoints))).toEqual({
      port: 31_234,
      localEndpoints: { IPv4: count },
      owner: null,
    });
  });

  it('has both families of a Service that has both', () => {
    const plan = planWith([HERE], { clusterIPs: ['10.96.0.1', 'fd00:10:96::1'] });
    expect(healthCheckOf(plan)?.localEndpoints).toEqual({ IPv4: 1, IPv6: 0 });
  });

  it('is none without a port, and the owner of one that is lost', () => {
    expect(healthCheckOf(planWith([HERE], { externalTrafficPolicy: 'Cluster' }))).toBeNull();
    const owner = serviceKey('default', 'older');
    const lost = [
      { id: 'NodePort TCP IPv4 *:30080', addresses: [], owner: serviceKey('a', 'b') },
      { id: 'HealthCheckNodePort TCP *:31234', addresses: [], owner },
    ];
    expect(healthCheckOf({ ...planWith([HERE]), healthCheck: null, lost })).toEqual({
      port: 31_234,
      localEndpoints: {},
      owner,
    });
  });
});

describe('ServiceHealthTable', () => {
  const step = (plan: ServicePlan | null, isComplete = false) => ({
    services: new Map([[WEB, plan]]),
    isComplete,
  });

  it('tells what changed and nothing else', () => {
    const table = new ServiceHealthTable();
    expect([...table.take(step(planWith([HERE])))]).toEqual([
      [WEB, { port: 31_234, localEndpoints: { IPv4: 1 }, owner: null }],
    ]);
    expect([...table.take(step(planWith([HERE, THERE])))]).toEqual([]);
    expect([...table.take(step(planWith([THERE])))]).toEqual([
      [WEB, { port: 31_234, localEndpoints: { IPv4: 0 }, owner: null }],
    ]);
    expect([...table.take(step(null))]).toEqual([[WEB, null]]);
    expect([...table.take(step(null))]).toEqual([]);
  });

  it('takes what a complete step does not name for gone', () => {
    const table = new ServiceHealthTable();
    table.take(step(planWith([HERE])));
    expect([...table.take({ services: new Map(), isComplete: false })]).toEqual([]);
    expect([...table.take({ services: new Map(), isComplete: true })]).toEqual([[WEB, null]]);
  });

  test('adding up what changed is the table, whatever the steps', () => {
    const keys = ['a', 'b', 'c'].map((name) => serviceKey('default', name));
    const plans = [
      null,
      planWith([HERE]),
      planWith([THERE]),
      planWith([HERE], { healthCheckNodePort: 31_235 }),
    ];
    const steps = fc.array(
      fc.record({
        changes: fc.array(fc.tuple(fc.constantFrom(...keys), fc.constantFrom(...plans)), { maxLength: 4 }),
        isComplete: fc.boolean(),
      }),
    );
    fc.assert(
      fc.property(steps, (steps) => {
        const table = new ServiceHealthTable();
        const added = new Map<ServiceKey, ServiceHealthCheck>();
        const known = new Map<ServiceKey, ServicePlan>();
        for (const { changes, isComplete } of steps) {
          const services = new Map(changes);
          if (isComplete) known.clear();
          for (const [key, plan] of services) {
            if (plan === null) known.delete(key);
            else known.set(key, plan);
          }
          for (const [key, check] of table.take({ services, isComplete })) {
            if (check === null) added.delete(key);
            else added.set(key, check);
          }
          expect(Object.fromEntries(added)).toEqual(
            Object.fromEntries([...known].map(([key, plan]) => [key, healthCheckOf(plan)])),
          );
        }
      }),
    );
  });
});

describe('healthCheckAddresses', () => {
  const node = {
    families: ['IPv4', 'IPv6'] as Family[],
    nodePortAddresses: ['192.168.50.11', 'fd00:50::11'] as IpAddress[],
    nodeIPs: ['192.168.50.11'] as IpAddress[],
  };
  test.each<[string, readonly string[] | 'primary', readonly string[], readonly string[]]>([
    ['nothing is configured', [], ['0.0.0.0'], ['::']],
    ['CIDRs of both', ['192.168.0.0/16', 'fd00::/16'], ['192.168.50.11'], ['fd00:50::11']],
    ['CIDRs of one: all of the other', ['192.168.0.0/16'], ['192.168.50.11'], ['::']],
    ['a zero CIDR', ['0.0.0.0/0', '10.0.0.0/8', 'fd00::/16'], ['0.0.0.0'], ['fd00:50::11']],
    ['primary, which one family has', 'primary', ['192.168.50.11'], ['::']],
  ])('%s', (_, configured, ipv4, ipv6) => {
    const nodePortAddresses = configured as readonly Cidr[] | 'primary';
    expect(healthCheckAddresses({ nodePortAddresses }, node)).toEqual({ IPv4: ipv4, IPv6: ipv6 });
  });

  it('has none of a family that the node does not forward', () => {
    const only = { ...node, families: ['IPv4'] as Family[] };
    expect(healthCheckAddresses({ nodePortAddresses: [] }, only)).toEqual({ IPv4: ['0.0.0.0'], IPv6: [] });
  });
});
