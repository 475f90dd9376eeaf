// Verification on the fake kernel: each kind of drift is found, put right and counted; what others have is left alone. Sets are in
// set-verifier.test.ts, addresses in verified-addresses.test.ts, listings and cycles in verification-cycles.test.ts.

import { describe, expect, it } from 'vitest';
import { change, foreignService, ip, NODE, plan, SETTINGS } from '../../../test/ipvs-plans.ts';
import {
  compare,
  LyingKernel,
  repairLine,
  repairsOf,
  stateOf,
  verified,
} from '../../../test/verified-backend.ts';
import { SERVICE_FLAG, type ServiceSettings } from '../../kernel/ipvs-codec.ts';
import { IpvsBackend } from './backend.ts';

const VIP = '172.30.0.41';
const ID = `TCP ${VIP}:80`;
const WEB = plan('web', [{ address: VIP, endpoints: ['10.0.0.1', '10.0.0.2'] }, { nodePort: 30_080 }]);
const OTHER = plan('other', [{ address: '172.30.0.42', endpoints: ['10.0.0.3'] }]);

function setService(kernel: LyingKernel, change_: Partial<ServiceSettings>, id = ID): void {
  const found = kernel.table.get(id);
  if (found !== undefined) found.service = { ...found.service, ...change_ };
}

function setServer(kernel: LyingKernel, change_: object, server = '10.0.0.1:8080'): void {
  const found = kernel.table.get(ID)?.destinations;
  const destination = found?.get(server);
  if (destination !== undefined) found?.set(server, { ...destination, ...change_ });
}

const KUBE_SERVICES = ['IPv4', 'nat'] as const;

