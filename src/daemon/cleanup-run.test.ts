// A plan carried out on a kernel that refuses: what is unsafe behind a refusal stays, all else goes, and a second run goes to the end.

import { describe, expect, it } from 'vitest';
import { address } from '../../test/addresses.ts';
import type { Removal } from '../backends/removal.ts';
import { formatMember, type SetMember } from '../kernel/ipset-codec.ts';
import { formatServiceKey, type ServiceKey } from '../kernel/ipvs-codec.ts';
import { KernelError, PointsmanError } from '../model/errors.ts';
import type { NodeInventory } from './cleanup-plan.ts';
import { carryOut, type CleanupPort, type CleanupReport } from './cleanup-run.ts';

/** Writes down every request, and refuses what `refused` names. */
class RefusingPort implements CleanupPort {
  readonly requests: string[] = [];
  private readonly refused: ReadonlySet<string>;

  constructor(refused: readonly string[]) {
    this.refused = new Set(refused);
  }

  read(): Promise<NodeInventory> {
    return Promise.reject(new Error('a plan is given'));
  }

  private many<T>(
    what: string,
    values: readonly T[],
    name: (value: T) => string,
  ): Map<number, PointsmanError> {
    this.requests.push(`${what} ${values.map(name).join(' ')}`);
    return new Map(
      values.flatMap((value, index) =>
        this.refused.has(name(value))
          ? [[index, new KernelError(what, name(value), 16, 'EBUSY')] as const]
          : [],
      ),
    );
  }

  private async one(what: string, name: string): Promise<void> {
    for (const [, error] of this.many(what, [name], (value) => value)) throw error;
  }

  unbind = (values: readonly string[]) => Promise.resolve(this.many('unbind', values, (each) => each));
  deleteMembers = (set: string, values: readonly SetMember[]) =>
    Promise.resolve(this.many(`del ${set}`, values, formatMember));
  deleteServices = (values: readonly ServiceKey[]) =>
    Promise.resolve(this.many('DEL_SERVICE', values, formatServiceKey));
  restoreRules = (family: string, flavour: string) => this.one('restore', `${family} ${flavour}`);
  deleteTable = (family: string) => this.one('table', family);
  destroySet = (name: string) => this.one('destroy', name);
  deleteLink = (name: string) => this.one('link', name);
}

const virtualServer = (ip: string): Removal => ({
  kind: 'virtualServer',
  family: 'IPv4',
  service: { family: 'IPv4', protocol: 6, address: address(ip), port: 80 },
});
const member = (set: string, ip: string, role: 'pass' | 'guard'): Removal => ({
  kind: 'member',
  family: 'IPv4',
  set,
  member: { address: address(ip), protocol: 6, port: 80 },
  role,
});
const rules = (family: 'IPv4' | 'IPv6', flavour: 'nft' | 'legacy', guardsIpvs = true): Removal => ({
  kind: 'rules',
  family,
  flavour,
  text: '*nat\nCOMMIT\n',
  jumps: [],
  chains: [{ table: 'nat', name: 'KUBE-SERVICES' }],
  guardsIpvs,
});
const PLAN: readonly Removal[] = [
  { kind: 'address', family: 'IPv4', address: address('10.96.0.1') },
  { kind: 'address', family: 'IPv4', address: address('10.96.0.2') },
  member('A', '10.96.0.1', 'pass'),
  member('B', '10.96.0.1', 'pass'),
  virtualServer('10.96.0.1'),
  virtualServer('10.96.0.2'),
  member('A', '10.96.0.1', 'guard'),
  rules('IPv4', 'nft'),
  rules('IPv4', 'legacy', false),
  rules('IPv6', 'nft'),
  { kind: 'table', family: 'IPv4', name: 'kube-proxy' },
  { kind: 'set', family: 'IPv4', name: 'A' },
  { kind: 'set', family: 'IPv6', name: 'A6' },
  { kind: 'link', name: 'kube-ipvs0' },
];

const run = async (refused: readonly string[]): Promise<[RefusingPort, CleanupReport]> => {
  const port = new RefusingPort(refused);
  return [port, await carryOut({ removals: PLAN, kept: [] }, port)];
};
const objects = (list: readonly { kind: string; object: string }[]): string[] =>
  list.map(({ kind, object }) => `${kind} ${object}`);

it('goes in the order of the plan, neighbours of a kind together', async () => {
  const [port, report] = await run([]);
  expect(port.requests).toEqual([
    'unbind 10.96.0.1 10.96.0.2',
    'del A 10.96.0.1,tcp:80',
    'del B 10.96.0.1,tcp:80',
    'DEL_SERVICE TCP 10.96.0.1:80 TCP 10.96.0.2:80',
    'del A 10.96.0.1,tcp:80',
    'restore IPv4 nft',
    'restore IPv4 legacy',
    'restore IPv6 nft',
    'table IPv4',
    'destroy A',
    'destroy A6',
    'link kube-ipvs0',
  ]);
  expect([report.removed.length, report.failed, report.left]).toEqual([PLAN.length, [], []]);
});

const GUARDS = ['member A 10.96.0.1,tcp:80', 'chain iptables-nft nat KUBE-SERVICES', 'set A'];

describe('behind a refusal', () => {
  it.each<[string, refused: string[], failed: string[], left: string[]]>([
    [
      'an address keeps its virtual server, the guards of its family and the link',
      ['10.96.0.1'],
      ['address 10.96.0.1'],
      ['virtualServer TCP 10.96.0.1:80', ...GUARDS, 'link kube-ipvs0'],
    ],
    [
      'what lets packets through keeps the virtual server and the guards',
      ['10.96.0.1,tcp:80'],
      ['member A 10.96.0.1,tcp:80', 'member B 10.96.0.1,tcp:80'],
      ['virtualServer TCP 10.96.0.1:80', ...GUARDS],
    ],
    ['a virtual server keeps the guards', ['TCP 10.96.0.2:80'], ['virtualServer TCP 10.96.0.2:80'], GUARDS],
    [
      'rules keep the sets of their family',
      ['IPv6 nft'],
      ['chain ip6tables-nft nat KUBE-SERVICES'],
      ['set A6'],
    ],
    ['a table keeps nothing', ['IPv4'], ['table ip kube-proxy'], []],
    ['a set keeps nothing', ['A'], ['set A'], []],
  ])('%s', async (_what, refused, failed, left) => {
    const [, report] = await run(refused);
    expect([objects(report.failed), objects(report.left)]).toEqual([failed, left]);
    expect(report.failed[0]?.error).toContain('EBUSY (errno 16)');
    expect(report.removed).toHaveLength(PLAN.length - failed.length - left.length);
  });
});

it('counts every object of a batch whose answer was lost as failed, and goes on', async () => {
  const port = new RefusingPort([]);
  port.deleteServices = () => Promise.reject(new PointsmanError('KERNEL_OVERRUN', 'replies were lost'));
  const report = await carryOut({ removals: PLAN, kept: [] }, port);
  expect(objects(report.failed)).toEqual([
    'virtualServer TCP 10.96.0.1:80',
    'virtualServer TCP 10.96.0.2:80',
  ]);
  expect(objects(report.removed)).toContain('link kube-ipvs0');
});

it('ends with a mistake of the program', async () => {
  const port = new RefusingPort([]);
  port.deleteLink = () => Promise.reject(new TypeError('no'));
  await expect(carryOut({ removals: PLAN, kept: [] }, port)).rejects.toThrow('no');
});
