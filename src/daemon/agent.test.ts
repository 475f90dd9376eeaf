import { describe, expect, it } from 'vitest';
import { FakeIpvsKernel } from '../../test/fake-ipvs-kernel.ts';
import { makeAgent, startAgent } from '../../test/in-memory-agent.ts';
import type { Backend } from '../backends/backend.ts';
import { Agent } from './agent.ts';
import { KernelError, PointsmanError } from '../model/errors.ts';
import type { Family } from '../model/ip.ts';
import { parseIp, type IpAddress } from '../model/ip.ts';
import { serviceKey } from '../model/names.ts';
import type { ClusterEvent } from '../model/objects.ts';
import { PLAIN_NODE } from '../../test/nodes.ts';
import type { NodeOptions } from '../plan/plan.ts';

const ip = (text: string): IpAddress => parseIp(text) as IpAddress;

const NODE: NodeOptions = {
  ...PLAIN_NODE,
  nodePortAddresses: [ip('192.168.0.2')],
};

function service(name: string, clusterIP: string, more: object = {}): ClusterEvent {
  const spec = { clusterIP, clusterIPs: [clusterIP], ports: [{ port: 80, protocol: 'TCP' }], ...more };
  return {
    type: 'apply',
    object: { kind: 'Service', metadata: { namespace: 'default', name }, spec } as never,
  };
}

function slice(name: string, addresses: readonly string[]): ClusterEvent {
  return {
    type: 'apply',
    object: {
      kind: 'EndpointSlice',
      metadata: { namespace: 'default', name: `${name}-1`, labels: { 'kubernetes.io/service-name': name } },
      addressType: 'IPv4',
      ports: [{ port: 8080, protocol: 'TCP' }],
      endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    } as never,
  };
}

const gone = (name: string): ClusterEvent => ({
  type: 'delete',
  kind: 'Service',
  namespace: 'default',
  name,
});

const WEB = [service('web', '172.30.0.41'), slice('web', ['10.0.0.1', '10.0.0.2'])];
const NODE_PORT = service('np', '172.30.0.50', {
  type: 'NodePort',
  ports: [{ port: 80, protocol: 'TCP', nodePort: 30080 }],
});

/** Throws out of one write, as when a tool fails or replies are lost. */
class ThrowingKernel extends FakeIpvsKernel {
  throwsIn: 'services' | 'createLink' | 'restoreRules' | 'applyIpvs' | null = null;
  thrown: Error = new PointsmanError('TOOL_FAILED', 'iptables-restore: line 3 failed');

  private maybeThrow(method: typeof this.throwsIn): void {
    if (this.throwsIn !== method) return;
    this.throwsIn = null;
    throw this.thrown;
  }
  override async services(): ReturnType<FakeIpvsKernel['services']> {
    this.maybeThrow('services');
    return super.services();
  }
  override async createLink(): Promise<void> {
    this.maybeThrow('createLink');
    return super.createLink();
  }
  override async restoreRules(family: Family, text: string): Promise<void> {
    this.maybeThrow('restoreRules');
    return super.restoreRules(family, text);
  }
  override async applyIpvs(
    ...args: Parameters<FakeIpvsKernel['applyIpvs']>
  ): ReturnType<FakeIpvsKernel['applyIpvs']> {
    this.maybeThrow('applyIpvs');
    return super.applyIpvs(...args);
  }
}

async function dumpAfter(events: readonly ClusterEvent[], node = NODE): Promise<string> {
  const kernel = new FakeIpvsKernel();
  const { agent } = startAgent(kernel, node, events);
  await agent.sync('request');
  // Rules of sets that became empty go with the next sync; both sides get one.
  agent.setSettingsChanged();
  await agent.sync('request');
  return kernel.dump();
}

