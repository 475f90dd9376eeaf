// Standard input of -R: lines as in line-arbitraries.ts between comments, blanks, quotes, bytes and over-long lines; and large tables.

import * as fc from 'fast-check';
import { plainPort } from './endpoint-arbitraries.ts';
import { lineWords, type Words } from './line-arbitraries.ts';
import { mostly, pick } from './value-arbitraries.ts';

const ANY_NUMBER = fc.integer({ min: 0, max: 0xffffffff });
const dotted = (n: number): string => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255].join('.');
const anyIpv4 = ANY_NUMBER.map(dotted);
const anyIpv6 = fc
  .tuple(
    fc.constantFrom('2001', 'fd00', '8000', '7fff', '0'),
    fc.array(fc.nat(0xffff), { minLength: 3, maxLength: 3 }),
  )
  .map(([first, rest]) => `[${first}:${rest.map((group) => group.toString(16)).join(':')}::]`);
/** Rules for many services and servers all over the numbers, whose order in listings is the point. */
export const bulk: fc.Arbitrary<string> = fc
  .tuple(
    fc.array(
      fc.oneof(
        fc.tuple(pick('-t', '-u', '--sctp-service'), anyIpv4, plainPort).map((parts) => parts),
        fc.tuple(pick('-t', '-u'), anyIpv6, plainPort).map((parts) => parts),
        fc.tuple(pick('-f'), ANY_NUMBER.map(String), pick('', ' -6')).map((parts) => parts),
      ),
      { minLength: 1, maxLength: 25 },
    ),
    fc.array(fc.tuple(fc.nat(24), fc.oneof(anyIpv4, anyIpv6), plainPort), { maxLength: 25 }),
  )
  .map(([services, servers]) => {
    const names = services.map(([kind, name, rest]) => `${kind} ${name}${kind === '-f' ? rest : `:${rest}`}`);
    return [
      ...names.map((name) => `-A ${name} -s rr`),
      ...servers.map(([n, address, port]) => `-a ${names[n % names.length]} -r ${address}:${port} -i`),
      '',
    ].join('\n');
  });

/** A line with what stands between and around its words. */
interface RestoreLine {
  readonly words: Words;
  readonly prefix: string;
  readonly blank: string;
  readonly end: string;
  readonly quotes: boolean;
}
/** The whole input. */
export interface RestoreInput {
  readonly lines: readonly RestoreLine[];
  readonly long: string;
  readonly tail: string;
  /** In Latin-1, at the end. */
  readonly bytes: string;
}
const restoreLine: fc.Arbitrary<RestoreLine> = fc.record({
  words: mostly(lineWords, fc.constant<Words>(['# a comment']), 20),
  prefix: mostly(fc.constant(''), pick('ipvsadm ', ' ', '\t', 'ipvsadm\t', 'IPVSADM ', '/sbin/ipvsadm '), 6),
  blank: mostly(fc.constant(' '), pick('  ', '\t', ' \t '), 6),
  end: mostly(fc.constant('\n'), pick('\r\n', '\n\n', ' \n', '\n \n', '\n\t\n', '\0\n', '\n\0', ' x\n'), 8),
  quotes: mostly(fc.constant(false), fc.constant(true), 20),
});
export const restoreInput: fc.Arbitrary<RestoreInput> = fc.record({
  lines: fc.array(restoreLine, { maxLength: 6 }),
  tail: mostly(
    fc.constant(''),
    pick('-A -t 10.0.0.1:99 -s rr', '-Ln', ' ', '-R', '-C', `# ${'x'.repeat(9000)}`),
    4,
  ),
  long: mostly(
    fc.constant(''),
    fc.constantFrom(`-A ${'x'.repeat(9000)}\n`, `${'-A '.repeat(70)}\n`, `${' '.repeat(5000)}-C\n`),
    20,
  ),
  bytes: mostly(
    fc.constant(''),
    pick(
      '-A -t \xff\n',
      '\xe4\n',
      '-L \xff\xfe',
      '-A -t 10.0.0.1:80 -s \xe9\n',
      '-A -f 5 -s \xc3\n',
      '-Ln\x80\n',
      '-n\xc3\xa4',
    ),
    12,
  ),
});
