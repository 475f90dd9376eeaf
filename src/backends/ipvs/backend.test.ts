import { describe, expect, it } from 'vitest';
import {
  assertAnyWayEndsTheSame,
  assertDriftIsRepaired,
  assertRefusedRepairsAreRetried,
} from '../../../test/any-way.ts';
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
import { IpvsBackend } from './backend.ts';

// Addresses: ClusterIPs 172.30.0.0/16, pods 10.0.0.0/8, this node 192.168.0.2.
const WEB = plan('web', [{ address: '172.30.0.41', endpoints: ['10.0.0.1', '10.0.0.2'] }]);

describe('the IPVS backend', () => {
  it('programs a Service: virtual server, real servers, members, address', async () => {
    const { kernel, backend } = makeBackend();
    const report = await backend.apply(change([WEB], true));
    expect(report.failed).toEqual([]);
    const lines = kernel
      .dump()
      .split('\n')
      .filter((line) => !line.startsWith('rule'));
    expect(lines).toEqual([
      'address 172.30.0.41',
      'rs TCP 172.30.0.41:80 -> 10.0.0.1:8080 1',
      'rs TCP 172.30.0.41:80 -> 10.0.0.2:8080 1',
      'set KUBE-CLUSTER-IP 172.30.0.41,tcp:80',
      'set KUBE-IPVS-IPS 172.30.0.41',
      'set POINTSMAN-VS 172.30.0.41,tcp:80',
      'vs TCP 172.30.0.41:80 rr 0 0 4294967295',
    ]);
  });

  it('restricts before it adds and adds before it opens, and removes in the reverse order', async () => {
    const { kernel, backend } = await started();
    await backend.apply(change([WEB]));
    expect(kernel.writes.filter((write) => !write.startsWith('RESTORE'))).toEqual([
      'ADD POINTSMAN-VS 172.30.0.41,tcp:80',
      'ADD KUBE-IPVS-IPS 172.30.0.41',
      'NEW_SERVICE TCP 172.30.0.41:80',
      'NEW_DEST TCP 172.30.0.41:80 -> 10.0.0.1:8080',
      'NEW_DEST TCP 172.30.0.41:80 -> 10.0.0.2:8080',
      'ADD KUBE-CLUSTER-IP 172.30.0.41,tcp:80',
      'BIND 172.30.0.41',
    ]);
    kernel.writes = [];
    await backend.apply(change([WEB.key]));
    expect(kernel.writes.filter((write) => !write.startsWith('RESTORE'))).toEqual([
      'SET_DEST TCP 172.30.0.41:80 -> 10.0.0.1:8080',
      'SET_DEST TCP 172.30.0.41:80 -> 10.0.0.2:8080',
      'UNBIND 172.30.0.41',
      'DEL KUBE-CLUSTER-IP 172.30.0.41,tcp:80',
      'DEL_SERVICE TCP 172.30.0.41:80',
      'DEL POINTSMAN-VS 172.30.0.41,tcp:80',
      'DEL KUBE-IPVS-IPS 172.30.0.41',
    ]);
  });

  it('programs critical Services completely before any other', async () => {
    const { kernel, backend } = makeBackend();
    const critical = {
      ...plan('kubernetes', [{ address: '172.30.0.1', endpoints: ['192.168.0.9'] }]),
      isCritical: true,
    };
    const others = Array.from({ length: 3 }, (_, i) =>
      plan(`a${i}`, [{ address: `172.30.1.${i + 1}`, endpoints: ['10.0.0.9'] }]),
    );
    await backend.apply(change([...others, critical], true));
    const writes = kernel.writes.filter((write) => /^(ADD|BIND|NEW)/.test(write));
    const own = writes.map((write) => write.includes('172.30.0.1'));
    expect(own.lastIndexOf(true)).toBe(own.indexOf(false) - 1);
    expect(writes[own.lastIndexOf(true)]).toBe('BIND 172.30.0.1');
  });

  it('sends a handful of messages and lists nothing when an endpoint is added', async () => {
    const others = Array.from({ length: 200 }, (_, i) =>
      plan(`s${i}`, [{ address: `172.30.1.${i + 1}`, endpoints: ['10.0.0.9'] }]),
    );
    const { kernel, backend } = await started(WEB, ...others);
    await backend.apply(
      change([plan('web', [{ address: '172.30.0.41', endpoints: ['10.0.0.1', '10.0.0.2', '10.0.0.3'] }])]),
    );
    expect(kernel.writes).toEqual(['NEW_DEST TCP 172.30.0.41:80 -> 10.0.0.3:8080']);
    expect(kernel.lists).toEqual([]);
  });

  it('sends nothing for the same plan again, in the same run and after a restart', async () => {
    const { kernel, backend } = await started(WEB);
    expect((await backend.apply(change([WEB]))).operations).toBe(0);
    const restarted = new IpvsBackend(kernel, NODE.families, SETTINGS);
    const report = await restarted.apply(change([WEB], true));
    expect(kernel.writes).toEqual([]);
    expect(report.operations).toBe(0);
  });

  it('changes scheduler and affinity in place', async () => {
    const { kernel, backend } = await started(WEB);
    await backend.apply(
      change([
        plan('web', [
          {
            address: '172.30.0.41',
            endpoints: ['10.0.0.1', '10.0.0.2'],
            scheduler: 'sh',
            affinitySeconds: 60,
          },
        ]),
      ]),
    );
    expect(kernel.writes).toEqual(['SET_SERVICE TCP 172.30.0.41:80']);
    expect(kernel.table.get('TCP 172.30.0.41:80')?.service).toMatchObject({
      scheduler: 'sh',
      flags: 1,
      timeoutSeconds: 60,
    });
  });

  it('leaves a foreign virtual server on a key that it needs alone, and reports it', async () => {
    const { kernel, backend } = makeBackend();
    const foreign = foreignService('172.30.0.41', 6, 80);
    await kernel.applyIpvs([{ op: 'NEW_SERVICE', service: foreign }]);
    const other = plan('other', [{ address: '172.30.0.42', endpoints: ['10.0.0.1'] }]);
    const report = await backend.apply(change([WEB, other], true));
    expect(kernel.table.get('TCP 172.30.0.41:80')).toEqual({ service: foreign, destinations: new Map() });
    expect(report.failed).toEqual([WEB.key]);
    expect(backend.problems().get(WEB.key)?.[0]?.reason).toBe('ForeignVirtualServer');
    expect(kernel.table.has('TCP 172.30.0.42:80')).toBe(true);
    expect(kernel.addresses?.has(ip('172.30.0.41'))).toBe(false);
  });

  it('does not put servers into a virtual server that somebody else made at the same moment, and takes the key when it is free', async () => {
    const { kernel, backend } = await started();
    const foreign = foreignService('172.30.0.41', 6, 80);
    await kernel.applyIpvs([{ op: 'NEW_SERVICE', service: foreign }]);
    expect((await backend.apply(change([WEB]))).failed).toEqual([WEB.key]);
    expect(kernel.table.get('TCP 172.30.0.41:80')?.destinations.size).toBe(0);
    expect(kernel.sets.get('POINTSMAN-VS')?.size).toBe(0);
    expect((await backend.retry([WEB.key])).failed).toEqual([WEB.key]);
    await kernel.applyIpvs([{ op: 'DEL_SERVICE', service: foreign }]);
    expect((await backend.retry([WEB.key])).failed).toEqual([]);
    expect(kernel.table.get('TCP 172.30.0.41:80')?.destinations.size).toBe(2);
    expect(kernel.addresses?.has(ip('172.30.0.41'))).toBe(true);
  });

  it.each([
    ['a new virtual server', 'NEW_SERVICE'],
    ['a new real server', 'NEW_DEST'],
    ['a set member', 'ADD KUBE-CLUSTER-IP'],
    ['an address', 'BIND'],
  ])('goes on with other Services when %s is refused, and puts it right on retry', async (_, verb) => {
    const { kernel, backend } = await started();
    kernel.faults.push({
      matches: (write) => write.startsWith(verb) && write.includes('172.30.0.41'),
      errno: 'ENOMEM',
      times: 1,
    });
    const other = plan('other', [{ address: '172.30.0.42', endpoints: ['10.0.0.1'] }]);
    const report = await backend.apply(change([WEB, other]));
    expect(report.failed).toEqual([WEB.key]);
    expect(backend.problems().get(WEB.key)?.[0]).toMatchObject({ reason: 'KernelRefused' });
    expect(kernel.addresses?.has(ip('172.30.0.42'))).toBe(true);
    expect((await backend.retry(report.failed)).failed).toEqual([]);
    const clean = makeBackend();
    await clean.backend.apply(change([WEB, other], true));
    expect(kernel.dump()).toBe(clean.kernel.dump());
  });

  it('does not adopt a virtual server that somebody made where ours was refused', async () => {
    const { kernel, backend } = await started();
    kernel.faults.push({ matches: (write) => write.startsWith('NEW_SERVICE'), errno: 'ENOMEM', times: 1 });
    await backend.apply(change([WEB]));
    const foreign = foreignService('172.30.0.41', 6, 80);
    await kernel.applyIpvs([{ op: 'NEW_SERVICE', service: foreign }]);
    expect((await backend.retry([WEB.key])).failed).toEqual([WEB.key]);
    expect(kernel.table.get('TCP 172.30.0.41:80')).toEqual({ service: foreign, destinations: new Map() });
    expect(backend.problems().get(WEB.key)?.[0]?.reason).toBe('ForeignVirtualServer');
  });

  it('recovers when the answer to a batch is lost', async () => {
    const { kernel, backend } = await started();
    kernel.losesNextAnswer = true;
    expect((await backend.apply(change([WEB]))).failed).toEqual([WEB.key]);
    expect((await backend.retry([WEB.key])).failed).toEqual([]);
    const clean = makeBackend();
    await clean.backend.apply(change([WEB], true));
    expect(kernel.dump()).toBe(clean.kernel.dump());
  });

  it('removes what an earlier run left and nothing that others made', async () => {
    const { kernel } = await started(
      WEB,
      plan('old', [{ address: '172.30.0.99', endpoints: ['10.0.0.9'] }, { nodePort: 30099 }]),
    );
    const foreign = foreignService('192.0.2.1', 17, 53);
    await kernel.applyIpvs([{ op: 'NEW_SERVICE', service: foreign }]);
    kernel.addresses?.add(ip('192.0.2.7'));
    const restarted = new IpvsBackend(kernel, NODE.families, SETTINGS);
    await restarted.apply(change([WEB], true));
    expect([...kernel.table.keys()].sort()).toEqual(['TCP 172.30.0.41:80', 'UDP 192.0.2.1:53']);
    expect([...(kernel.addresses ?? [])].sort()).toEqual(['172.30.0.41', '192.0.2.7']);
    expect([...(kernel.sets.get('KUBE-NODE-PORT-TCP')?.keys() ?? [])]).toEqual([]);
    expect([...(kernel.sets.get('POINTSMAN-VS')?.keys() ?? [])]).toEqual(['172.30.0.41,tcp:80']);
  });

  it('hands a virtual server from one Service to another in place', async () => {
    const first = plan('zz-first', [{ address: '172.30.0.41', endpoints: ['10.0.0.1'] }]);
    const second = plan('aa-second', [{ address: '172.30.0.41', endpoints: ['10.0.0.2'] }]);
    const { kernel, backend } = await started(first);
    kernel.writes = [];
    await backend.apply(change([second, first.key]));
    expect(kernel.writes).toEqual([
      'NEW_DEST TCP 172.30.0.41:80 -> 10.0.0.2:8080',
      'SET_DEST TCP 172.30.0.41:80 -> 10.0.0.1:8080',
      'DEL_DEST TCP 172.30.0.41:80 -> 10.0.0.1:8080',
    ]);
  });

  it('writes nothing before the first complete change', async () => {
    const { kernel, backend } = makeBackend();
    await expect(backend.apply(change([WEB]))).rejects.toThrow('complete');
    expect(kernel.writes).toEqual([]);
  });

  it('ends in the same kernel state by any way as from scratch, and leaks nothing on it', () =>
    assertAnyWayEndsTheSame(200));

  it('puts right whatever somebody else changes in what is ours', () => assertDriftIsRepaired(200));

  it('tries repairs again that were refused', () => assertRefusedRepairsAreRetried(150));
});
