// The kernel state that kube-proxy 1.36 in mode ipvs was recorded with, and ours for the same objects: agent, compiler and backend
// on the fake kernel. Left out on both sides: default/kubernetes (10.96.0.1), which is not among the objects, and our own POINTSMAN-VS.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Table } from '../../src/backends/ipvs/render-rules.ts';
import { kernelSetName, SET_NAMES, SETS } from '../../src/backends/ipvs/sets.ts';
import type { Family } from '../../src/model/ip.ts';
import { Snapshot } from '../../src/model/snapshot.ts';
import { FakeIpvsKernel } from '../fake-ipvs-kernel.ts';
import { startAgent } from '../in-memory-agent.ts';
import { readCase } from './cases.ts';

const NAME = '01-clusterip';
const recorded = (file: string): string =>
  readFileSync(join(import.meta.dirname, NAME, 'ipvs', file), 'utf8');
const { stages, nodeOptions } = readCase(NAME);
const EVENTS = stages[0]?.events ?? [];
const snapshot = new Snapshot();
for (const event of EVENTS) snapshot.apply(event);
const NODE = nodeOptions(snapshot);
const API_SERVER = '10.96.0.1';

/** table -> chain -> rules, without our own chains' counters and without chains that nobody of us touches. */
function parseSave(text: string): Record<string, Record<string, string[]>> {
  const tables: Record<string, Record<string, string[]>> = {};
  let chains: Record<string, string[]> = {};
  for (const line of text.split('\n')) {
    if (line.startsWith('*')) chains = tables[line.slice(1)] = {};
    else if (line.startsWith(':')) chains[line.slice(1).split(' ')[0] ?? ''] = [];
    else if (line.startsWith('-A ')) {
      const [, chain = '', rule = ''] = /^-A (\S+) (.*)$/.exec(line) ?? [];
      chains[chain]?.push(rule);
    }
  }
  return tables;
}

const BUILT_IN: Record<string, string[]> = {
  nat: ['PREROUTING', 'INPUT', 'OUTPUT', 'POSTROUTING'],
  filter: ['INPUT', 'FORWARD', 'OUTPUT'],
};

async function rulesOf(kernel: FakeIpvsKernel, family: Family): Promise<unknown> {
  const found = await kernel.rules(family);
  const tables: Record<string, unknown> = {};
  for (const [table, builtIn] of Object.entries(BUILT_IN)) {
    tables[table] = {
      ...Object.fromEntries(builtIn.map((name) => [name, []])),
      ...Object.fromEntries(found.get(table as Table) ?? []),
    };
  }
  return tables;
}

describe('the state of case 01-clusterip', () => {
  const kernel = new FakeIpvsKernel();
  beforeAll(async () => {
    await startAgent(kernel, NODE, EVENTS).agent.sync('request');
  });

  it.each([
    ['IPv4', 'iptables-save.txt'],
    ['IPv6', 'ip6tables-save.txt'],
  ] as const)('has the recorded %s chains and rules in their order', async (family, file) => {
    expect(await rulesOf(kernel, family)).toEqual(parseSave(recorded(file)));
  });

  it('has the recorded virtual servers and real servers', () => {
    const lines = recorded('ipvsadm-Sn.txt')
      .trim()
      .split('\n')
      .filter((line) => !line.includes(`${API_SERVER}:`));
    const option = { TCP: '-t', UDP: '-u', SCTP: '--sctp-service' } as Record<string, string>;
    const ours = [...kernel.table].flatMap(([id, { service, destinations }]) => {
      const [protocol = '', address] = id.split(' ');
      return [
        `-A ${option[protocol]} ${address} -s ${service.scheduler}`,
        ...[...destinations].map(
          ([server, { weight }]) => `-a ${option[protocol]} ${address} -r ${server} -m -w ${weight}`,
        ),
      ];
    });
    expect(ours.sort()).toEqual(lines.sort());
  });

  it('forwards as recorded; only the order of real servers is our own on each node', () => {
    const listed: string[] = [];
    let current = '';
    for (const line of recorded('ipvsadm-Ln.txt').trim().split('\n').slice(3)) {
      const [first = '', second = '', third = '', weight] = line.trim().split(/\s+/);
      if (first !== '->') current = `${first} ${second} ${third}`;
      listed.push(first === '->' ? `${current} -> ${second} ${third} ${weight}` : current);
    }
    const ours = [...kernel.table].flatMap(([id, { service, destinations }]) => [
      `${id} ${service.scheduler}`,
      ...[...destinations].map(([server, { forwarding, weight }]) => {
        expect(forwarding).toBe('masquerade');
        return `${id} ${service.scheduler} -> ${server} Masq ${weight}`;
      }),
    ]);
    expect(ours.sort()).toEqual(listed.filter((line) => !line.includes(`${API_SERVER}:`)).sort());
  });

  it('has the recorded sets with their members', () => {
    const sets: Record<string, string[]> = {};
    for (const line of recorded('ipset-save.txt').trim().split('\n')) {
      const [verb, name = '', member = ''] = line.split(' ');
      if (verb === 'create') sets[name] = [];
      else if (!member.startsWith(API_SERVER)) sets[name]?.push(member);
    }
    const ours: Record<string, string[]> = {};
    for (const [name, members] of kernel.sets) {
      if (!name.startsWith('POINTSMAN')) ours[name] = [...members.keys()].sort();
    }
    for (const members of Object.values(sets)) members.sort();
    expect(ours).toEqual(sets);
  });

  it('gives sets the recorded types', () => {
    const types: Record<string, string> = {};
    for (const [, name = '', type = ''] of recorded('ipset-save.txt').matchAll(/^create (\S+) (\S+)/gm))
      types[name] = type;
    const ours = SET_NAMES.filter((name) => name !== 'POINTSMAN-VS').flatMap((name) =>
      NODE.families.map((family) => [kernelSetName(name, family), SETS[name].type]),
    );
    expect(Object.fromEntries(ours)).toEqual(types);
  });

  it('has the recorded addresses on kube-ipvs0', () => {
    const [link] = JSON.parse(recorded('kube-ipvs0.json')) as [{ addr_info: { local: string }[] }];
    const addresses = link.addr_info.map(({ local }) => local).filter((address) => address !== API_SERVER);
    expect([...(kernel.addresses ?? [])].sort()).toEqual(addresses.sort());
  });

  it('is empty of Services again when they are deleted, but for chains, sets and the link', async () => {
    const gone = new FakeIpvsKernel();
    const { agent } = startAgent(gone, NODE, EVENTS);
    await agent.sync('request');
    for (const event of EVENTS) {
      if (event.type !== 'apply' || event.object.kind !== 'Service') continue;
      const { namespace, name } = event.object.metadata ?? {};
      agent.onEvents([{ type: 'delete', kind: 'Service', namespace: namespace ?? '', name: name ?? '' }]);
    }
    await agent.sync('request');
    const empty = new FakeIpvsKernel();
    await startAgent(empty, NODE, []).agent.sync('request');
    expect(gone.dump()).toBe(empty.dump());
  });
});
