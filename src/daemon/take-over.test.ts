// When what a kube-proxy left is removed: on a clock that stands still, with a verifier and rules that are told what to answer.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { FakeTimers, settled } from '../../test/fake-timers.ts';
import type { KernelRules } from '../backends/ipvs/port.ts';
import { formatRule, parseTables } from '../kernel/iptables-text.ts';
import { PointsmanError } from '../model/errors.ts';
import type { Family } from '../model/ip.ts';
import type { RuleInventory } from './cleanup-plan.ts';
import { openLog } from './log.ts';
import { TakeOver } from './take-over.ts';

const FIXTURES = join(import.meta.dirname, '../../test/fixtures/kube-proxy/01-clusterip');
const IPTABLES = readFileSync(join(FIXTURES, 'iptables-legacy/iptables-save.txt'), 'utf8');
const NOTHING: RuleInventory = { rules: [], nftables: [], unread: [] };
const LEFT: RuleInventory = {
  ...NOTHING,
  rules: [{ family: 'IPv4', flavour: 'legacy', tables: parseTables(IPTABLES) }],
  nftables: ['IPv6'],
};
const WHAT = ['iptables-legacy: 12 jumps, 22 chains', 'table ip6 kube-proxy'];
const SLICES = 3;

function ownRules(text: string): KernelRules {
  const chains = [...(parseTables(text).get('nat') ?? [])];
  return new Map([['nat', new Map(chains.map(([name, { rules }]) => [name, rules.map(formatRule)]))]]);
}

function start(
  left: RuleInventory,
  own = '',
  suspects: readonly (readonly [Family, boolean])[] = [['IPv4', true]],
) {
  const world = {
    left,
    obstacle: '',
    rival: null as string | null,
    /** By request, why it is refused. */
    refused: new Map<string, string>(),
    /** Repairs that the next slice makes. */
    repairs: 0,
    requests: [] as string[],
    reads: 0,
    tables: [] as Family[],
  };
  const log: string[] = [];
  const timers = new FakeTimers();
  const verifier = {
    status: { cycles: 0, slice: 0, slices: SLICES },
    repairs: { total: 0 },
    checkSlice: async (): Promise<boolean> => {
      const { cycles, slice } = verifier.status;
      verifier.repairs.total += world.repairs;
      world.repairs = 0;
      const isLast = slice + 1 === SLICES;
      verifier.status = { cycles: cycles + Number(isLast), slice: isLast ? 0 : slice + 1, slices: SLICES };
      return isLast;
    },
  };
  const request = async (what: string): Promise<void> => {
    world.requests.push(what);
    const reason = world.refused.get(what);
    if (reason !== undefined) throw new PointsmanError('TOOL_FAILED', reason);
  };
  const never = (): never => {
    throw new Error('nothing of mode ipvs is removed');
  };
  const takeOver = new TakeOver({
    families: ['IPv4', 'IPv6'],
    kernel: {
      rules: (family: Family) => Promise.resolve(family === 'IPv4' ? ownRules(own) : new Map()),
      createSet: (set, family) => request(`create ${set} ${family}`),
      restoreRules: (family, text) => request(`set aside ${family} ${text.split('\n')[1]}`),
    },
    suspects: new Map(suspects),
    tables: () => world.tables,
    openLeftovers: () =>
      Promise.resolve({
        read: never,
        readRules: () => {
          world.reads++;
          return Promise.resolve(world.left);
        },
        restoreRules: async (family, flavour) => {
          await request(`rules ${family} ${flavour}`);
          world.left = { ...world.left, rules: [] };
        },
        deleteTable: async (family) => {
          await request(`table ${family}`);
          world.left = { ...world.left, nftables: [] };
        },
        unbind: never,
        deleteMembers: never,
        deleteServices: never,
        destroySet: never,
        deleteLink: never,
        close: () => {},
      }),
    verifier,
    obstacle: () => world.obstacle,
    rival: () => Promise.resolve(world.rival),
    beside: (work) => work(),
    onRemoved: () => world.requests.push('flows'),
    log: openLog({ write: (line) => log.push(line), now: () => new Date(0), pid: 1 }),
    timers,
  });
  const sync = async (): Promise<void> => {
    await takeOver.beforeSync();
    takeOver.afterSync();
    for (let turn = 0; turn < 20; turn++) await settled();
  };
  return { world, takeOver, verifier, timers, log, sync };
}

it('looks once where nothing is left, and sets nothing aside', async () => {
  const { world, takeOver, sync, log } = start(NOTHING);
  await sync();
  await sync();
  expect([takeOver.status, world.reads, world.requests, log]).toEqual([
    { state: 'none', what: [], reason: '' },
    1,
    [],
    [],
  ]);
  expect(await takeOver.settled()).toBe('');
});

it.each([
  [
    'no rules were seen that may be left',
    [
      ['IPv4', false],
      ['IPv6', false],
    ],
    '',
    [],
    0,
  ],
  ['none were read yet, and there are none', [], '', [], 0],
  ['none were read yet, and there are some', [], '*nat\n:KUBE-SVC-NPX46M4PTMTKRN6Y - [0:0]\nCOMMIT\n', [], 1],
  ['there is a table of nf_tables', [['IPv4', false]], '', ['IPv6'], 1],
] as const)('%s: looks so often', async (_, suspects, own, tables, looks) => {
  const { world, sync } = start(NOTHING, own, suspects);
  world.tables = [...tables];
  await sync();
  await sync();
  expect(world.reads).toBe(looks);
});

it('does nothing after a sync before which it was not asked', () => {
  const { world, takeOver } = start(LEFT);
  takeOver.afterSync();
  expect(world.reads).toBe(0);
});

