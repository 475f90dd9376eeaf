// Values for ipvsadm's options, but for addresses: small pools, so that lines of one script meet, each with forms that are right, odd or
// wrong.

import * as fc from 'fast-check';

/** `usual` mostly, `odd` once in a while. */
export function mostly<T>(usual: fc.Arbitrary<T>, odd: fc.Arbitrary<T>, weight = 25): fc.Arbitrary<T> {
  return fc.oneof({ arbitrary: usual, weight }, { arbitrary: odd, weight: 1 });
}

export const pick = (...texts: readonly string[]): fc.Arbitrary<string> => fc.constantFrom(...texts);

export const fwmark: fc.Arbitrary<string> = mostly(
  pick('1', '2', '100', '4294967295', '2147483648'),
  pick('0', '-1', '+5', '007', '0x10', ' 5', '5x', '', '4294967296', '99999999999999999999', '1.5', 'abc'),
  20,
);

/** A number: one of `usual`, sometimes one of `edges`, sometimes no number that C reads as one. */
export function number(usual: readonly string[], edges: readonly string[]): fc.Arbitrary<string> {
  return fc.oneof(
    { arbitrary: pick(...usual), weight: 30 },
    { arbitrary: pick(...edges), weight: 4 },
    {
      arbitrary: pick(
        '+5',
        '007',
        '0x10',
        ' 5',
        '5 ',
        '5x',
        'x',
        '-1',
        '-0',
        '+',
        '-',
        '',
        '99999999999',
        '99999999999999999999',
        '-9223372036854775809',
        '4294967296',
        '4294967297',
        '2147483648',
        '1e3',
        '1.0',
        '\t7',
        '\n7',
        '5\n',
        '０',
        '--5',
        '0',
      ),
      weight: 2,
    },
  );
}

export const scheduler: fc.Arbitrary<string> = fc.oneof(
  {
    arbitrary: pick('rr', 'wrr', 'lc', 'wlc', 'sed', 'nq', 'dh', 'sh', 'lblc', 'lblcr', 'mh', 'fo', 'ovf'),
    weight: 36,
  },
  { arbitrary: pick('sh', 'mh'), weight: 16 },
  {
    arbitrary: pick(
      'none',
      'nosuch',
      '',
      'RR',
      'averyveryverylongscheduler',
      'ä',
      'fünfzehnzeichenä',
      'rr\n',
      'rr ',
      'wlc,rr',
      'r/r',
    ),
    weight: 2,
  },
);

const FLAG_NAMES = [
  'flag-1',
  'flag-2',
  'flag-3',
  'sh-fallback',
  'sh-port',
  'mh-fallback',
  'mh-port',
] as const;
const ODD_FLAG_NAMES = ['bogus', '', 'sh', 'flag-4', 'flag-', 'FLAG-1', ' flag-1', 'none', '0x8'] as const;
const flags = (names: readonly string[]): fc.Arbitrary<string> =>
  fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 4 }).map((list) => list.join(','));
export const schedulerFlags: fc.Arbitrary<string> = fc.oneof(
  { arbitrary: flags(['sh-fallback', 'sh-port']), weight: 4 },
  { arbitrary: flags(['mh-fallback', 'mh-port']), weight: 4 },
  { arbitrary: flags(['flag-1', 'flag-2', 'flag-3']), weight: 4 },
  { arbitrary: flags(FLAG_NAMES), weight: 4 },
  { arbitrary: flags([...FLAG_NAMES, ...ODD_FLAG_NAMES]), weight: 2 },
  {
    arbitrary: fc.constantFrom('sh-port,'.repeat(20), `${'x'.repeat(300)}`, ',sh-port', 'sh-port,,flag-3'),
    weight: 1,
  },
);

export const netmask: fc.Arbitrary<string> = fc.oneof(
  { arbitrary: pick('255.255.255.0', '255.255.0.0', '255.255.255.255', '64', '128', '1', '24'), weight: 20 },
  {
    arbitrary: pick(
      '0',
      '129',
      '0.0.0.0',
      '255.0.255.0',
      '0xffffff00',
      'ffff::',
      'bogus',
      '',
      '-1',
      '64x',
      '+64',
      ' 64',
      '4294967295',
      '4294967296',
      'localhost',
    ),
    weight: 3,
  },
);

export const timeoutSeconds: fc.Arbitrary<string> = number(
  ['1', '60', '300', '360', '10800'],
  ['2678400', '2678401', '0', '31536000'],
);

export const multicastGroup: fc.Arbitrary<string> = fc.oneof(
  { arbitrary: pick('224.0.0.81', '239.1.2.3', '224.9.9.9', 'ff02::81', 'ff05::1'), weight: 14 },
  {
    arbitrary: pick(
      '10.0.0.1',
      '224.1',
      '240.0.0.1',
      '223.255.255.255',
      'bogus',
      '',
      'fe80::1',
      'ff02::1::',
      '[ff02::1]',
      'FF02::81',
      'ff::1',
      '224.0.0.81:80',
      ' 224.0.0.1',
      'localhost',
      'ff02::1%sync0',
    ),
    weight: 3,
  },
);

export const interfaceName: fc.Arbitrary<string> = fc.oneof(
  { arbitrary: pick('sync0'), weight: 20 },
  {
    arbitrary: pick('lo', 'eth0', 'nosuch', '', 'averyveryverylonginterface', 'sync0 ', 'sync0:1', 'a/b'),
    weight: 3,
  },
);

/** Anything, for arguments that are nobody's. */
export const oddWord: fc.Arbitrary<string> = fc.oneof(
  pick(
    '--',
    '-',
    '',
    ' ',
    'extra',
    '-1',
    '-x',
    '---',
    '--=',
    '--=x',
    '-=',
    '-t=',
    '-ä',
    'ä',
    '-\n',
    '-6',
    '-n',
    '-nL',
    '-Lx',
    '--numeric=1',
    '-n=1',
    '--tcp-service=10.0.0.1:80',
    '-t10.0.0.1:80',
    '-t=10.0.0.1:80',
    '--tcp',
    '--tcp-service',
    '--sort',
    '-?',
    '--usage',
    '--help',
    '-h',
    '-hn',
    '-vx',
    '%s%n',
    '$(id)',
    '\\',
    "'",
    '"',
    'ipvsadm',
    '#',
    '-LnX',
    '-mgi',
    '-no',
    '-pn',
    '-p5',
    '-p=5',
    '-p=',
    '--persistent=',
    '--persistent=5',
  ),
  // fast-check's units 'grapheme' and 'binary' take seconds to build in a guest.
  fc.string({ unit: 'grapheme-ascii', maxLength: 8 }),
  fc.string({ unit: fc.constantFrom(...'\x01\x1b\x7f\x80\xff\u0301ß日😀\u202e\ufffd-=t'), maxLength: 8 }),
  fc.constantFrom(
    'x'.repeat(300),
    `-${'x'.repeat(5000)}`,
    `--${'y'.repeat(300)}`,
    '9'.repeat(400),
    ':'.repeat(200),
  ),
);
