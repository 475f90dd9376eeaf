// The order of listings, also where the comparison contradicts itself.

import { describe, expect, it } from 'vitest';
import type { IpvsDestinationState, IpvsServiceState } from '../kernel/ipvs-codec.ts';
import { sortDestinations, sortServices } from './order.ts';

const service = (text: string): IpvsServiceState => {
  const [protocol = '', address = '', port = ''] = text.split(' ');
  const key =
    protocol === 'FWM'
      ? { family: port === '6' ? 'IPv6' : 'IPv4', fwmark: Number(address) }
      : {
          family: address.includes(':') ? 'IPv6' : 'IPv4',
          protocol: Number(protocol),
          address,
          port: Number(port),
        };
  return { ...key, text } as unknown as IpvsServiceState;
};
const orderOf = (texts: readonly string[]): string[] =>
  sortServices(texts.map(service)).map((each) => (each as unknown as { text: string }).text);

describe('services', () => {
  it('come by mark, family, protocol, address and port', () => {
    const expected = [
      'FWM 4294967295 4',
      '6 10.0.0.1 80',
      '6 10.0.0.1 443',
      '6 10.0.0.2 80',
      '17 10.0.0.1 53',
      '132 10.0.0.1 9',
      '6 fd00::1 80',
      '6 fd00::2 80',
      'FWM 1 4',
      'FWM 1 6',
      'FWM 2 4',
    ];
    expect(orderOf(expected.toReversed())).toEqual(expected);
  });

  it('more than 2^31 apart come the wrong way round, as in the original', () => {
    expect(orderOf(['6 10.0.0.1 80', '6 192.168.0.1 80'])).toEqual(['6 192.168.0.1 80', '6 10.0.0.1 80']);
  });

  it('in a circle come in the order of a merge sort, which depends on where they began', () => {
    const circle = ['6 10.0.0.1 80', '6 100.0.0.1 80', '6 192.0.0.1 80'];
    expect(orderOf(circle)).toEqual([circle[0], circle[1], circle[2]]);
    expect(orderOf([circle[2]!, circle[0]!, circle[1]!])).toEqual([circle[2], circle[0], circle[1]]);
  });
});

describe('real servers', () => {
  it.each([
    ['by address and port', ['10.0.0.2 80', '10.0.0.10 80', '10.0.0.10 81', '10.0.1.1 1']],
    [
      'of both families by the first word of the address, as in the original',
      ['fd31:1::2 80', 'fd31:2::2 80', '10.0.0.1 80', '2001:db8::6 65535'],
    ],
  ])('come %s', (_how, order) => {
    const servers = order.map((text) => {
      const [address, port] = text.split(' ');
      return { address, port: Number(port) } as IpvsDestinationState;
    });
    expect(sortDestinations(servers.toReversed())).toEqual(servers);
  });
});
