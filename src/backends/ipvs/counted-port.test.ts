// The counting port: what goes through is the same with it as without it, and every write and every failure is in the counts.

import { describe, expect, it } from 'vitest';
import { FakeIpvsKernel } from '../../../test/fake-ipvs-kernel.ts';
import { startAgent } from '../../../test/in-memory-agent.ts';
import { PLAIN_NODE } from '../../../test/nodes.ts';
import { KernelError, PointsmanError } from '../../model/errors.ts';
import { parseIp, type IpAddress } from '../../model/ip.ts';
import type { ClusterEvent } from '../../model/objects.ts';
import type { IpvsOperation } from '../../kernel/ipvs.ts';
import type { SetMember } from '../../kernel/ipset-codec.ts';
import {
  CountedPort,
  KERNEL_WRITES,
  MAX_FAILURE_PAIRS,
  type CountedOperation,
  type KernelWrite,
} from './counted-port.ts';
import type { IpvsKernelPort } from './port.ts';

const ip = (text: string): IpAddress => parseIp(text) as IpAddress;
const service = {
  family: 'IPv4',
  protocol: 6,
  address: ip('10.96.0.1'),
  port: 443,
  scheduler: 'rr',
  flags: 0,
  timeoutSeconds: 0,
  netmask: 0xffffffff,
} as const;
const destination = {
  address: ip('10.244.1.5'),
  port: 6443,
  forwarding: 'masquerade',
  weight: 1,
  upperThreshold: 0,
  lowerThreshold: 0,
} as const;
const member: SetMember = { protocol: 6, port: 443, address: ip('10.96.0.1') } as never;
const change = { set: 'KUBE-CLUSTER-IP', family: 'IPv4', members: [member, member] } as const;
const addresses = [ip('10.96.0.1'), ip('10.96.0.2'), ip('10.96.0.3')];

/** Every method of the port, once, with what one call counts. */
const CALLS: readonly (readonly [
  method: keyof IpvsKernelPort,
  call: (port: IpvsKernelPort) => unknown,
  operation: CountedOperation,
  writes: number,
])[] = [
  ['services', (port) => port.services(), 'read', 0],
  ['servicePieces', (port) => gather(port.servicePieces()), 'read', 0],
  ['service', (port) => port.service(service), 'read', 0],
  ['destinations', (port) => port.destinations(service), 'read', 0],
  ['timeouts', (port) => port.timeouts(), 'read', 0],
  ['setMembers', (port) => port.setMembers('KUBE-CLUSTER-IP', 'IPv4'), 'read', 0],
  ['setHeaders', (port) => port.setHeaders(), 'read', 0],
  ['boundAddresses', (port) => port.boundAddresses(), 'read', 0],
  ['rules', (port) => port.rules('IPv4'), 'read', 0],
  ['rulesFingerprint', (port) => port.rulesFingerprint('IPv4'), 'read', 0],
  ['sysctl', (port) => port.sysctl('net/ipv4/ip_forward'), 'read', 0],
  ['hasRandomFully', (port) => port.hasRandomFully('IPv4'), 'read', 0],
  ['createSet', (port) => port.createSet('KUBE-CLUSTER-IP', 'IPv4'), 'set_create', 1],
  ['growSet', (port) => port.growSet('KUBE-CLUSTER-IP', 'IPv4', 131_072), 'set_grow', 1],
  ['addMembers', (port) => port.addMembers([change, change]), 'member_add', 4],
  ['deleteMembers', (port) => port.deleteMembers([change]), 'member_delete', 2],
  ['createLink', (port) => port.createLink(), 'link_create', 1],
  ['bind', (port) => port.bind(addresses), 'address_add', 3],
  ['unbind', (port) => port.unbind(addresses), 'address_delete', 3],
  ['restoreRules', (port) => port.restoreRules('IPv4', '*nat\nCOMMIT\n'), 'rules_restore', 1],
  ['writeSysctl', (port) => port.writeSysctl('net/ipv4/ip_forward', '1'), 'sysctl_write', 1],
];

