// The API's naming rules, each with names that must pass and names that must not.

import { describe, expect, test } from 'vitest';
import {
  isDns1035,
  isDnsLabel,
  isDnsSubdomain,
  isInterfaceName,
  isLabelValue,
  isPortName,
  parseServiceKey,
  serviceKey,
  splitServiceKey,
} from './names.ts';

const LONG = 'a'.repeat(63);

describe('names follow the rules of the API', () => {
  test.each([
    [
      'DNS label',
      isDnsLabel,
      ['a', '0', 'web-1', '1web', LONG],
      ['', '-a', 'a-', 'A', 'a.b', 'a_b', `${LONG}a`, 'ä', 'a\n', 'a b'],
    ],
    ['RFC 1035 label', isDns1035, ['a', 'web-1', LONG], ['', '1web', 'a-', 'A', `${LONG}a`, 'a\n']],
    [
      'DNS subdomain',
      isDnsSubdomain,
      ['a', 'a.b', '1.2', 'node-1.example', 'a'.repeat(253)],
      ['', '.a', 'a.', 'a..b', 'a-.b', 'A', 'a'.repeat(254), 'a\n'],
    ],
    ['port name', isPortName, ['', 'http', '8080'], ['HTTP', 'a_b', `${LONG}a`]],
    [
      'label value',
      isLabelValue,
      ['', 'a', 'zone-a', 'Zone_1.x', LONG],
      ['-a', 'a-', `${LONG}a`, 'a b', 'a/b'],
    ],
    [
      'interface name',
      isInterfaceName,
      ['eth0', 'cali1234', 'br-lan.1', 'a'.repeat(15)],
      ['', 'a'.repeat(16), 'a/b', 'a b', 'a\tb', '.', '..', 'eth0:1', 'ä'],
    ],
  ] as const)('%s', (_name, predicate, valid, invalid) => {
    for (const text of valid) expect(predicate(text), JSON.stringify(text)).toBe(true);
    for (const text of invalid) expect(predicate(text), JSON.stringify(text)).toBe(false);
  });
});

describe('ServiceKey', () => {
  test('is namespace and name', () => {
    expect(serviceKey('default', 'web')).toBe('default/web');
    expect(splitServiceKey(serviceKey('default', 'web'))).toEqual({ namespace: 'default', name: 'web' });
  });

  test.each([
    ['default/web', 'default/web'],
    ['web', null],
    ['default/', null],
    ['/web', null],
    ['a/b/c', null],
    ['Default/web', null],
    ['', null],
  ])('parseServiceKey reads %j as %j', (text, expected) => {
    expect(parseServiceKey(text)).toBe(expected);
  });
});
