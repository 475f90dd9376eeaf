import { beforeEach, describe, expect, it } from 'vitest';
import { address } from '../../../test/addresses.ts';
import { KernelError, PointsmanError } from '../../model/errors.ts';
import { serviceKey } from '../../model/names.ts';
import { makeMember, type DesiredVirtualServer } from './desired.ts';
import { Failures } from './failures.ts';
import { emptyDelta, Ledger } from './ledger.ts';
import type { StepOutcome } from './step.ts';

const [WEB, DNS] = [serviceKey('default', 'web'), serviceKey('kube-system', 'dns')];
const VIP = address('10.96.0.1');
const ENOMEM = new KernelError('NEW_DEST', 'TCP 10.96.0.1:80 -> 10.0.0.1:8080', 12, 'ENOMEM');
const PORTAL = makeMember('KUBE-CLUSTER-IP', 'IPv4', { address: VIP, protocol: 6, port: 80 });
const GUARD = makeMember('KUBE-IPVS-IPS', 'IPv4', { address: VIP });
const HAIRPIN = makeMember('KUBE-LOOP-BACK', 'IPv4', {
  ...{ address: address('10.244.1.5'), protocol: 6, port: 8080, address2: address('10.244.1.5') },
});

const outcome = (more: Partial<StepOutcome> = {}): StepOutcome => ({
  operations: 0,
  failedVirtualServers: new Map(),
  failedMembers: [],
  failedAddresses: [],
  presentAddresses: [],
  shutAddresses: [],
  shut: new Set(),
  keptServices: [],
  presentMembers: new Set(),
  withheldMembers: [],
  keptMembers: [],
  ...more,
});

let failures: Failures;
beforeEach(() => void (failures = new Failures()));
const operations = (): string[] =>
  failures
    .operations()
    .map(({ service, object, operation, errno, errnoName }) =>
      `${service ?? 'node'}: ${operation} ${object} ${errno} ${errnoName}`.replaceAll(/ +/g, ' '),
    );

describe('a refusal', () => {
  it('is shown with its Service, object, operation and errno, and as a problem for people', () => {
    failures.noteRefusal(WEB, 'TCP 10.96.0.1:80', ENOMEM);
    expect(failures.operations()).toEqual([
      {
        ...{ service: WEB, isRemoval: false, object: 'TCP 10.96.0.1:80', operation: 'NEW_DEST', errno: 12 },
        ...{ errnoName: 'ENOMEM', message: ENOMEM.message },
      },
    ]);
    expect(failures.problems().get(WEB)).toMatchObject([
      {
        object: 'Service default/web',
        reason: 'KernelRefused',
        message: `TCP 10.96.0.1:80: ${ENOMEM.message}`,
      },
    ]);
  });

  it.each([
    ['of ours bears its code', new PointsmanError('TOOL_FAILED', 'it failed'), 'node: rules 0 TOOL_FAILED'],
    [
      'of the system bears its code',
      Object.assign(new Error('no'), { code: 'EACCES' }),
      'node: rules 0 EACCES',
    ],
    ['that is no error is shown all the same', 'broken', 'node: rules 0 '],
  ])('%s', (_, error, expected) => {
    failures.noteNode('rules', error);
    expect(operations()).toEqual([expected]);
  });

  it('counts once, however often it is noted in a row', () => {
    for (let round = 0; round < 3; round++) failures.noteRefusal(WEB, 'TCP 10.96.0.1:80', ENOMEM);
    expect(operations()).toHaveLength(1);
    failures.noteRefusal(WEB, 'TCP 10.96.0.1:81', ENOMEM);
    expect(operations()).toHaveLength(2);
  });

  it('is forgotten with its Service only', () => {
    failures.noteRefusal(WEB, 'a', ENOMEM);
    failures.noteRefusal(DNS, 'b', ENOMEM);
    failures.forget(WEB);
    expect([failures.keys(), failures.has(WEB), failures.has(DNS)]).toEqual([[DNS], false, true]);
    expect([...failures.problems().keys()]).toEqual([DNS]);
  });

  it('of the node counts until it is settled, the last error of an object only', () => {
    failures.noteNode('rules IPv4', new Error('first'));
    failures.noteNode('rules IPv4', ENOMEM);
    failures.noteNode('a set', ENOMEM);
    expect(failures.nodeObjects()).toEqual(['a set', 'rules IPv4']);
    expect(failures.operations().map(({ message }) => message)).toEqual([ENOMEM.message, ENOMEM.message]);
    failures.settleNode('rules IPv4');
    failures.settleNode('never noted');
    expect(failures.nodeObjects()).toEqual(['a set']);
  });
});