async function gather<Item>(pieces: AsyncIterable<readonly Item[]>): Promise<Item[]> {
  const all: Item[] = [];
  for await (const piece of pieces) all.push(...piece);
  return all;
}

/** A port whose every method fails in the way in which that method does: at once, with its promise, or while it is gone through. */
function failingPort(error: unknown): IpvsKernelPort {
  const kernel = new FakeIpvsKernel();
  return new Proxy<IpvsKernelPort>(kernel, {
    get(_, method: keyof IpvsKernelPort) {
      if (method === 'servicePieces')
        // eslint-disable-next-line require-yield -- it fails before its first piece
        return async function* () {
          throw error;
        };
      return () => {
        throw error;
      };
    },
  });
}

function writesOf(port: CountedPort): Partial<Record<KernelWrite, number>> {
  return Object.fromEntries(
    KERNEL_WRITES.map((write) => [write, port.writes(write)]).filter(([, count]) => count !== 0),
  ) as Partial<Record<KernelWrite, number>>;
}

const events: readonly ClusterEvent[] = ['web', 'api'].flatMap((name, index) => {
  const metadata = { namespace: 'default', name };
  const spec = { clusterIP: `10.96.0.${index + 1}`, ports: [{ port: 80 }] };
  const slice = {
    kind: 'EndpointSlice',
    metadata: { ...metadata, labels: { 'kubernetes.io/service-name': name } },
    addressType: 'IPv4',
    ports: [{ port: 8080, protocol: 'TCP' }],
    endpoints: [{ addresses: [`10.244.1.${index + 1}`], conditions: { ready: true } }],
  };
  return [{ kind: 'Service', metadata, spec }, slice].map(
    (object): ClusterEvent => ({ type: 'apply', object }) as never,
  );
});

