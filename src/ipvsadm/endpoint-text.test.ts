// ADDRESS[:PORT] in and out.

import { describe, expect, it } from 'vitest';
import type { NameService } from '../kernel/name-service.ts';
import type { IpAddress } from '../model/ip.ts';
import { EndpointFormatter, parseEndpoint } from './endpoint-text.ts';

const LONG = 'averyveryverylonghostname.with.a.long.domain.example.org';
const PORTS: Readonly<Record<string, number>> = { 'http tcp': 80, 'ntp udp': 123 };
const asked: string[] = [];
const names: NameService = {
  addressOfHost: (name) => (name === 'web' ? ('10.0.0.7' as IpAddress) : null),
  hostOfAddress: (address) => {
    asked.push(address);
    return { '10.0.0.7': 'web', '10.0.0.8': LONG, 'fd00::7': LONG }[address as string] ?? null;
  },
  portOfService: (name, transport) => PORTS[`${name} ${transport}`] ?? null,
  serviceOfPort: (port, transport) => (port === 80 && transport === 'tcp' ? 'http' : null),
};

describe('reading', () => {
  it.each([
    ['10.0.0.1:80', '10.0.0.1 80'],
    ['10.0.0.1', '10.0.0.1 -'],
    ['10.1:http', '10.0.0.1 80'],
    ['web:http', '10.0.0.7 80'],
    ['web', '10.0.0.7 -'],
    ['[fd00::1]:80', 'fd00::1 80'],
    ['fd00::1', 'fd00::1 -'],
    ['fd00::1:80', 'fd00::1:80 -'],
    ['[10.0.0.1]:80', '10.0.0.1 -'],
    ['10.0.0.1: 80', '10.0.0.1 80'],
    ['10.0.0.1 x:80', '10.0.0.1 80'],
  ])('%s is %s', (text, expected) => {
    const endpoint = parseEndpoint(text, 6, names);
    expect(endpoint === null ? null : `${endpoint.address} ${endpoint.port ?? '-'}`).toBe(expected);
  });

  it.each([
    '',
    '80',
    '10.0.0.1:',
    '10.0.0.1:65536',
    '10.0.0.1:-1',
    '10.0.0.1:ntp',
    'nohost:80',
    '[fd00::1]',
    '[fd00::1',
    '[fd00::1]80',
    '[fd00::1]:',
    'fe80::1%lo',
    '999.0.0.1:80',
  ])('%j is none', (text) => {
    expect(parseEndpoint(text, 6, names)).toBeNull();
  });

  it('knows the names of its protocol only, and none without one', () => {
    expect(parseEndpoint('10.0.0.1:http', 6, names)?.port).toBe(80);
    expect(parseEndpoint('10.0.0.1:http', 0, names)).toBeNull();
    expect(parseEndpoint('10.0.0.1:ntp', 17, names)?.port).toBe(123);
  });
});

describe('writing', () => {
  const ip = (text: string): IpAddress => text as IpAddress;
  it('uses numbers', () => {
    const numbers = new EndpointFormatter(null);
    expect(numbers.format(ip('10.0.0.7'), 80, 6)).toBe('10.0.0.7:80');
    expect(numbers.format(ip('fd00::7'), 80, 6)).toBe('[fd00::7]:80');
  });

  it('uses names, where there are some, and cuts long ones as the original does', () => {
    const named = new EndpointFormatter(names);
    expect(named.format(ip('10.0.0.7'), 80, 6)).toBe('web:http');
    expect(named.format(ip('10.0.0.7'), 80, 17)).toBe('web:80');
    expect(named.format(ip('10.0.0.7'), 80, 0)).toBe('web:80');
    expect(named.format(ip('10.0.0.9'), 81, 6)).toBe('10.0.0.9:81');
    expect(named.format(ip('10.0.0.8'), 80, 6)).toBe(`${LONG}:ht`);
    expect(named.format(ip('fd00::7'), 80, 6)).toBe(`[${LONG}]:`);
  });

  it('asks once per address', () => {
    asked.length = 0;
    const named = new EndpointFormatter(names);
    for (let i = 0; i < 3; i++) named.format(ip('10.0.0.9'), 80, 6);
    expect(asked).toEqual(['10.0.0.9']);
  });
});