it('lists the failures of the node first, then those of Services, each sorted', () => {
  failures.noteRefusal(DNS, 'z', ENOMEM);
  failures.noteRefusal(WEB, 'y', ENOMEM);
  failures.noteNode('b', ENOMEM);
  failures.noteNode('a', ENOMEM);
  expect(operations().map((line) => line.replace(/ NEW_DEST|12 ENOMEM/g, '').trim())).toEqual([
    ...['node: a', 'node: b', 'default/web: y', 'kube-system/dns: z'],
  ]);
  expect(failures.keys()).toEqual([WEB, DNS]);
});

it('keeps a problem that is no refusal out of the failed operations', () => {
  const problem = {
    object: 'Service default/web',
    field: '',
    reason: 'ForeignVirtualServer',
    message: 'm',
    remedy: 'r',
  };
  failures.note(WEB, problem as never);
  failures.note(WEB, problem as never);
  expect([operations(), failures.problems().get(WEB)]).toEqual([[], [problem]]);
});

describe('what a step could not do', () => {
  function ledgerWith(): Ledger {
    const ledger = new Ledger();
    const virtualServer: DesiredVirtualServer = {
      ...{ id: 'TCP 10.96.0.1:80', realServers: [], isBound: true, isClosedToNode: false },
      service: {
        ...{ family: 'IPv4', protocol: 6, address: VIP, port: 80, scheduler: 'rr' },
        ...{ flags: 0, timeoutSeconds: 0, netmask: 0xffffffff },
      },
      members: [GUARD, PORTAL],
    };
    for (const key of [WEB, DNS])
      ledger.settle(
        key,
        { virtualServers: [virtualServer], members: key === WEB ? [HAIRPIN] : [] },
        emptyDelta(),
      );
    return ledger;
  }
  const refused = (member: typeof PORTAL) => ({
    set: member.set,
    family: member.family,
    member: member.member,
    error: ENOMEM,
  });

  it('fails every Service of the step that needs it, and no other', () => {
    const ledger = ledgerWith();
    failures.noteStep([WEB, DNS], outcome({ failedMembers: [refused(PORTAL), refused(HAIRPIN)] }), ledger);
    expect(failures.operations().map(({ service, object }) => `${service} ${object}`)).toEqual([
      `${WEB} ${HAIRPIN.id}`,
      `${WEB} ${PORTAL.id}`,
      `${DNS} ${PORTAL.id}`,
    ]);
    const later = new Failures();
    later.noteStep([DNS], outcome({ failedAddresses: [{ address: VIP, error: ENOMEM }] }), ledger);
    expect(later.operations().map(({ service, object }) => `${service} ${object}`)).toEqual([
      `${DNS} ${VIP}`,
    ]);
  });

  it('is left over, with the reason, where nobody needs it', () => {
    failures.noteStep(
      [WEB],
      outcome({ failedMembers: [refused(PORTAL)], failedAddresses: [{ address: VIP, error: ENOMEM }] }),
      new Ledger(),
    );
    expect(failures.leftovers.list()).toEqual([VIP, PORTAL.id]);
    expect(failures.keys()).toEqual([]);
    expect(failures.operations()).toMatchObject([
      { service: null, isRemoval: true, object: PORTAL.id, errnoName: 'ENOMEM' },
      { service: null, isRemoval: true, object: VIP, errnoName: 'ENOMEM' },
    ]);
  });

  it('leaves guards over that still guard something, without a failure of their own', () => {
    failures.noteStep([WEB], outcome({ keptMembers: [GUARD] }), new Ledger());
    expect(failures.leftovers.list()).toEqual([GUARD.id]);
    expect(failures.operations()).toEqual([]);
  });
});
