// The status of an agent on the fake kernel: what is planned, what the kernel has, and everything that went wrong.

import { describe, expect, it } from 'vitest';
import { FakeIpvsKernel } from '../../test/fake-ipvs-kernel.ts';
import { startAgent } from '../../test/in-memory-agent.ts';
import type { IpvsDestinationState, ServiceKey as IpvsKey } from '../kernel/ipvs-codec.ts';
import { KernelError } from '../model/errors.ts';
import { parseIp, type IpAddress } from '../model/ip.ts';
import type { ClusterEvent } from '../model/objects.ts';
import type { NodeOptions } from '../plan/plan.ts';
import { PLAIN_NODE } from '../../test/nodes.ts';
import { collectFacts, collectStatus, failureText, type AgentFacts } from './status.ts';

const ip = (text: string): IpAddress => parseIp(text) as IpAddress;
const NODE: NodeOptions = {
  ...PLAIN_NODE,
  families: ['IPv4'],
};

function objects(
  name: string,
  clusterIP: string,
  endpoints: readonly string[],
  more: object = {},
): ClusterEvent[] {
  const metadata = { namespace: 'default', name };
  const service = { kind: 'Service', metadata, spec: { clusterIP, ports: [{ port: 80 }], ...more } };
  const slice = {
    kind: 'EndpointSlice',
    metadata: { ...metadata, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ port: 8080, protocol: 'TCP' }],
    endpoints: endpoints.map((address) => ({ addresses: [address], conditions: { ready: true } })),
  };
  return [service, slice].map((object) => ({ type: 'apply', object }) as never);
}

/** Counts of connections as the kernel keeps them, which the fake does not. */
function connectionsOf(kernel: FakeIpvsKernel, asked: IpvsKey[] = []) {
  return {
    async destinations(key: IpvsKey): Promise<IpvsDestinationState[]> {
      asked.push(key);
      return (await kernel.destinations(key)).map(
        (each) => ({ ...each, activeConnections: 3, inactiveConnections: 4 }) as IpvsDestinationState,
      );
    },
  };
}

