// The first apply on a node on which an earlier run of ours, another proxy or an operator left something: what is taken over, made, and removed
// at the end, and in which order.

import { describe, expect, it } from 'vitest';
import { FakeIpvsKernel } from '../../../test/fake-ipvs-kernel.ts';
import { change, foreignService, ip, makeBackend, plan, started } from '../../../test/ipvs-plans.ts';
import { frontends, unmasqueraded } from '../../../test/ipvs-services.ts';
import { HERE, LOAD_BALANCER, THERE } from '../../../test/one-service.ts';
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

describe('what another proxy left beside us', () => {
  it('stays: virtual servers without our mark, their members and addresses', async () => {
    const { kernel } = await started();
    kernel.table.set('TCP 172.30.0.77:80', {
      service: foreignService('172.30.0.77', 6, 80),
      destinations: new Map(),
    });
    const portal = { address: ip('172.30.0.77'), protocol: 6, port: 80 };
    kernel.sets.get('KUBE-CLUSTER-IP')?.set('172.30.0.77,tcp:80', portal);
    kernel.sets.get('KUBE-IPVS-IPS')?.set('172.30.0.77', { address: ip('172.30.0.77') });
    kernel.sets.get('KUBE-NODE-PORT-TCP')?.set('31000', { port: 31_000 });
    kernel.addresses?.add(ip('172.30.0.77'));
    const before = kernel
      .dump()
      .split('\n')
      .filter((line) => !line.startsWith('rule'));
    const { backend } = makeBackend(kernel);
    await backend.apply(change([], true));
    expect(
      kernel
        .dump()
        .split('\n')
        .filter((line) => !line.startsWith('rule')),
    ).toEqual(before);
    expect(backend.foreignVirtualServers()).toEqual(['TCP 172.30.0.77:80']);
  });

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
