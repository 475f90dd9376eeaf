import { beforeEach, describe, expect, it } from 'vitest';
import { FakeIpvsKernel } from '../../../test/fake-ipvs-kernel.ts';
import { SETTINGS } from '../../../test/ipvs-plans.ts';
import { KernelError } from '../../model/errors.ts';
import { UNKNOWN_BEHAVIOUR } from './kernel-behaviour.ts';
import type { IpvsSettings } from './settings.ts';
import { SwitchKeeper } from './switch-keeper.ts';
import { MAX_ESTIMATED_COUNTERS } from './switches.ts';
import { Table } from './table.ts';

const CONNTRACK = 'net/ipv4/vs/conntrack';
const EXPIRE = 'net/ipv4/vs/expire_nodest_conn';
const ARP_IGNORE = 'net/ipv4/conf/all/arp_ignore';
const ESTIMATION = 'net/ipv4/vs/run_estimation';

class RefusingKernel extends FakeIpvsKernel {
  readonly readOnly = new Set<string>();

  override writeSysctl(path: string, value: string): void {
    if (this.readOnly.has(path)) throw new KernelError('write', `/proc/sys/${path}`, 1, 'EPERM');
    super.writeSysctl(path, value);
  }
}

let kernel: RefusingKernel;
let table: Table;
let settings: IpvsSettings;
let objects: number;
let keeper: SwitchKeeper;

beforeEach(() => {
  kernel = new RefusingKernel();
  kernel.switches.set(ESTIMATION, '1');
  table = new Table();
  settings = SETTINGS;
  objects = 0;
  keeper = new SwitchKeeper(
    kernel,
    table,
    () => settings,
    () => ({ objects, servesIPv6: true }),
  );
});

const drifts = (): string[] => keeper.check().map(({ path, found, wanted }) => `${path} ${found} ${wanted}`);

it('writes what differs once', () => {
  expect(keeper.apply()).toBeGreaterThan(0);
  expect(keeper.apply()).toBe(0);
  expect(drifts()).toEqual([]);
});

describe('a switch', () => {
  it('that somebody changed is put right and told, each time', () => {
    keeper.apply();
    for (let round = 0; round < 2; round++) {
      kernel.switches.set(CONNTRACK, '0');
      expect(drifts()).toEqual([`${CONNTRACK} 0 1`]);
      expect(kernel.sysctl(CONNTRACK)).toBe('1');
      expect(drifts()).toEqual([]);
    }
  });

  it('that settings want from now on is written and is no drift; later it is one', () => {
    keeper.apply();
    settings = { ...SETTINGS, strictArp: true };
    expect(drifts()).toEqual([]);
    expect(kernel.sysctl(ARP_IGNORE)).toBe('1');
    kernel.switches.set(ARP_IGNORE, '0');
    expect(drifts()).toEqual([`${ARP_IGNORE} 0 1`]);
  });

  it('that the size of the table wants from now on is no drift, and is let go when the table shrinks', () => {
    const estimation = { result: 'timer', reason: 'seen', canSwitchOff: true, possibleCpus: 1 } as const;
    settings = { ...SETTINGS, behaviour: { ...UNKNOWN_BEHAVIOUR, estimation } };
    keeper.apply();
    expect(kernel.sysctl(ESTIMATION)).toBe('1');
    objects = MAX_ESTIMATED_COUNTERS + 1;
    expect(drifts()).toEqual([]);
    expect(kernel.sysctl(ESTIMATION)).toBe('0');
    kernel.switches.set(ESTIMATION, '1');
    expect(drifts()).toEqual([`${ESTIMATION} 1 0`]);
    objects = 0;
    kernel.switches.set(ESTIMATION, '1');
    expect(drifts()).toEqual([]);
    expect(kernel.sysctl(ESTIMATION)).toBe('1');
  });

  it('that changes from one wanted value to another is no drift', () => {
    settings = { ...SETTINGS, estimation: 'Off' };
    keeper.apply();
    settings = { ...SETTINGS, estimation: 'On' };
    expect(drifts()).toEqual([]);
    expect(kernel.sysctl(ESTIMATION)).toBe('1');
  });

  it('that cannot be written is a failure of the node until it is as wanted, by whomever', () => {
    keeper.apply();
    const breakIt = (): void => {
      kernel.readOnly.add(EXPIRE);
      kernel.switches.set(EXPIRE, '0');
      expect(drifts()).toEqual([]);
      expect(table.failures.nodeObjects()).toEqual([EXPIRE]);
    };
    breakIt();
    kernel.readOnly.clear();
    expect(drifts()).toHaveLength(1);
    expect(table.failures.nodeObjects()).toEqual([]);
    breakIt();
    kernel.switches.set(EXPIRE, '1');
    expect(drifts()).toEqual([]);
    expect(table.failures.nodeObjects()).toEqual([]);
  });

  it('that never was as wanted was not changed by somebody else', () => {
    kernel.readOnly.add(EXPIRE);
    keeper.apply();
    kernel.readOnly.clear();
    expect(drifts()).toEqual([]);
    expect(kernel.sysctl(EXPIRE)).toBe('1');
  });

  it('that is needed and cannot be written stops the apply', () => {
    kernel.readOnly.add(CONNTRACK);
    expect(() => keeper.apply()).toThrow('EPERM');
  });
});
