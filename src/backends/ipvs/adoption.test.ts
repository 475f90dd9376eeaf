// The first apply on a node on which an earlier run of ours, another proxy or an operator left something: what is taken over, made, and removed
// at the end, and in which order.

import { describe, expect, it } from 'vitest';
import { cidr } from '../../../test/addresses.ts';
import { FakeIpvsKernel } from '../../../test/fake-ipvs-kernel.ts';
import {
  change,
  foreignService,
  ip,
  makeBackend,
  NODE,
  plan,
  SETTINGS,
  started,
} from '../../../test/ipvs-plans.ts';
import { frontends, unmasqueraded } from '../../../test/ipvs-services.ts';
import { HERE, LOAD_BALANCER, THERE } from '../../../test/one-service.ts';
import { IpvsBackend } from './backend.ts';
import { SET_NAMES } from './sets.ts';

const WEB = plan('web', [{ address: '172.30.0.41', endpoints: ['10.0.0.1'] }]);
const OLD = plan('old', [{ address: '172.30.0.99', endpoints: ['10.0.0.9'] }, { nodePort: 30_099 }]);

describe('the first apply', () => {
  it('makes every set of both families and the link before anything else', async () => {
    const { kernel, backend } = makeBackend();
    await backend.apply(change([WEB], true));
    const containers = kernel.writes.filter((write) => /^(CREATE|LINK)/.test(write));
    expect(containers).toHaveLength(2 * SET_NAMES.length + 1);
    expect(
      kernel.writes.filter((write) => !write.startsWith('SYSCTL')).slice(0, containers.length + 1),
    ).toEqual([...[expect.stringMatching(/^SET_CONFIG/)], ...containers]);
  });

  it('keeps no servers of its own beside those of the plan where both are the same', async () => {
    const dns = plan('dns', [
      { address: '172.30.0.53', protocol: 'UDP', endpoints: ['10.0.0.1', '10.0.0.2'] },
    ]);
    const { kernel } = await started(dns);
    const told: unknown[] = [];
    const backend = new IpvsBackend(kernel, NODE.families, SETTINGS, {
      onFlowChange: ({ realServers }) => told.push(realServers),
    });
    await backend.apply(change([dns], true));
    expect(told).toHaveLength(1);
    expect(told[0]).toBe(backend.virtualServersOf(dns.key)[0]?.realServers);
    // Saying the same again is no change.
    await backend.apply(change([dns]));
    expect([told.length, kernel.writes]).toEqual([1, []]);
  });

  it('makes only what is missing, and can be repeated when it failed', async () => {
    const { kernel, backend } = makeBackend();
    kernel.faults.push({
      matches: (write) => write === 'CREATE KUBE-6-CLUSTER-IP',
      errno: 'ENOMEM',
      times: 1,
    });
    await expect(backend.apply(change([WEB], true))).rejects.toThrow('ENOMEM');
    expect(kernel.table.size).toBe(0);
    expect((await backend.apply(change([WEB], true))).failed).toEqual([]);
    const clean = makeBackend();
    await clean.backend.apply(change([WEB], true));
    expect(kernel.dump()).toBe(clean.kernel.dump());
  });

  it('refuses to work with a set of ours that is of another type, and says what to do', async () => {
    const { kernel, backend } = makeBackend();
    kernel.sets.set('KUBE-CLUSTER-IP', new Map());
    kernel.headers.set('KUBE-CLUSTER-IP', { type: 'hash:net', family: 'IPv4', maxMembers: 65_536 });
    await expect(backend.apply(change([WEB], true))).rejects.toThrow('ipset rename KUBE-CLUSTER-IP NEW');
    expect(kernel.writes).toEqual([]);
  });

  it('removes what nobody wants only after everything that is wanted is there', async () => {
    const { kernel } = await started(OLD);
    const { backend } = makeBackend(kernel);
    await backend.apply(change([WEB], true));
    const last = kernel.writes.indexOf('BIND 172.30.0.41');
    const first = kernel.writes.findIndex((write) => /^(DEL|UNBIND|DEL_)/.test(write));
    expect(last).toBeGreaterThan(0);
    expect(first).toBeGreaterThan(last);
    const clean = makeBackend();
    await clean.backend.apply(change([WEB], true));
    expect(kernel.dump()).toBe(clean.kernel.dump());
  });

  it('puts what an earlier run left half done in order', async () => {
    const { kernel } = await started(WEB, OLD);
    kernel.table.get('TCP 172.30.0.41:80')?.destinations.clear();
    kernel.sets.get('KUBE-CLUSTER-IP')?.clear();
    kernel.addresses?.clear();
    const { backend } = makeBackend(kernel);
    await backend.apply(change([WEB, OLD], true));
    const clean = makeBackend();
    await clean.backend.apply(change([WEB, OLD], true));
    expect(kernel.dump()).toBe(clean.kernel.dump());
  });

  it('leaves over what cannot be removed, and a retry removes it', async () => {
    const { kernel } = await started(OLD);
    kernel.faults.push({
      matches: (write) => write === 'DEL_SERVICE TCP 172.30.0.99:80',
      errno: 'ENOMEM',
      times: 1,
    });
    const { backend } = makeBackend(kernel);
    const { leftovers } = await backend.apply(change([WEB], true));
    expect(leftovers).toContain('TCP 172.30.0.99:80');
    expect(kernel.sets.get('POINTSMAN-VS')?.has('172.30.0.99,tcp:80')).toBe(true);
    expect((await backend.retry([])).leftovers).toEqual([]);
    expect([...kernel.table.keys()]).toEqual(['TCP 172.30.0.41:80']);
  });

  it('is continued by the retry when the answer to the removal is lost', async () => {
    class Forgetful extends FakeIpvsKernel {
      isForgetful = false;
      override async deleteMembers(...parameters: Parameters<FakeIpvsKernel['deleteMembers']>) {
        this.losesNextAnswer ||= this.isForgetful;
        this.isForgetful = false;
        return super.deleteMembers(...parameters);
      }
    }
    const kernel = new Forgetful();
    await makeBackend(kernel).backend.apply(change([OLD], true));
    kernel.isForgetful = true;
    const { backend } = makeBackend(kernel);
    const report = await backend.apply(change([WEB], true));
    expect([...report.failed, ...report.leftovers, ...report.nodeFailures]).not.toEqual([]);
    await backend.retry(report.failed);
    expect(backend.currentReport()).toMatchObject({ failed: [], leftovers: [], nodeFailures: [] });
    expect([...kernel.table.keys()]).toEqual(['TCP 172.30.0.41:80']);
  });
});

