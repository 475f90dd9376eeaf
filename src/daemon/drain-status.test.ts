// What drains, as status has it, and which drains an operator means.

import { describe, expect, it } from 'vitest';
import { ip } from '../../test/ipvs-plans.ts';
import { OTHER } from '../../test/ipvs-steps.ts';
import { Drains } from '../backends/ipvs/drains.ts';
import { serviceKey } from '../model/names.ts';
import { drainMatcher, drainStatus, matchingDrains } from './drain-status.ts';

/** Three virtual servers, of two Services and of none, with four servers. */
function drains(): Drains {
  const made = new Drains();
  const add = (id: string, address: string, name: [string, string], servers: string[]): void =>
    made.follow(
      { id, key: serviceKey(...name), service: { ...OTHER.service, address: ip(address) } },
      servers.map((each) => ({ address: ip(each), port: 8080 })),
      1000,
      60_000,
    );
  add('TCP 10.96.0.1:80', '10.96.0.1', ['default', 'web'], ['10.244.1.5', '10.244.1.6']);
  add('SCTP 10.96.0.2:80', '10.96.0.2', ['default', 'db'], ['10.244.1.5']);
  add('TCP [fd00:96::1]:80', 'fd00:96::1', ['(gone)', 'TCP [fd00:96::1]:80'], ['fd00::5']);
  return made;
}

const meant = (target: string): string[] =>
  matchingDrains(drains(), drainMatcher(target), 0).map(
    ({ virtualServer, address }) => `${virtualServer} ${address}`,
  );

const WEB = ['TCP 10.96.0.1:80 10.244.1.5:8080', 'TCP 10.96.0.1:80 10.244.1.6:8080'];
const DB = 'SCTP 10.96.0.2:80 10.244.1.5:8080';
const V6 = 'TCP [fd00:96::1]:80 [fd00::5]:8080';

describe('the drains that are meant', () => {
  it.each([
    ['all', [...WEB, DB, V6]],
    ['default/web', WEB],
    ['default/none', []],
    ['TCP 10.96.0.1:80', WEB],
    ['tcp 10.96.0.1:80', WEB],
    ['SCTP 10.96.0.1:80', []],
    ['10.96.0.2:80', [DB]],
    ['10.244.1.5:8080', [WEB[0], DB]],
    ['10.244.1.5', [WEB[0], DB]],
    ['10.96.0.1', WEB],
    ['fd00:96::1', [V6]],
    ['[fd00:96::1]:80', [V6]],
    ['[fd00::5]:8080', [V6]],
    ['fd00::5', [V6]],
    ['10.9.9.9', []],
  ])('by %s', (target, expected) => {
    expect(meant(target)).toEqual(expected);
  });

  it.each(['', 'web', 'a/b/c', '10.96.0.1:x', ':80', 'TCP x', '10.96.0.256', 'udp 10.96.0.1:53'])(
    'by %j are none: it is refused',
    (target) => {
      expect(() => drainMatcher(target)).toThrow(/names no drain; write all, NAMESPACE\/NAME/);
    },
  );
});

it('says how long each has drained and what is left, and how others ended', () => {
  const made = drains();
  made.follow({ ...OTHER, key: serviceKey('a', 'b') }, [{ address: ip('10.0.0.1'), port: 1 }], 0, 1);
  made.drop(OTHER.id);
  const { servers, ended } = drainStatus(made, 31_500);
  expect(servers[0]).toEqual({
    virtualServer: 'TCP 10.96.0.1:80',
    service: 'default/web',
    address: '10.244.1.5:8080',
    activeConnections: 0,
    inactiveConnections: 0,
    drainingForSeconds: 30,
    secondsLeft: 30,
  });
  expect(servers[3]?.service).toBe('');
  expect(ended).toEqual({ drained: 0, deadline: 0, returned: 0, gone: 1 });
});
