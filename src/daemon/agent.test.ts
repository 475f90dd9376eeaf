import { describe, expect, it } from 'vitest';
import { address } from '../../test/addresses.ts';
import { gone, NODE, service, slice } from '../../test/agent-events.ts';
import { FakeIpvsKernel } from '../../test/fake-ipvs-kernel.ts';
import { makeAgent, startAgent } from '../../test/in-memory-agent.ts';
import { KernelError, PointsmanError } from '../model/errors.ts';
import type { Family } from '../model/ip.ts';
import { serviceKey } from '../model/names.ts';
import type { ClusterEvent } from '../model/objects.ts';

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
  it('tells each step of the plan that the backend has taken in, and no other', async () => {
    const kernel = new ThrowingKernel();
    const { agent, applied } = startAgent(kernel, NODE, WEB);
    const told = (): unknown =>
      applied.splice(0).map(({ services, isComplete }) => [[...services.keys()], isComplete]);
    kernel.throwsIn = 'services';
    await agent.sync('request');
    expect(told()).toEqual([]);
    await agent.sync('retry');
    expect(told()).toEqual([[['default/web'], true]]);
    await agent.sync('request');
    expect(told()).toEqual([]);
    agent.onEvents([NODE_PORT]);
    await agent.sync('request');
    agent.onEvents([gone('np')]);
    await agent.sync('request');
    expect(told()).toEqual([
      [['default/np'], false],
      [['default/np'], false],
    ]);
  });

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
      'SET_DEST TCP 172.30.0.41:80 -> 10.0.0.1:8080',
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
    agent.setNode({ ...NODE, nodePortAddresses: [address('192.168.0.3')], scheduler: 'sh' });
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

  it.each(['retry', 'periodic'] as const)('does nothing on a %s when nothing is wrong', async (reason) => {
    const kernel = new FakeIpvsKernel();
    const { agent } = startAgent(kernel, NODE, WEB);
    await agent.sync('request');
    kernel.writes = [];
    kernel.lists = [];
    expect(await agent.sync(reason)).toEqual({ needsRetry: false });
    expect([kernel.writes, kernel.lists]).toEqual([[], []]);
    expect(agent.status.syncs).toBe(1);
  });

  it('leaves what is refused to the retry when a periodic sync comes before it', async () => {
    const kernel = new FakeIpvsKernel();
    const { agent } = startAgent(kernel, NODE, WEB);
    kernel.faults.push({ matches: (write) => write.includes('10.0.0.2:8080'), errno: 'ENOMEM', times: 1 });
    await agent.sync('request');
    expect(await agent.sync('periodic')).toEqual({ needsRetry: true });
    expect(await agent.sync('retry')).toEqual({ needsRetry: false });
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

describe('what is known and not in the kernel yet', () => {
  it('counts while a sync writes it', async () => {
    const kernel = new FakeIpvsKernel();
    const { agent } = startAgent(kernel, NODE, WEB);
    await agent.sync('request');
    let open = (): void => {};
    const gate = new Promise<void>((resolve) => (open = resolve));
    const apply = kernel.applyIpvs.bind(kernel);
    kernel.applyIpvs = async (operations) => {
      await gate;
      return apply(operations);
    };
    agent.onEvents([service('other', '172.30.0.42')]);
    const sync = agent.sync('request');
    expect(agent.status).toMatchObject({ pendingServices: 1, isPending: true });
    open();
    await sync;
    expect(agent.status).toMatchObject({ pendingServices: 0, isPending: false });
  });

  it('may be a fact of the node alone', async () => {
    const { agent } = startAgent(new FakeIpvsKernel(), NODE, WEB);
    await agent.sync('request');
    agent.setNode({ ...NODE, nodePortAddresses: [address('192.168.0.3')] });
    expect(agent.status).toMatchObject({ pendingServices: 0, isPending: true });
  });
});

it('asks for the next retry although a sync between had nothing to do', async () => {
  const kernel = new FakeIpvsKernel();
  kernel.faults.push({ matches: (write) => write.startsWith('NEW_DEST'), errno: 'ENOMEM', times: 99 });
  const { agent } = startAgent(kernel, NODE, WEB);
  expect(await agent.sync('request')).toEqual({ needsRetry: true });
  expect(await agent.sync('request')).toEqual({ needsRetry: true });
});

it('hands over nothing for one more address of the machine on which nobody answers', async () => {
  const { agent, backend } = startAgent(new FakeIpvsKernel(), NODE, [...WEB, NODE_PORT]);
  await agent.sync('request');
  const handed: number[] = [];
  const apply = backend.apply.bind(backend);
  backend.apply = (change) => {
    handed.push(change.services.size);
    return apply(change);
  };
  agent.setNode({ ...NODE, localAddresses: [address('172.16.0.1')] });
  await agent.sync('request');
  agent.setNode({ ...NODE, localAddresses: [address('172.16.0.1')], nodePortAddresses: [] });
  await agent.sync('request');
  expect(handed).toEqual([0, 1]);
});