/** A virtual server without our mark, with one server. */
function put(kernel: FakeIpvsKernel, address: string, port: number, destination: object = {}): void {
  const server = { address: ip('10.0.0.7'), port: 8080, weight: 1, forwarding: 'masquerade' as const };
  kernel.table.set(`TCP ${address}:${port}`, {
    service: foreignService(address, 6, port),
    destinations: new Map([
      ['10.0.0.7:8080', { ...server, upperThreshold: 0, lowerThreshold: 0, ...destination }],
    ]),
  });
}

/** What kube-proxy would have left of WEB, which has another endpoint by now, and of a Service that is gone. */
function leaveKubeProxysState(kernel: FakeIpvsKernel): void {
  put(kernel, '172.30.0.41', 80);
  put(kernel, '172.30.0.88', 80);
  put(kernel, '192.168.0.2', 30_080);
  for (const address of ['172.30.0.41', '172.30.0.88']) {
    kernel.addresses?.add(ip(address));
    kernel.sets.get('KUBE-IPVS-IPS')?.set(address, { address: ip(address) });
    kernel.sets
      .get('KUBE-CLUSTER-IP')
      ?.set(`${address},tcp:80`, { address: ip(address), protocol: 6, port: 80 });
  }
  kernel.sets.get('KUBE-NODE-PORT-TCP')?.set('30080', { port: 30_080 });
}

describe('what a kube-proxy left', () => {
  it('is taken over in place: its connections stay, what nobody wants goes, and all of it has our mark', async () => {
    const { kernel } = await started();
    leaveKubeProxysState(kernel);
    const taken: number[] = [];
    const backend = new IpvsBackend(kernel, NODE.families, SETTINGS, {
      onTakeOver: (virtualServers) => taken.push(virtualServers),
    });
    kernel.writes = [];
    await backend.apply(change([WEB], true));
    expect(taken).toEqual([3]);
    expect(kernel.writes.filter((write) => write.includes('172.30.0.41'))).toEqual([
      'ADD POINTSMAN-VS 172.30.0.41,tcp:80',
      'SET_SERVICE TCP 172.30.0.41:80',
      'NEW_DEST TCP 172.30.0.41:80 -> 10.0.0.1:8080',
      'SET_DEST TCP 172.30.0.41:80 -> 10.0.0.7:8080',
      'DEL_DEST TCP 172.30.0.41:80 -> 10.0.0.7:8080',
    ]);
    const clean = makeBackend();
    await clean.backend.apply(change([WEB], true));
    expect(kernel.dump()).toBe(clean.kernel.dump());
    expect(backend.foreignVirtualServers()).toEqual([]);
  });

  it('is left with its old connections as long as they last', async () => {
    const { kernel } = await started();
    leaveKubeProxysState(kernel);
    kernel.connections.set('TCP 192.168.0.2:30080 -> 10.0.0.7:8080', 1);
    await makeBackend(kernel).backend.apply(change([], true));
    expect([...kernel.table.keys()]).toEqual(['TCP 192.168.0.2:30080']);
    expect([...(kernel.sets.get('KUBE-NODE-PORT-TCP')?.keys() ?? [])]).toEqual(['30080']);
    expect([kernel.cut, kernel.addresses?.size]).toEqual([[], 0]);
  });
});

