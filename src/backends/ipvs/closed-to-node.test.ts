import { expect, it } from 'vitest';
import { address } from '../../../test/addresses.ts';
import { familyOf } from '../../model/ip.ts';
import { ClosedToNode, sortServices } from './closed-to-node.ts';
import type { AddressService } from './desired.ts';

function service(text: string, port = 80, protocol = 6): AddressService {
  const [at, family] = [address(text), familyOf(address(text))];
  return {
    ...{ family, protocol, address: at, port, scheduler: 'rr', flags: 0, timeoutSeconds: 0 },
    netmask: family === 'IPv4' ? 0xffffffff : 128,
  };
}

const show = (services: readonly AddressService[]): string[] =>
  services.map(({ address: at, protocol, port }) => `${at} ${protocol} ${port}`);

it('lists those of one family, by the value of the address, then protocol, then port', () => {
  const closed = new ClosedToNode();
  for (const each of [
    service('198.51.100.10'),
    service('198.51.100.9', 443),
    service('198.51.100.9', 80, 17),
    service('2001:db8::9'),
    service('198.51.100.9', 80),
  ])
    closed.acquire(each);
  expect(show(closed.list('IPv4'))).toEqual([
    '198.51.100.9 6 80',
    '198.51.100.9 6 443',
    '198.51.100.9 17 80',
    '198.51.100.10 6 80',
  ]);
  expect(show(closed.list('IPv6'))).toEqual(['2001:db8::9 6 80']);
});

it('keeps what was acquired twice until it was released twice', () => {
  const closed = new ClosedToNode();
  closed.acquire(service('198.51.100.9'));
  closed.acquire(service('198.51.100.9'));
  closed.release(service('198.51.100.9'));
  expect(show(closed.list('IPv4'))).toEqual(['198.51.100.9 6 80']);
  closed.release(service('198.51.100.9'));
  expect(closed.list('IPv4')).toEqual([]);
});

it('gives the same list until it changes, so that unchanged rules are known by a glance', () => {
  const closed = new ClosedToNode();
  const none = closed.list('IPv4');
  expect(closed.list('IPv4')).toBe(none);
  closed.acquire(service('198.51.100.9'));
  const one = closed.list('IPv4');
  expect(one).not.toBe(none);
  closed.acquire(service('198.51.100.9'));
  closed.release(service('198.51.100.9'));
  closed.acquire(service('2001:db8::9'));
  expect(closed.list('IPv4')).toBe(one);
  closed.release(service('198.51.100.9'));
  expect(closed.list('IPv4')).toEqual([]);
});

it('lists those that are about to come too, each once, and the same list when it knows all of them', () => {
  const closed = new ClosedToNode();
  closed.acquire(service('198.51.100.9'));
  const coming = ['198.51.100.10', '198.51.100.9', '198.51.100.8', '198.51.100.8', '2001:db8::9'];
  expect(
    show(
      closed.listWith(
        'IPv4',
        coming.map((text) => service(text)),
      ),
    ),
  ).toEqual(['198.51.100.8 6 80', '198.51.100.9 6 80', '198.51.100.10 6 80']);
  expect(closed.listWith('IPv4', [service('198.51.100.9')])).toBe(closed.list('IPv4'));
});

it('sorts in place', () => {
  const services = [service('198.51.100.10'), service('198.51.100.9')];
  expect(sortServices(services)).toBe(services);
  expect(show(services)).toEqual(['198.51.100.9 6 80', '198.51.100.10 6 80']);
});