describe('the status', () => {
  it('is not synced before the first sync', async () => {
    const kernel = new FakeIpvsKernel();
    const { agent, backend } = startAgent(kernel, NODE, objects('web', '172.30.0.41', []));
    expect(await collectStatus(agent, backend, kernel as never)).toMatchObject({
      isSynced: false,
      lastSync: null,
      pendingServices: 1,
      services: [],
    });
  });

  it('shows planned, missing and extra real servers, sorted by Service, with connections from the kernel', async () => {
    const kernel = new FakeIpvsKernel();
    const { agent, backend } = startAgent(kernel, NODE, [
      ...objects('web', '172.30.0.41', ['10.0.0.1', '10.0.0.2'], { sessionAffinity: 'ClientIP' }),
      ...objects('api', '172.30.0.42', []),
    ]);
    await agent.sync('request');
    const service = kernel.table.get('TCP 172.30.0.41:80')?.service;
    if (service === undefined) throw new Error('not programmed');
    const destination = {
      forwarding: 'masquerade',
      weight: 5,
      upperThreshold: 0,
      lowerThreshold: 0,
    } as const;
    await kernel.applyIpvs([
      { op: 'DEL_DEST', service: service as never, destination: { address: ip('10.0.0.1'), port: 8080 } },
      {
        op: 'NEW_DEST',
        service: service as never,
        destination: { ...destination, address: ip('10.0.0.9'), port: 1 },
      },
    ]);
    const status = await collectStatus(agent, backend, connectionsOf(kernel));
    expect(status).toMatchObject({
      node: 'node1',
      mode: 'ipvs',
      isSynced: true,
      lastError: '',
      pendingServices: 0,
      syncs: 1,
      problems: [],
    });
    expect(status.services.map((each) => each.service)).toEqual(['default/api', 'default/web']);
    const [web] = status.services[1]?.virtualServers ?? [];
    expect(web).toMatchObject({
      protocol: 'TCP',
      address: '172.30.0.41:80',
      scheduler: 'rr',
      schedulerFlags: [],
      affinitySeconds: 10_800,
    });
    expect(
      web?.realServers
        .map(
          ({ address, state, weight, activeConnections }) =>
            `${address} ${state} ${weight} ${activeConnections}`,
        )
        .sort(),
    ).toEqual(['10.0.0.1:8080 missing 1 0', '10.0.0.2:8080 serving 1 3', '10.0.0.9:1 extra 5 3']);
  });

  it('asks the kernel only for the Services that are wanted', async () => {
    const kernel = new FakeIpvsKernel();
    const { agent, backend } = startAgent(kernel, NODE, [
      ...objects('web', '172.30.0.41', []),
      ...objects('api', '172.30.0.42', []),
    ]);
    await agent.sync('request');
    const asked: IpvsKey[] = [];
    const status = await collectStatus(
      agent,
      backend,
      connectionsOf(kernel, asked),
      (key) => key === 'default/web',
    );
    expect(status.services.map((each) => each.service)).toEqual(['default/web']);
    expect(asked).toHaveLength(1);
  });

  it('is not synced while a Service is refused, and names it, and what others made', async () => {
    const kernel = new FakeIpvsKernel();
    kernel.faults.push({ matches: (write) => write.includes('10.0.0.1:8080'), errno: 'ENOMEM', times: 1 });
    await kernel.applyIpvs([
      {
        op: 'NEW_SERVICE',
        service: {
          family: 'IPv4',
          protocol: 6,
          address: ip('192.0.2.1'),
          port: 80,
          scheduler: 'rr',
          flags: 0,
          timeoutSeconds: 0,
          netmask: 0xffffffff,
        },
      },
    ]);
    const { agent, backend } = startAgent(kernel, NODE, objects('web', '172.30.0.41', ['10.0.0.1']));
    await agent.sync('request');
    const status = await collectStatus(agent, backend, connectionsOf(kernel));
    expect(status).toMatchObject({
      isSynced: false,
      lastSync: { failedServices: ['default/web'] },
      foreignVirtualServers: ['TCP 192.0.2.1:80'],
    });
    expect(status.problems.map(({ reason }) => reason)).toEqual(['KernelRefused']);
    expect(status.failedOperations).toEqual([
      {
        service: 'default/web',
        isRemoval: false,
        object: 'TCP 172.30.0.41:80',
        operation: 'NEW_DEST',
        errno: 12,
        errnoName: 'ENOMEM',
        message: expect.stringContaining('10.0.0.1:8080') as string,
      },
    ]);
  });

  it('names what nobody wants any more and could not be removed, until it is gone', async () => {
    const kernel = new FakeIpvsKernel();
    const { agent, backend } = startAgent(kernel, NODE, objects('web', '172.30.0.41', ['10.0.0.1']));
    await agent.sync('request');
    kernel.faults.push({
      matches: (write) => write === 'DEL_SERVICE TCP 172.30.0.41:80',
      errno: 'ENOMEM',
      times: 1,
    });
    agent.onEvents([{ type: 'delete', kind: 'Service', namespace: 'default', name: 'web' }]);
    await agent.sync('request');
    const status = await collectStatus(agent, backend, connectionsOf(kernel));
    expect(status.isSynced).toBe(false);
    expect(status.leftovers).toContain('TCP 172.30.0.41:80');
    await agent.sync('retry');
    expect(await collectStatus(agent, backend, connectionsOf(kernel))).toMatchObject({
      isSynced: true,
      leftovers: [],
    });
  });

  it('tells what verification put right, by kind', async () => {
    const kernel = new FakeIpvsKernel();
    const { agent, backend } = startAgent(kernel, NODE, objects('web', '172.30.0.41', ['10.0.0.1']));
    await agent.sync('request');
    expect(collectFacts(agent, backend).repairs).toMatchObject({ total: 0, byKind: { address: 0 } });
    kernel.addresses?.delete(ip('172.30.0.41'));
    backend.verifier.suspectAddress(ip('172.30.0.41'));
    await backend.verifier.repairSuspects();
    expect(collectFacts(agent, backend).repairs).toEqual({
      total: 1,
      byKind: {
        virtualServer: 0,
        realServers: 0,
        member: 0,
        set: 0,
        address: 1,
        link: 0,
        rules: 0,
        switch: 0,
      },
      last: [{ kind: 'address', object: '172.30.0.41', what: 'was missing' }],
    });
  });

  it('shows the kernel switches, and in their place why they cannot be read', async () => {
    const kernel = new FakeIpvsKernel();
    const { agent, backend } = startAgent(kernel, NODE, []);
    await agent.sync('request');
    kernel.switches.set('net/ipv4/ip_forward', '0');
    const { switches, error } = (await collectStatus(agent, backend, connectionsOf(kernel))).kernel;
    expect(switches).toContainEqual({
      path: 'net/ipv4/ip_forward',
      value: '0',
      wanted: '1',
      why: 'packets to pods on other nodes are forwarded',
    });
    expect(error).toBe('');
    kernel.sysctl = (path) => {
      throw new KernelError('read', path, 5, 'EIO');
    };
    const status = await collectStatus(agent, backend, connectionsOf(kernel));
    expect(status).toMatchObject({ node: 'node1', isSynced: true });
    expect(status.kernel).toEqual({
      switches: [],
      error: expect.stringMatching(/^read net\/ipv4\/\S+: EIO/) as string,
    });
  });

  it('has facts that cost no read of the kernel', async () => {
    const kernel = new FakeIpvsKernel();
    const { agent, backend } = startAgent(kernel, NODE, [
      ...objects('web', '172.30.0.41', ['10.0.0.1']),
      ...objects('api', '172.30.0.42', []),
    ]);
    await agent.sync('request');
    kernel.lists = [];
    const facts = collectFacts(agent, backend);
    expect(facts).toMatchObject({ isSynced: true, syncs: 1, plannedServices: 2, pendingServices: 0 });
    expect(kernel.lists).toEqual([]);
    expect(await collectStatus(agent, backend, connectionsOf(kernel))).toMatchObject(facts);
  });

  it.each([
    ['', {}],
    ['', { isSynced: false, pendingServices: 3 }],
    ['the first sync is not done', { lastSync: null }],
    ['no socket', { lastSync: null, lastError: 'no socket' }],
    [
      'TCP 10.96.0.1:443: refused',
      { failedOperations: [{ object: 'TCP 10.96.0.1:443', message: 'refused' }] },
    ],
    ['Service default/web is not in the kernel', { lastSync: { failedServices: ['default/web'] } }],
    ['10.96.0.9 could not be removed', { leftovers: ['10.96.0.9'] }],
  ])('says %j for %j', async (text, more) => {
    const { agent, backend } = startAgent(new FakeIpvsKernel(), NODE, objects('web', '172.30.0.41', []));
    await agent.sync('request');
    expect(failureText({ ...collectFacts(agent, backend), ...more } as AgentFacts)).toBe(text);
  });
});