describe('the agent', () => {
  it('neither reads nor writes the kernel, nor asks for a sync, before it knows everything', async () => {
    const kernel = new FakeIpvsKernel();
    const { agent, dirty } = makeAgent(kernel, NODE);
    agent.onEvents(WEB);
    agent.setNode({ ...NODE, zone: 'a' });
    expect(await agent.sync('request')).toEqual({ needsRetry: false });
    expect(await agent.sync('retry')).toEqual({ needsRetry: false });
    expect(dirty.count).toBe(0);
    expect(kernel.writes).toEqual([]);
    expect(kernel.lists).toEqual([]);
    expect(agent.status).toMatchObject({ syncs: 0, lastReport: null, pendingServices: 1 });
  });

  it('brings each event into the kernel, and asks for a sync only when one matters', async () => {
    const kernel = new FakeIpvsKernel();
    const { agent, dirty } = startAgent(kernel, NODE, WEB);
    await agent.sync('request');
    expect(dirty.count).toBe(1);
    expect([...kernel.table.keys()]).toEqual(['TCP 172.30.0.41:80']);
    agent.onEvents(WEB);
    agent.onEvents([slice('unknown', ['10.0.0.1'])]);
    agent.onEvents([service('web', '172.30.0.41', { selector: { app: 'other' } })]);
    await agent.sync('request');
    kernel.writes = [];
    agent.onEvents([slice('web', ['10.0.0.2', '10.0.0.3'])]);
    expect(agent.status.pendingServices).toBe(1);
    await agent.sync('request');
    expect(kernel.writes).toEqual([
      'NEW_DEST TCP 172.30.0.41:80 -> 10.0.0.3:8080',
      'DEL_DEST TCP 172.30.0.41:80 -> 10.0.0.1:8080',
    ]);
    agent.onEvents([gone('web')]);
    await agent.sync('request');
    expect(kernel.table.size).toBe(0);
    expect([...agent.serviceKeys()]).toEqual([]);
    expect(agent.planOf(serviceKey('default', 'web'))).toBeUndefined();
  });

  it('follows changes of the node: NodePort addresses and scheduler', async () => {
    const kernel = new FakeIpvsKernel();
    const { agent, dirty } = startAgent(kernel, NODE, [NODE_PORT]);
    await agent.sync('request');
    agent.setNode({ ...NODE, nodePortAddresses: [...NODE.nodePortAddresses] });
    expect(dirty.count).toBe(1);
    agent.setNode({ ...NODE, nodePortAddresses: [ip('192.168.0.3')], scheduler: 'sh' });
    expect(dirty.count).toBe(2);
    await agent.sync('request');
    expect(
      [...kernel.table]
        .map(
          ([
            id,
            {
              service: { scheduler },
            },
          ]) => `${id} ${scheduler}`,
        )
        .sort(),
    ).toEqual(['TCP 172.30.0.50:80 sh', 'TCP 192.168.0.3:30080 sh']);
  });

  it('renders Services anew whose plan is the same on the other addresses of a node', async () => {
    const kernel = new FakeIpvsKernel();
    const { agent } = startAgent(kernel, NODE, [NODE_PORT]);
    await agent.sync('request');
    agent.setNode({ ...NODE, nodePortAddresses: [ip('192.168.0.3')] });
    await agent.sync('request');
    expect([...kernel.table.keys()].sort()).toEqual(['TCP 172.30.0.50:80', 'TCP 192.168.0.3:30080']);
  });

  it('follows annotations, and says where it can do so only roughly', async () => {
    const kernel = new FakeIpvsKernel();
    const web = service('web', '172.30.0.41');
    const annotate = (annotations: object): ClusterEvent => {
      if (web.type === 'apply') Object.assign(web.object.metadata ?? {}, { annotations });
      return structuredClone(web);
    };
    const { agent } = startAgent(kernel, NODE, [annotate({ 'service.cilium.io/lb-algorithm': 'maglev' })]);
    const scheduler = (): string | undefined => kernel.table.get('TCP 172.30.0.41:80')?.service.scheduler;
    await agent.sync('request');
    expect(scheduler()).toBe('mh');
    expect(agent.problems()).toMatchObject([{ object: 'Service default/web', reason: 'Approximated' }]);
    agent.onEvents([annotate({ 'pointsman.dev/scheduler': 'wlc' })]);
    await agent.sync('request');
    expect(scheduler()).toBe('wlc');
    expect(agent.problems()).toEqual([]);
  });

  it('hands over plans for one node at a time, also when it changes while they are compiled', async () => {
    const other: NodeOptions = { ...NODE, scheduler: 'sh' };
    const handed: string[] = [];
    const backend: Backend = {
      probe: () => Promise.resolve({ isUsable: true, missing: [] }),
      apply: ({ node, services }) => {
        for (const [key, plan] of services)
          handed.push(`${key} ${plan?.virtualServers[0]?.scheduler} for ${node.scheduler}`);
        return Promise.resolve({ operations: 0, failed: [], leftovers: [], durationMs: 0 });
      },
      retry: () => Promise.reject(new Error('nothing failed')),
      problems: () => new Map(),
    };
    let paces = 0;
    const agent: Agent = new Agent({
      backend,
      log: { info: () => {}, warn: () => {}, error: () => {}, verbose: () => {} },
      node: NODE,
      pace: () => {
        if (++paces === 1) agent.setNode(other);
        return Promise.resolve();
      },
      onDirty: () => {},
    });
    const names = Array.from({ length: 40 }, (_, index) => `s${index + 10}`);
    agent.onEvents(names.map((name, index) => service(name, `172.30.1.${index}`)));
    agent.setComplete();
    await agent.sync('request');
    expect(paces).toBeGreaterThan(1);
    expect(handed.sort()).toEqual(names.map((name) => `default/${name} rr for rr`));
    handed.length = 0;
    await agent.sync('request');
    expect(handed.sort()).toEqual(names.map((name) => `default/${name} sh for sh`));
  });

  it('gives a contested address to the older Service, reports the other, and passes it on in place', async () => {
    const kernel = new FakeIpvsKernel();
    const created = (event: ClusterEvent, creationTimestamp: string): ClusterEvent => {
      if (event.type === 'apply') Object.assign(event.object.metadata ?? {}, { creationTimestamp });
      return event;
    };
    const young = created(service('aa', '172.30.0.41'), '2026-02-01T00:00:00Z');
    const old = created(service('zz', '172.30.0.41'), '2026-01-01T00:00:00Z');
    const { agent } = startAgent(kernel, NODE, [
      young,
      slice('aa', ['10.0.0.1']),
      old,
      slice('zz', ['10.0.0.2']),
    ]);
    await agent.sync('request');
    const servers = (): string[] => [...(kernel.table.get('TCP 172.30.0.41:80')?.destinations.keys() ?? [])];
    expect(servers()).toEqual(['10.0.0.2:8080']);
    expect(agent.problems()).toMatchObject([{ object: 'Service default/aa', reason: 'AddressConflict' }]);
    kernel.writes = [];
    agent.onEvents([gone('zz')]);
    await agent.sync('request');
    expect(servers()).toEqual(['10.0.0.1:8080']);
    expect(kernel.writes.filter((write) => / 172\.30\.0\.41:80/.test(write))).toEqual([
      'NEW_DEST TCP 172.30.0.41:80 -> 10.0.0.1:8080',
      'DEL_DEST TCP 172.30.0.41:80 -> 10.0.0.2:8080',
    ]);
    expect(agent.problems()).toEqual([]);
  });

  it('asks to be called again while something is refused, and puts it right then, without losing what changed meanwhile', async () => {
    const kernel = new FakeIpvsKernel();
    const { agent } = startAgent(kernel, NODE, WEB);
    kernel.faults.push({ matches: (write) => write.includes('10.0.0.2:8080'), errno: 'ENOMEM', times: 1 });
    expect(await agent.sync('request')).toEqual({ needsRetry: true });
    expect(agent.status.lastReport?.failed).toEqual(['default/web']);
    expect(agent.problems().map(({ object, reason }) => `${object} ${reason}`)).toEqual([
      'Service default/web KernelRefused',
    ]);
    const more = [service('more', '172.30.0.42'), slice('more', ['10.0.0.9'])];
    agent.onEvents(more);
    expect(await agent.sync('retry')).toEqual({ needsRetry: false });
    expect(agent.problems()).toEqual([]);
    expect(kernel.dump()).toBe(await dumpAfter([...WEB, ...more]));
  });

  it('does nothing on a retry when nothing is wrong', async () => {
    const kernel = new FakeIpvsKernel();
    const { agent } = startAgent(kernel, NODE, WEB);
    await agent.sync('request');
    kernel.writes = [];
    expect(await agent.sync('retry')).toEqual({ needsRetry: false });
    expect(kernel.writes).toEqual([]);
    expect(agent.status.syncs).toBe(1);
  });

  it.each(['services', 'createLink', 'restoreRules', 'applyIpvs'] as const)(
    'starts in spite of an error out of %s at the first sync',
    async (method) => {
      const kernel = new ThrowingKernel();
      kernel.throwsIn = method;
      const { agent } = startAgent(kernel, NODE, [...WEB, NODE_PORT]);
      expect(await agent.sync('request')).toEqual({ needsRetry: true });
      expect(await agent.sync('retry')).toEqual({ needsRetry: false });
      expect(agent.status.lastError).toBe('');
      agent.setSettingsChanged();
      await agent.sync('request');
      expect(kernel.dump()).toBe(await dumpAfter([...WEB, NODE_PORT]));
    },
  );

  it.each([
    ['a failed tool', 'restoreRules', new PointsmanError('TOOL_FAILED', 'iptables-restore: line 3 failed')],
    ['a defect of ours', 'restoreRules', new TypeError('x is not a function')],
    ['lost replies', 'applyIpvs', new PointsmanError('KERNEL_OVERRUN', 'replies were lost')],
    ['a defect while writing', 'applyIpvs', new TypeError('x is not a function')],
  ] as const)(
    'removes, changes and adds everything after a sync that ended with %s',
    async (_, method, error) => {
      const kernel = new ThrowingKernel();
      const { agent, log } = startAgent(kernel, NODE, [
        ...WEB,
        service('old', '172.30.0.99'),
        slice('old', ['10.0.0.7']),
      ]);
      await agent.sync('request');
      // The NodePort needs a rule that is not there yet, so that rules are restored.
      const events = [gone('old'), slice('web', ['10.0.0.3']), NODE_PORT];
      agent.onEvents(events);
      kernel.throwsIn = method;
      kernel.thrown = error;
      expect(await agent.sync('request')).toEqual({ needsRetry: true });
      // The first retry hands over everything again, the second puts right what was being written.
      if ((await agent.sync('retry')).needsRetry)
        expect(await agent.sync('retry')).toEqual({ needsRetry: false });
      expect(agent.status.lastError).toBe('');
      expect(log.filter((line) => line.startsWith('E')).length).toBeLessThanOrEqual(1);
      agent.setSettingsChanged();
      await agent.sync('request');
      expect(kernel.dump()).toBe(
        await dumpAfter([WEB[0] as ClusterEvent, slice('web', ['10.0.0.3']), NODE_PORT]),
      );
    },
  );

  it('says in its status why a sync ended early', async () => {
    const kernel = new ThrowingKernel();
    const { agent, log } = startAgent(kernel, NODE, WEB);
    kernel.throwsIn = 'services';
    kernel.thrown = new KernelError('GET_SERVICE', '', 1, 'EPERM');
    await agent.sync('request');
    expect(agent.status).toMatchObject({
      syncs: 0,
      lastReport: null,
      lastError: 'GET_SERVICE: EPERM (errno 1)',
    });
    expect(log).toEqual(['E "Sync failed; it is tried again" err="GET_SERVICE: EPERM (errno 1)"']);
  });

  it('logs a problem when it appears, once, and again when it comes back', async () => {
    const kernel = new FakeIpvsKernel();
    const bad = service('bad', 'rubbish');
    const { agent, log } = startAgent(kernel, NODE, [...WEB, bad]);
    const warnings = (): number => log.splice(0).filter((line) => line.startsWith('W')).length;
    await agent.sync('request');
    expect(warnings()).toBe(1);
    agent.onEvents([slice('web', ['10.0.0.3'])]);
    await agent.sync('request');
    expect(warnings()).toBe(0);
    agent.onEvents([gone('bad'), slice('web', ['10.0.0.4'])]);
    await agent.sync('request');
    expect(warnings()).toBe(0);
    agent.onEvents([bad, slice('web', ['10.0.0.5'])]);
    await agent.sync('request');
    expect(warnings()).toBe(1);
  });
});