describe('a counted port', () => {
  it('has a case for every method below but applyIpvs', () => {
    const port = new CountedPort(new FakeIpvsKernel());
    const own = new Set(['constructor', 'writes', 'failures', 'restoreFailures', 'applyIpvs']);
    const internal = /^(attempt|attemptNow|writeOne|writeEach|countPassing|countFailure)$/;
    const methods = Object.getOwnPropertyNames(Object.getPrototypeOf(port)).filter(
      (name) => !own.has(name) && !internal.test(name),
    );
    expect(CALLS.map(([method]) => method).sort()).toEqual(methods.sort());
  });

  it('counts the restores that failed of each family apart', async () => {
    const refused = new PointsmanError('TOOL_FAILED', 'iptables-restore: line 3 failed');
    const port = new CountedPort(failingPort(refused));
    for (const family of ['IPv6', 'IPv4', 'IPv6'] as const)
      await expect(port.restoreRules(family, '*nat\nCOMMIT\n')).rejects.toBe(refused);
    expect([port.restoreFailures('IPv4'), port.restoreFailures('IPv6')]).toEqual([1, 2]);
    expect(port.failures()).toEqual([{ operation: 'rules_restore', errno: 'TOOL_FAILED', count: 3 }]);
    const working = new CountedPort(new FakeIpvsKernel());
    await working.restoreRules('IPv4', '*nat\nCOMMIT\n');
    expect(working.restoreFailures('IPv4')).toBe(0);
  });

  it.each(CALLS)('answers %s as the port behind it, and counts what it writes', async (...row) => {
    const [, call, operation, writes] = row;
    const prepare = async (kernel: FakeIpvsKernel): Promise<FakeIpvsKernel> => {
      await kernel.createSet('KUBE-CLUSTER-IP', 'IPv4');
      await kernel.createLink();
      await kernel.applyIpvs([
        { op: 'NEW_SERVICE', service },
        { op: 'NEW_DEST', service, destination },
      ]);
      await kernel.bind([ip('10.96.0.2')]);
      return kernel;
    };
    const [plain, behind] = [await prepare(new FakeIpvsKernel()), await prepare(new FakeIpvsKernel())];
    const port = new CountedPort(behind);
    const [expected, answer] = [call(plain), call(port)];
    expect(answer instanceof Promise).toBe(expected instanceof Promise);
    expect(await answer).toEqual(await expected);
    expect(behind.writes).toEqual(plain.writes);
    expect(writesOf(port)).toEqual(writes === 0 ? {} : { [operation]: writes });
    expect(port.failures()).toEqual([]);
  });

  it.each(CALLS)('counts a %s that throws, and throws the same', async (...row) => {
    const [, call, operation] = row;
    const error = new PointsmanError('KERNEL_TIMEOUT', 'the kernel did not answer');
    const port = new CountedPort(failingPort(error));
    await expect((async () => call(port))()).rejects.toBe(error);
    expect(port.failures()).toEqual([{ operation, errno: 'KERNEL_TIMEOUT', count: 1 }]);
  });

  it.each<[string, unknown, string]>([
    ['its errno for what the kernel refuses', new KernelError('link add', 'a', 12, 'ENOMEM'), 'ENOMEM'],
    ['its code for an error of ours', new PointsmanError('TOOL_FAILED', 'it ended with 4'), 'TOOL_FAILED'],
    ['its code for one of Node', Object.assign(new Error('no'), { code: 'EACCES' }), 'EACCES'],
    ['"unexpected" for a mistake of ours', new TypeError('undefined is not a function'), 'unexpected'],
    ['"unexpected" for what is no error', 'text', 'unexpected'],
  ])('names %s', async (_, error, errno) => {
    const port = new CountedPort(failingPort(error));
    await expect(port.createLink()).rejects.toBe(error);
    expect(port.failures()).toEqual([{ operation: 'link_create', errno, count: 1 }]);
  });

  it('counts operations of IPVS by command, and those that come back refused', async () => {
    const kernel = new FakeIpvsKernel();
    kernel.faults.push({ matches: (write) => write.startsWith('NEW_DEST'), errno: 'ENOMEM', times: 2 });
    const port = new CountedPort(kernel);
    const operations: IpvsOperation[] = [
      { op: 'NEW_SERVICE', service },
      { op: 'NEW_SERVICE', service },
      ...[1, 2, 3].map((n): IpvsOperation => ({
        op: 'NEW_DEST',
        service,
        destination: { ...destination, port: n },
      })),
      { op: 'SET_DEST', service, destination: { ...destination, port: 3 } },
      { op: 'DEL_DEST', service, destination: { ...destination, port: 3 } },
      { op: 'SET_SERVICE', service },
      { op: 'DEL_SERVICE', service },
      { op: 'SET_CONFIG', timeouts: { tcpSeconds: 9000 } },
      { op: 'FLUSH' },
    ];
    const failures = await port.applyIpvs(operations);
    expect(failures.map(({ error }) => error.errnoName)).toEqual(['EEXIST', 'ENOMEM', 'ENOMEM']);
    expect(writesOf(port)).toEqual({
      NEW_SERVICE: 2,
      NEW_DEST: 3,
      SET_DEST: 1,
      DEL_DEST: 1,
      SET_SERVICE: 1,
      DEL_SERVICE: 1,
      SET_CONFIG: 1,
      ipvs_other: 1,
    });
    expect(port.failures()).toEqual([
      { operation: 'NEW_SERVICE', errno: 'EEXIST', count: 1 },
      { operation: 'NEW_DEST', errno: 'ENOMEM', count: 2 },
    ]);
  });

  it('counts a batch whose answer is lost as one failure, its operations as sent', async () => {
    const kernel = new FakeIpvsKernel();
    kernel.losesNextAnswer = true;
    const port = new CountedPort(kernel);
    await expect(port.applyIpvs([{ op: 'NEW_SERVICE', service }])).rejects.toMatchObject({
      code: 'KERNEL_OVERRUN',
    });
    expect(writesOf(port)).toEqual({ NEW_SERVICE: 1 });
    expect(port.failures()).toEqual([{ operation: 'ipvs_batch', errno: 'KERNEL_OVERRUN', count: 1 }]);
  });

  it('takes operations one at a time, when the port behind it asks for them, and closes what gives them', async () => {
    let made = 0;
    let isClosed = false;
    function* operations(): Generator<IpvsOperation> {
      try {
        for (;;) {
          made++;
          yield { op: 'NEW_SERVICE', service };
        }
      } finally {
        isClosed = true;
      }
    }
    const kernel = new FakeIpvsKernel();
    kernel.applyIpvs = async (given) => {
      for (const _ of given) if (made === 3) break;
      return [];
    };
    const port = new CountedPort(kernel);
    await port.applyIpvs(operations());
    expect({ made, isClosed, counted: port.writes('NEW_SERVICE') }).toEqual({
      made: 3,
      isClosed: true,
      counted: 3,
    });
  });

  it('counts refused members and addresses one by one', async () => {
    const kernel = new FakeIpvsKernel();
    await kernel.createSet('KUBE-CLUSTER-IP', 'IPv4');
    kernel.faults.push({ matches: (write) => write.startsWith('ADD'), errno: 'ENOMEM', times: 2 });
    kernel.faults.push({ matches: (write) => write.startsWith('UNBIND'), errno: 'ENOMEM', times: 3 });
    const port = new CountedPort(kernel);
    await port.addMembers([change]);
    await port.bind(addresses);
    await port.unbind(addresses);
    expect(port.failures()).toEqual([
      { operation: 'member_add', errno: 'ENOMEM', count: 2 },
      { operation: 'address_add', errno: 'ENODEV', count: 3 },
      { operation: 'address_delete', errno: 'ENOMEM', count: 3 },
    ]);
  });

  it('gives back a listing that is left early', async () => {
    const kernel = new FakeIpvsKernel();
    let isClosed = false;
    kernel.servicePieces = async function* () {
      try {
        for (;;) yield [service];
      } finally {
        isClosed = true;
      }
    };
    for await (const _ of new CountedPort(kernel).servicePieces()) break;
    expect(isClosed).toBe(true);
  });

  it(`tells ${MAX_FAILURE_PAIRS} pairs of operation and errno apart, and no more`, async () => {
    const kernel = new FakeIpvsKernel();
    let errno = 0;
    kernel.createLink = () => Promise.reject(new KernelError('link add', '', ++errno, `E${errno}`));
    kernel.createSet = () => Promise.reject(new KernelError('ipset create', '', 1, 'EPERM'));
    const port = new CountedPort(kernel);
    const fail = () => expect(port.createLink()).rejects.toBeInstanceOf(KernelError);
    for (let i = 0; i < MAX_FAILURE_PAIRS + 100; i++) await fail();
    for (let i = 0; i < 3; i++)
      await expect(port.createSet('KUBE-CLUSTER-IP', 'IPv4')).rejects.toBeInstanceOf(KernelError);
    errno = 0;
    await fail();
    const failures = port.failures();
    expect(failures).toHaveLength(MAX_FAILURE_PAIRS + 2);
    expect(failures[0]).toEqual({ operation: 'link_create', errno: 'E1', count: 2 });
    expect(failures.slice(-2)).toEqual([
      { operation: 'link_create', errno: 'other', count: 100 },
      { operation: 'set_create', errno: 'other', count: 3 },
    ]);
  });

  it('is not noticed by the backend: same writes, same state, each of them counted', async () => {
    const [plain, behind] = [new FakeIpvsKernel(), new FakeIpvsKernel()];
    const port = new CountedPort(behind);
    for (const used of [plain, port]) {
      const { agent } = startAgent(used, { ...PLAIN_NODE, families: ['IPv4'] }, events);
      await agent.sync('request');
      agent.onEvents(events.map(deletionOf));
      await agent.sync('request');
    }
    expect(behind.writes).toEqual(plain.writes);
    const counted = KERNEL_WRITES.reduce((sum, write) => sum + port.writes(write), 0);
    expect(counted).toBe(behind.writes.length);
    expect(writesOf(port)).toMatchObject({ NEW_SERVICE: 2, NEW_DEST: 2, DEL_SERVICE: 2, address_add: 2 });
  });
});

function deletionOf(event: ClusterEvent): ClusterEvent {
  if (event.type !== 'apply') return event;
  const { kind, metadata } = event.object;
  return { type: 'delete', kind, namespace: metadata?.namespace ?? '', name: metadata?.name ?? '' };
}