describe('what somebody else has beside us', () => {
  it.each<[string, string, number, object, Partial<typeof SETTINGS>]>([
    ['an address that is not on kube-ipvs0', '172.30.0.77', 80, {}, {}],
    ["this node's address, but no node port", '192.168.0.2', 80, {}, {}],
    ['a node port, but of another address', '192.0.2.2', 30_080, {}, {}],
    ['servers that are not masqueraded', '192.168.0.2', 30_080, { forwarding: 'directRoute' }, {}],
    ['an excluded address', '192.168.0.2', 30_080, {}, { excludeCIDRs: [cidr('192.168.0.0/16')] }],
    [
      'a port beyond the range of node ports',
      '192.168.0.2',
      30_080,
      {},
      { nodePorts: { first: 1, last: 30_079 } },
    ],
  ])(
    'stays: a virtual server with %s, its members and addresses',
    async (_, address, port, destination, more) => {
      const { kernel } = await started();
      put(kernel, address, port, destination);
      const portal = { address: ip(address), protocol: 6, port };
      kernel.sets.get('KUBE-CLUSTER-IP')?.set(`${address},tcp:${port}`, portal);
      kernel.sets.get('KUBE-NODE-PORT-TCP')?.set('31000', { port: 31_000 });
      kernel.addresses?.add(ip('192.0.2.7'));
      const stateOf = (): string[] =>
        kernel
          .dump()
          .split('\n')
          .filter((line) => !line.startsWith('rule'));
      const before = stateOf();
      const backend = new IpvsBackend(kernel, NODE.families, { ...SETTINGS, ...more });
      await backend.apply(change([], true));
      expect(stateOf()).toEqual(before);
      expect(backend.foreignVirtualServers()).toEqual([`TCP ${address}:${port}`]);
    },
  );

  it("goes where all virtual servers are ours: then the members of a proxy that is gone are nobody else's", async () => {
    const { kernel } = await started(WEB);
    kernel.sets.get('KUBE-NODE-PORT-TCP')?.set('31000', { port: 31_000 });
    kernel.sets.get('KUBE-LOOP-BACK')?.set('10.0.0.5,tcp:80,10.0.0.5', {
      ...{ address: ip('10.0.0.5'), protocol: 6, port: 80, address2: ip('10.0.0.5') },
    });
    const { backend } = makeBackend(kernel);
    await backend.apply(change([WEB], true));
    expect(kernel.sets.get('KUBE-NODE-PORT-TCP')?.size).toBe(0);
    expect(kernel.sets.get('KUBE-LOOP-BACK')?.size).toBe(0);
  });
});

describe('a Service whose policy changed while we were away', () => {
  const ports = { ports: [{ name: 'http', port: 80, nodePort: 30_080 }] };
  it.each([
    ['a node port', { type: 'NodePort', ...ports }, {}],
    ['an external IP', { externalIPs: ['198.51.100.7'], ports: [{ name: 'http', port: 80 }] }, {}],
    ['a load-balancer IP', { type: 'LoadBalancer', ...ports }, LOAD_BALANCER],
  ])('masquerades what goes elsewhere from the first moment: %s', async (_, spec, rest) => {
    const under = (externalTrafficPolicy: string) =>
      frontends({ ...spec, externalTrafficPolicy }, [HERE, THERE], { rest });
    for (const [before, after] of [
      ['Cluster', 'Local'],
      ['Local', 'Cluster'],
    ] as const) {
      const { kernel } = await started(under(before));
      const { backend } = makeBackend(kernel);
      kernel.onWrite = () =>
        expect(unmasqueraded(kernel), `${before} to ${after}: ${kernel.writes.at(-1)}`).toEqual([]);
      expect((await backend.apply(change([under(after)], true))).failed).toEqual([]);
    }
  });
});