describe('the comparison of the whole table', () => {
  const had = (fields: string): string => `virtualServer ${ID} had ${fields}`;
  const server = (fields: string): string => `realServers ${ID} 10.0.0.1:8080 had ${fields}`;
  it.each<[string, (kernel: LyingKernel) => void, string[]]>([
    ['a missing virtual server', (kernel) => kernel.table.delete(ID), [`virtualServer ${ID} was missing`]],
    [
      'a missing virtual server of a node port',
      (kernel) => kernel.table.delete('TCP 192.168.0.2:30080'),
      ['virtualServer TCP 192.168.0.2:30080 was missing'],
    ],
    [
      'all virtual servers missing',
      (kernel) => kernel.table.clear(),
      [ID, 'TCP 192.168.0.2:30080', 'TCP 172.30.0.42:80'].map((id) => `virtualServer ${id} was missing`),
    ],
    [
      'another scheduler',
      (kernel) => setService(kernel, { scheduler: 'wlc' }),
      [had('scheduler wlc, flags 0, timeout 0 s, netmask 4294967295')],
    ],
    [
      'other flags',
      (kernel) => setService(kernel, { flags: SERVICE_FLAG.SCHED1 }),
      [had('scheduler rr, flags 8, timeout 0 s, netmask 4294967295')],
    ],
    [
      'another timeout',
      (kernel) => setService(kernel, { timeoutSeconds: 60 }),
      [had('scheduler rr, flags 0, timeout 60 s, netmask 4294967295')],
    ],
    [
      'another netmask',
      (kernel) => setService(kernel, { netmask: 0xffffff00 }),
      [had('scheduler rr, flags 0, timeout 0 s, netmask 4294967040')],
    ],
    [
      'a persistence engine',
      (kernel) => setService(kernel, { persistenceEngine: 'sip' }),
      [had('scheduler rr, flags 0, timeout 0 s, netmask 4294967295')],
    ],
    [
      'another weight',
      (kernel) => setServer(kernel, { weight: 0 }),
      [server('weight 0, masquerade and thresholds 0:0')],
    ],
    [
      'another forwarding method',
      (kernel) => setServer(kernel, { forwarding: 'tunnel' }),
      [server('weight 1, tunnel and thresholds 0:0')],
    ],
    [
      'an upper threshold',
      (kernel) => setServer(kernel, { upperThreshold: 9 }),
      [server('weight 1, masquerade and thresholds 9:0')],
    ],
    [
      'a lower threshold',
      (kernel) => setServer(kernel, { lowerThreshold: 9 }),
      [server('weight 1, masquerade and thresholds 0:9')],
    ],
    [
      'a missing server',
      (kernel) => kernel.table.get(ID)?.destinations.delete('10.0.0.2:8080'),
      [`realServers ${ID} 10.0.0.2:8080 was missing`],
    ],
    [
      'a server too many',
      (kernel) =>
        kernel.table.get(ID)?.destinations.set('10.0.0.9:8080', {
          ...{ address: ip('10.0.0.9'), port: 8080, forwarding: 'masquerade', weight: 1 },
          ...{ upperThreshold: 0, lowerThreshold: 0 },
        }),
      [`realServers ${ID} 10.0.0.9:8080 was there and is not planned`],
    ],
    ['a missing address', (kernel) => kernel.addresses?.delete(ip(VIP)), [`address ${VIP} was missing`]],
    [
      'a missing link',
      (kernel) => void (kernel.addresses = null),
      ['link kube-ipvs0 was missing, with all its addresses'],
    ],
    [
      'a chain that is gone',
      (kernel) => kernel.changeRules(...KUBE_SERVICES, (chains) => chains.delete('KUBE-SERVICES')),
      ['rules rules IPv4 somebody had changed KUBE-SERVICES'],
    ],
    [
      'a rule that is gone',
      (kernel) => kernel.changeRules('IPv6', 'filter', (chains) => chains.get('KUBE-FORWARD')?.shift()),
      ['rules rules IPv6 somebody had changed KUBE-FORWARD'],
    ],
    [
      'a rule too many in our chain',
      (kernel) =>
        kernel.changeRules(...KUBE_SERVICES, (chains) => chains.get('KUBE-POSTROUTING')?.push('-j ACCEPT')),
      ['rules rules IPv4 somebody had changed KUBE-POSTROUTING'],
    ],
    [
      'rules in another order',
      (kernel) => kernel.changeRules(...KUBE_SERVICES, (chains) => chains.get('KUBE-SERVICES')?.reverse()),
      ['rules rules IPv4 somebody had changed KUBE-SERVICES'],
    ],
    [
      'a jump that is gone',
      (kernel) => kernel.changeRules(...KUBE_SERVICES, (chains) => chains.set('PREROUTING', [])),
      ['rules rules IPv4 somebody had changed PREROUTING'],
    ],
  ])('puts right %s, and finds nothing the next time', async (_, drift, repairs) => {
    const { kernel, backend } = await verified([WEB, OTHER]);
    const wanted = stateOf(kernel);
    drift(kernel);
    expect(stateOf(kernel)).not.toBe(wanted);
    await compare(backend);
    expect(stateOf(kernel)).toBe(wanted);
    expect(repairsOf(backend)).toEqual(repairs);
    expect(backend.currentReport()).toMatchObject({ failed: [], leftovers: [], nodeFailures: [] });
    kernel.writes = [];
    await compare(backend);
    expect(kernel.writes).toEqual([]);
    expect(backend.verifier.repairs.total).toBe(repairs.length);
  });

  it('puts right a rule on a kernel that cannot tell that rules changed', async () => {
    class WithoutFingerprint extends LyingKernel {
      override rulesFingerprint(): string {
        return '';
      }
    }
    const { kernel, backend } = await verified([WEB], new WithoutFingerprint());
    kernel.changeRules(...KUBE_SERVICES, (chains) => chains.delete('KUBE-SERVICES'));
    await backend.verifier.checkContainers();
    expect(kernel.chain(...KUBE_SERVICES, 'KUBE-SERVICES')).toEqual([]);
    await compare(backend);
    expect(kernel.chain(...KUBE_SERVICES, 'KUBE-SERVICES')).not.toEqual([]);
  });

  it('leaves what others have: virtual servers, addresses, chains and rules', async () => {
    const { kernel, backend } = await verified([WEB]);
    await kernel.applyIpvs([{ op: 'NEW_SERVICE', service: foreignService('192.0.2.1', 17, 53) }]);
    kernel.addresses?.add(ip('192.0.2.7'));
    kernel.changeRules(...KUBE_SERVICES, (chains) => {
      chains.set('OTHERS', ['-j RETURN']);
      chains.get('PREROUTING')?.unshift('-j OTHERS');
    });
    const before = stateOf(kernel);
    await compare(backend);
    expect(stateOf(kernel)).toBe(before);
    expect(backend.verifier.repairs.total).toBe(0);
  });

  it('writes nothing where nothing is wrong, and reads each thing once', async () => {
    const { kernel, backend } = await verified([WEB, OTHER]);
    await compare(backend);
    expect(kernel.writes).toEqual([]);
    expect(kernel.lists).toHaveLength(new Set(kernel.lists).size);
    expect(kernel.lists.filter((list) => !list.startsWith('set '))).toEqual([
      'service pieces',
      ...[ID, 'TCP 192.168.0.2:30080', 'TCP 172.30.0.42:80'].map((id) => `destinations ${id}`),
      ...['addresses', 'rules IPv4', 'rules IPv6'],
    ]);
  });

  it('counts each repair and tells of each object once', async () => {
    const kernel = new LyingKernel();
    const told: string[] = [];
    const backend = new IpvsBackend(kernel, NODE.families, SETTINGS, {
      onRepair: (repair) => told.push(repairLine(repair)),
    });
    await backend.apply(change([WEB, OTHER], true));
    for (let round = 0; round < 3; round++) {
      kernel.table.delete(ID);
      if (round === 2) kernel.table.delete('TCP 172.30.0.42:80');
      await compare(backend);
    }
    expect(backend.verifier.repairs.count('virtualServer')).toBe(4);
    expect(told).toEqual([ID, 'TCP 172.30.0.42:80'].map((id) => `virtualServer ${id} was missing`));
  });

  it('takes as many slices as it says, about', async () => {
    const many = Array.from({ length: 100 }, (_, index) =>
      plan(`s${index}`, [{ address: `172.30.1.${index}`, endpoints: ['10.0.0.1'] }]),
    );
    const { kernel, backend } = await verified([...many]);
    kernel.pieceSize = 90;
    const { slices } = backend.verifier.status;
    expect(Math.abs((await compare(backend)) - slices)).toBeLessThanOrEqual(2);
    expect(backend.verifier.status).toEqual({ cycles: 1, slice: 0, slices });
    await backend.verifier.checkSlice();
    expect(backend.verifier.status).toEqual({ cycles: 1, slice: 1, slices });
  });
});