it('sets the rules that ours would replace aside before the first sync, once', async () => {
  const { world, takeOver } = start(NOTHING, IPTABLES);
  await takeOver.beforeSync();
  await takeOver.beforeSync();
  expect(world.requests).toEqual([
    'create KUBE-IPVS-IPS IPv4',
    'set aside IPv4 :POINTSMAN-WAS-SERVICES - [0:0]',
  ]);
});

it('lets the first sync go on when they cannot be set aside', async () => {
  const { world, takeOver, log } = start(NOTHING, IPTABLES);
  world.refused.set('create KUBE-IPVS-IPS IPv4', 'no memory');
  await takeOver.beforeSync();
  expect(log.join()).toContain('no memory');
});

it('sets nothing aside of a kube-proxy that runs', async () => {
  const { world, takeOver } = start(NOTHING, IPTABLES);
  world.rival = 'kube-proxy runs';
  await takeOver.beforeSync();
  expect(world.requests).toEqual([]);
});

it('removes what is left after a comparison that found nothing wrong, then has flows looked for', async () => {
  const { world, takeOver, verifier, sync, log } = start(LEFT);
  await sync();
  expect(verifier.status.cycles).toBe(1);
  expect(world.requests).toEqual(['rules IPv4 legacy', 'table IPv6', 'flows']);
  expect(takeOver.status).toEqual({ state: 'done', what: WHAT, reason: '' });
  expect(log.at(-1)).toContain('Removed the rules');
});

it('does not count a comparison that it did not see begin, nor one that found something', async () => {
  const { world, verifier, sync } = start(LEFT);
  verifier.status.slice = 1;
  world.repairs = 0;
  const check = verifier.checkSlice;
  verifier.checkSlice = async () => {
    // Somebody changed something during the first whole comparison.
    if (verifier.status.cycles === 1 && verifier.status.slice === 1) world.repairs = 1;
    return check();
  };
  await sync();
  expect([verifier.status.cycles, world.requests.length]).toEqual([3, 3]);
});

it('waits for what is in the way: a sync that failed, a kube-proxy that runs', async () => {
  const { world, takeOver, timers, sync, log } = start(LEFT);
  world.obstacle = 'TCP 10.96.0.1:443: refused';
  await sync();
  expect(takeOver.status).toEqual({ state: 'waiting', what: WHAT, reason: 'TCP 10.96.0.1:443: refused' });
  expect(await takeOver.settled()).toBe('TCP 10.96.0.1:443: refused');
  world.obstacle = '';
  world.rival = 'kube-proxy runs';
  await timers.advance(5000);
  expect(takeOver.status.reason).toBe('kube-proxy runs');
  expect(log.filter((line) => line.includes('not removed yet'))).toHaveLength(2);
  world.rival = null;
  await timers.advance(1000);
  for (let turn = 0; turn < 20; turn++) await settled();
  expect([takeOver.status.state, takeOver.status.reason]).toEqual(['done', '']);
});

it('tells what was refused, and tries the rest again with a pause that doubles', async () => {
  const { world, takeOver, timers, sync } = start(LEFT);
  world.refused.set('table IPv6', 'owned by a program');
  await sync();
  expect(takeOver.status).toMatchObject({
    state: 'failed',
    reason: 'ip6 kube-proxy: owned by a program',
  });
  expect(world.requests).toEqual(['rules IPv4 legacy', 'table IPv6', 'flows']);
  for (const pauseMs of [1000, 2000, 4000]) {
    expect(timers.delaysMs).toEqual([pauseMs]);
    await timers.advance(pauseMs);
    for (let turn = 0; turn < 20; turn++) await settled();
  }
  world.refused.clear();
  await timers.advance(8000);
  for (let turn = 0; turn < 20; turn++) await settled();
  expect(takeOver.status).toEqual({ state: 'done', what: WHAT, reason: '' });
});

it('does not take for gone what it cannot read any more', async () => {
  const { world, takeOver, timers, sync } = start(LEFT);
  world.obstacle = 'not yet';
  await sync();
  const unread = { kind: 'rules', object: 'iptables-legacy', reason: 'cannot be read: EMFILE' } as const;
  world.left = { ...NOTHING, unread: [unread, { ...unread, object: 'iptables-nft' }] };
  world.obstacle = '';
  await timers.advance(1000);
  for (let turn = 0; turn < 20; turn++) await settled();
  expect(takeOver.status).toMatchObject({
    state: 'failed',
    reason: 'iptables-legacy cannot be read: EMFILE',
  });
  world.left = LEFT;
  await timers.advance(30_000);
  for (let turn = 0; turn < 20; turn++) await settled();
  expect(takeOver.status).toEqual({ state: 'done', what: WHAT, reason: '' });
});

it('tells why it cannot look, and looks again', async () => {
  const { world, takeOver, timers, sync } = start(LEFT);
  const { rules } = LEFT;
  Object.defineProperty(world, 'left', {
    configurable: true,
    get: () => {
      throw new PointsmanError('TOOL_FAILED', 'iptables-save ended with 4');
    },
  });
  await sync();
  expect(takeOver.status).toMatchObject({ state: 'failed', reason: 'iptables-save ended with 4' });
  Object.defineProperty(world, 'left', { value: { ...NOTHING, rules }, writable: true });
  await timers.advance(1000);
  for (let turn = 0; turn < 20; turn++) await settled();
  expect(takeOver.status.state).toBe('done');
});

it('ends with its loop', async () => {
  const { world, takeOver, timers, sync } = start(LEFT);
  world.obstacle = 'not yet';
  await sync();
  await takeOver.stop();
  world.obstacle = '';
  await timers.advance(60_000);
  expect(world.requests).toEqual([]);
});
