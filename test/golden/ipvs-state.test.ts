// The kernel state that kube-proxy 1.36 in mode ipvs was recorded with, and ours for the same objects and configuration: agent, compiler
// and backend on the fake kernel. Left out on both sides: default/kubernetes (10.96.0.1), which is not among the objects, our own set of
// marks, and the kernel switches of connection tracking, which are not this backend's.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { HASH_SIZE } from '../../src/backends/ipvs/sets.ts';
import type { ClusterEvent } from '../../src/model/objects.ts';
import { FakeIpvsKernel } from '../fake-ipvs-kernel.ts';
import { readCase } from './cases.ts';
import { kernelAfter, startCase, syncWhole } from './kernel-state-agent.ts';
import {
  parseKernelState,
  parseSetHeaders,
  readKernelState,
  withoutAddress,
  type KernelState,
} from './kernel-state.ts';

const RECORDED = ['01-clusterip', '02-nodeport-lb-local', '03-affinity-external-dual'];
const API_SERVER = '10.96.0.1';
/** Switches of this backend; recorded beside them: those that follow from ip_forward, and connection tracking's. */
const OURS = /^net\.ipv4\.(vs\..+|ip_forward|conf\.all\.arp_(ignore|announce))$/;

/** "> net.ipv4.ip_forward = 1" is what it became; only what changed was recorded. */
function parseSwitches(text: string): Record<string, string> {
  const changed = [...text.matchAll(/^> (\S+) = (.+)$/gm)].flatMap(([, name = '', value = '']) =>
    OURS.test(name) ? [[name, value] as const] : [],
  );
  return Object.fromEntries(changed);
}

function deletions(events: readonly ClusterEvent[], kinds: readonly string[]): ClusterEvent[] {
  return events.flatMap((event) => {
    if (event.type !== 'apply' || !kinds.includes(event.object.kind)) return [];
    const { namespace = 'default', name = '' } = event.object.metadata ?? {};
    return [{ type: 'delete', kind: event.object.kind, namespace, name } as ClusterEvent];
  });
}

describe.each(RECORDED)('the recorded state of %s', (name) => {
  const golden = readCase(name);
  const recorded = (file: string): string =>
    readFileSync(join(import.meta.dirname, name, 'ipvs', file), 'utf8');
  let kernel: FakeIpvsKernel;
  let ours: KernelState;
  let theirs: KernelState;

  beforeAll(async () => {
    kernel = await kernelAfter(golden, 1);
    ours = await readKernelState(kernel);
    const output = {
      ipvsadm: recorded('ipvsadm-Sn.txt'),
      ipset: recorded('ipset-save.txt'),
      link: recorded('kube-ipvs0.json'),
      iptables: recorded('iptables-save.txt'),
      ip6tables: recorded('ip6tables-save.txt'),
    };
    theirs = withoutAddress(parseKernelState(output), API_SERVER);
  });

  it('has its virtual servers and real servers', () => {
    expect(ours.virtualServers).toEqual(theirs.virtualServers);
  });

  it('has its sets with their members', () => {
    expect(ours.sets).toEqual(theirs.sets);
  });

  it('has its addresses on kube-ipvs0', () => {
    expect(ours.addresses).toEqual(theirs.addresses);
  });

  it.each(['IPv4', 'IPv6'] as const)('has its %s chains and rules in their order', (family) => {
    expect(ours.rules[family]).toEqual(theirs.rules[family]);
  });

  it('has its kernel switches', () => {
    const written = kernel.writes.flatMap((write) => {
      const [, path, value] = /^SYSCTL (\S+)=(.*)$/.exec(write) ?? [];
      return path === undefined ? [] : [[path.replaceAll('/', '.'), value]];
    });
    expect(Object.fromEntries(written)).toEqual(parseSwitches(recorded('sysctl-changed.txt')));
  });

  it('makes sets of the recorded types, families and sizes', () => {
    const ourHeaders = [...kernel.headers].flatMap(([set, { type, family, maxMembers }]) => {
      if (set.startsWith('POINTSMAN')) return [];
      const hashed = `family ${family === 'IPv4' ? 'inet' : 'inet6'} hashsize ${HASH_SIZE} maxelem ${maxMembers}`;
      return [[set, `${type} ${family === null ? 'range 0-65535' : hashed}`]];
    });
    expect(Object.fromEntries(ourHeaders)).toEqual(parseSetHeaders(recorded('ipset-save.txt')));
  });

  it.each([
    ['Services', ['Service']],
    ['Services and EndpointSlices', ['Service', 'EndpointSlice']],
  ])('is empty again when the %s are deleted, but for chains, sets and the link', async (_, kinds) => {
    const events = golden.stages[0]?.events ?? [];
    const gone = new FakeIpvsKernel();
    const started = startCase(golden, gone);
    await syncWhole(started);
    started.agent.onEvents(deletions(events, kinds));
    await syncWhole(started);
    const empty = new FakeIpvsKernel();
    await syncWhole(startCase(golden, empty, []));
    expect(await readKernelState(gone)).toEqual(await readKernelState(empty));
    expect(gone.dump()).toBe(empty.dump());
    expect(gone.sets.get('POINTSMAN-VS')?.size).toBe(0);
  });
});
