import { describe, expect, it } from 'vitest';
import { FakeIpvsKernel } from '../../test/fake-ipvs-kernel.ts';
import { startAgent } from '../../test/in-memory-agent.ts';
import type { IpvsDestinationState, ServiceKey as IpvsKey } from '../kernel/ipvs-codec.ts';
import { parseIp, type IpAddress } from '../model/ip.ts';
import type { ClusterEvent } from '../model/objects.ts';
import type { NodeOptions } from '../plan/plan.ts';
import { PLAIN_NODE } from '../../test/nodes.ts';
import { collectStatus } from './status.ts';

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
  });
});