describe('cheap checks', () => {
  it('put right switches and rules, and list nothing but headers when nothing is suspect', async () => {
    const { kernel, backend } = await verified([WEB]);
    await backend.verifier.checkContainers();
    expect(kernel.lists).toEqual(['set headers']);
    kernel.switches.set('net/ipv4/vs/conntrack', '0');
    kernel.changeRules(...KUBE_SERVICES, (chains) => chains.set('KUBE-MARK-MASQ', []));
    await backend.verifier.checkContainers();
    expect(repairsOf(backend)).toEqual([
      'switch net/ipv4/vs/conntrack was 0, not 1',
      'rules rules IPv4 somebody had changed KUBE-MARK-MASQ',
    ]);
    expect(kernel.sysctl('net/ipv4/vs/conntrack')).toBe('1');
    kernel.lists = [];
    kernel.writes = [];
    await backend.verifier.checkContainers();
    expect([kernel.lists, kernel.writes]).toEqual([['set headers'], []]);
  });

  it('read rules that others changed once, and leave them', async () => {
    const { kernel, backend } = await verified([WEB]);
    kernel.changeRules('IPv6', 'filter', (chains) => chains.set('OTHERS', ['-j RETURN']));
    for (let round = 0; round < 3; round++) await backend.verifier.checkContainers();
    expect(kernel.lists.filter((list) => list.startsWith('rules'))).toEqual(['rules IPv6']);
    expect(kernel.writes).toEqual([]);
  });

  it('count rules that cannot be restored as a failure of the node, which the retry puts right', async () => {
    const { kernel, backend } = await verified([WEB]);
    const wanted = kernel.dump();
    kernel.changeRules(...KUBE_SERVICES, (chains) => chains.set('KUBE-MARK-MASQ', []));
    kernel.faults.push({ matches: (write) => write.startsWith('RESTORE'), errno: 'ENOMEM', times: 1 });
    await backend.verifier.checkContainers();
    expect(backend.currentReport().nodeFailures).toEqual(['rules IPv4']);
    expect(backend.verifier.repairs.total).toBe(0);
    expect((await backend.retry([])).nodeFailures).toEqual([]);
    expect(kernel.dump()).toBe(wanted);
  });
});

