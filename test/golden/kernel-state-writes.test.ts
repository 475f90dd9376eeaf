// What an agent writes where the end state does not tell: the order in which chains are declared and jumps inserted, that an address of
// several ports is bound once, and rules for an iptables that knows less.

import { describe, expect, it } from 'vitest';
import type { Family } from '../../src/model/ip.ts';
import { FakeIpvsKernel } from '../fake-ipvs-kernel.ts';
import { deletion, run, service, slice } from './kernel-state-objects.ts';

/** Keeps what iptables-restore was given. */
class RestoringKernel extends FakeIpvsKernel {
  readonly texts: (readonly [Family, string])[] = [];

  override restoreRules(family: Family, text: string): Promise<void> {
    this.texts.push([family, text]);
    return super.restoreRules(family, text);
  }
}

/** iptables before 1.6.2. */
class OldIptablesKernel extends FakeIpvsKernel {
  override hasRandomFully(): boolean {
    return false;
  }
}

describe('the rules at a first start', () => {
  it('are one restore for each family, chains and jumps in a fixed order, table nat first', async () => {
    const kernel = new RestoringKernel();
    await run(kernel, [service('web', { clusterIP: '172.30.0.41', ports: [{ port: 80 }] })]);
    expect(kernel.texts.map(([family]) => family)).toEqual(['IPv4', 'IPv6']);
    for (const [, text] of kernel.texts) {
      const declared = text.split('\n').filter((line) => /^(\*|:|-I|COMMIT)/.test(line));
      const short = declared.map((line) => line.replace(/ -m comment --comment "[^"]*"/, ''));
      expect(short).toEqual([
        '*nat',
        ':KUBE-SERVICES - [0:0]',
        ':KUBE-POSTROUTING - [0:0]',
        ':KUBE-NODE-PORT - [0:0]',
        ':KUBE-LOAD-BALANCER - [0:0]',
        ':KUBE-MARK-MASQ - [0:0]',
        '-I OUTPUT -j KUBE-SERVICES',
        '-I PREROUTING -j KUBE-SERVICES',
        '-I POSTROUTING -j KUBE-POSTROUTING',
        'COMMIT',
        '*filter',
        ':KUBE-FORWARD - [0:0]',
        ':KUBE-NODE-PORT - [0:0]',
        ':KUBE-PROXY-FIREWALL - [0:0]',
        ':KUBE-SOURCE-RANGES-FIREWALL - [0:0]',
        ':KUBE-IPVS-FILTER - [0:0]',
        ':KUBE-IPVS-OUT-FILTER - [0:0]',
        '-I FORWARD -j KUBE-FORWARD',
        '-I INPUT -j KUBE-NODE-PORT',
        '-I INPUT -j KUBE-PROXY-FIREWALL',
        '-I FORWARD -j KUBE-PROXY-FIREWALL',
        '-I INPUT -j KUBE-IPVS-FILTER',
        '-I OUTPUT -j KUBE-IPVS-OUT-FILTER',
        'COMMIT',
      ]);
    }
  });

  it('masquerade without --random-fully where iptables does not know it', async () => {
    const kernel = new OldIptablesKernel();
    await run(kernel, []);
    for (const family of ['IPv4', 'IPv6'] as const) {
      expect((await kernel.rules(family)).get('nat')?.get('KUBE-POSTROUTING')).toEqual([
        '-m mark ! --mark 0x4000/0x4000 -j RETURN',
        '-j MARK --set-xmark 0x4000/0x0',
        '-m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE',
      ]);
    }
  });
});

describe.each([
  ['IPv4', '172.30.0.41', '10.0.1.1'],
  ['IPv6', 'fd00:172:30::41', 'fd00:10::1:1'],
])('the address of a Service with several ports, %s', (family, clusterIP, endpoint) => {
  const PORTS = [
    { name: 'http', port: 80 },
    { name: 'https', port: 443 },
    { name: 'dns', port: 53, protocol: 'UDP' },
  ];
  const web = (count: number) =>
    service('web', { clusterIP, ipFamilies: [family], ports: PORTS.slice(0, count) });

  it('is bound once, stays while one port remains, and is unbound at the end', async () => {
    const kernel = new FakeIpvsKernel();
    const bindings = (): string[] => kernel.writes.filter((write) => /BIND/.test(write));
    const { agent } = await run(kernel, [web(3), slice('web', PORTS, [endpoint])]);
    expect(kernel.table.size).toBe(3);
    expect(bindings()).toEqual([`BIND ${clusterIP}`]);
    for (const count of [2, 1]) {
      kernel.writes = [];
      agent.onEvents([web(count)]);
      await agent.sync('request');
      expect(kernel.table.size).toBe(count);
      expect(bindings()).toEqual([]);
      expect(kernel.addresses).toEqual(new Set([clusterIP]));
    }
    agent.onEvents([deletion('web')]);
    await agent.sync('request');
    expect(kernel.table.size).toBe(0);
    expect(bindings()).toEqual([`UNBIND ${clusterIP}`]);
    expect(kernel.addresses).toEqual(new Set());
  });

  it('is one with that of another Service on other ports, and stays until both are gone', async () => {
    const kernel = new FakeIpvsKernel();
    const other = service('other', { clusterIP, ipFamilies: [family], ports: [{ port: 8443 }] });
    const { agent } = await run(kernel, [web(1), other]);
    for (const name of ['web', 'other']) {
      expect(kernel.addresses).toEqual(new Set([clusterIP]));
      agent.onEvents([deletion(name)]);
      await agent.sync('request');
    }
    expect(kernel.addresses).toEqual(new Set());
    expect(kernel.writes.filter((write) => /BIND/.test(write))).toEqual([
      `BIND ${clusterIP}`,
      `UNBIND ${clusterIP}`,
    ]);
  });
});