describe('rules', () => {
  const NODE_PORT = plan('np', [{ nodePort: 30_081, endpoints: ['10.0.0.1'], protocol: 'UDP' }]);

  it('that could not be restored and are by a comparison were not changed by somebody else', async () => {
    const { kernel, backend } = await verified([WEB]);
    kernel.faults.push({ matches: (write) => write === 'RESTORE IPv4', errno: 'ENOMEM', times: 2 });
    expect((await backend.apply(change([NODE_PORT]))).nodeFailures).toEqual(['rules IPv4']);
    await compare(backend);
    expect(backend.currentReport().nodeFailures).toEqual([]);
    expect(repairsOf(backend)).toEqual([]);
  });

  it('that are in place by a comparison keep nothing shut any more', async () => {
    const { kernel, backend } = await verified([WEB]);
    kernel.faults.push({ matches: (write) => write === 'RESTORE IPv4', errno: 'ENOMEM', times: 2 });
    const { failed } = await backend.apply(change([NODE_PORT]));
    while (!(await backend.verifier.checkSlice()));
    kernel.table.delete(ID);
    while (!(await backend.verifier.checkSlice()));
    expect([kernel.table.has(ID), backend.currentReport().failed]).toEqual([true, failed]);
  });

  it('that a comparison could not put right let nothing open until they are', async () => {
    const { kernel, backend } = await verified([WEB]);
    const wanted = kernel.dump();
    kernel.changeRules(...KUBE_SERVICES, (chains) => chains.set('KUBE-MARK-MASQ', []));
    kernel.faults.push({ matches: (write) => write === 'RESTORE IPv4', errno: 'ENOMEM', times: 1 });
    await backend.verifier.checkContainers();
    kernel.table.delete(ID);
    await compare(backend);
    expect([kernel.table.has(ID), backend.currentReport().failed]).toEqual([false, [WEB.key]]);
    expect((await backend.retry([WEB.key])).failed).toEqual([]);
    expect(kernel.dump()).toBe(wanted);
  });
});

describe('a Service that fails', () => {
  it('is left to the retry', async () => {
    const { kernel, backend } = await verified([OTHER]);
    kernel.faults.push({
      matches: (write) => write.startsWith('ADD POINTSMAN-VS'),
      errno: 'ENOMEM',
      times: 1,
    });
    const { failed } = await backend.apply(change([WEB]));
    expect(failed).toEqual([WEB.key]);
    kernel.writes = [];
    await compare(backend);
    await backend.verifier.checkContainers();
    backend.verifier.suspectAllAddresses();
    await backend.verifier.repairSuspects();
    expect(kernel.writes).toEqual([]);
    expect(backend.verifier.repairs.total).toBe(0);
    expect((await backend.retry(failed)).failed).toEqual([]);
    await compare(backend);
    expect(backend.verifier.repairs.total).toBe(0);
  });

  it.each<[string, (kernel: LyingKernel) => void]>([
    ['NEW_SERVICE', (kernel) => kernel.table.delete(ID)],
    ['SET_SERVICE', (kernel) => setService(kernel, { scheduler: 'wlc' })],
    ['NEW_DEST', (kernel) => kernel.table.get(ID)?.destinations.delete('10.0.0.1:8080')],
  ])('because %s of its repair is refused is not said to be repaired', async (verb, break_) => {
    const { kernel, backend } = await verified([WEB]);
    break_(kernel);
    kernel.faults.push({ matches: (write) => write.startsWith(`${verb} ${ID}`), errno: 'ENOMEM', times: 1 });
    await compare(backend);
    expect([backend.verifier.repairs.total, backend.currentReport().failed]).toEqual([0, [WEB.key]]);
  });

  it('because its repair is refused is put right by the retry', async () => {
    const { kernel, backend } = await verified([WEB, OTHER]);
    const wanted = stateOf(kernel);
    kernel.table.delete(ID);
    kernel.faults.push({ matches: (write) => write.startsWith('NEW_SERVICE'), errno: 'ENOMEM', times: 1 });
    await compare(backend);
    const { failed } = backend.currentReport();
    expect(failed).toEqual([WEB.key]);
    expect((await backend.retry(failed)).failed).toEqual([]);
    expect(stateOf(kernel)).toBe(wanted);
  });
});
