// Texts for services' and servers' addresses and ports: a small pool of good ones, and every odd or wrong form that the original's parsing
// tells apart. Names are those of twins.sh's /etc/hosts and of /etc/services.

import * as fc from 'fast-check';
import { mostly, pick } from './value-arbitraries.ts';

const IPV4 = pick('10.0.0.1', '10.0.0.2', '10.0.0.3', '172.16.0.9', '127.0.0.1');
const RARE_IPV4 = pick(
  '192.168.1.200',
  '203.0.113.7',
  '240.0.0.1',
  '224.0.0.1',
  '0.0.0.0',
  '255.255.255.255',
);
/** inet_aton(3) reads these. */
const ATON_IPV4 = pick(
  '10.3',
  '0x7f.1',
  '0177.0.0.1',
  '167772161',
  '0xa000002',
  '10.0.1',
  '010.0.0.01',
  '0X0A.2',
);
const WRONG_IPV4 = pick(
  '10.0.0.256',
  '10.0.0',
  '1.2.3.4.5',
  '999.1.1.1',
  '10..1',
  '.1',
  '10.0.0.1 ',
  ' 10.0.0.1',
  '10.0.0.1x',
  '08.1.1.1',
  '4294967296',
  '0x',
  '-1',
  '١٠.0.0.1',
);
const NAMES = pick('localhost', 'alpha', 'alpha.example', 'a-host-with-a-name-of-some-length.example', 'vm');
const WRONG_NAMES = pick(
  'nosuchhost',
  'nosuchhost.invalid',
  'a b',
  '',
  'ip6-localhost',
  'beta',
  '-x',
  '*',
  'ä',
);
const IPV6 = pick('2001:db8::1', '2001:db8::2', 'fd00::80', '::1');
const RARE_IPV6 = pick(
  '::',
  'fe80::1',
  'ff02::1',
  '::ffff:10.0.0.1',
  '2001:DB8:0:0:0:0:0:1',
  '2001:db8:1111:2222:3333:4444:5555:6666',
  '1::',
);
const WRONG_IPV6 = pick(
  'fe80::1%lo',
  'fe80::1%sync0',
  '2001:db8::1::2',
  '12345::',
  '2001:db8:::1',
  ':',
  '::g',
  '1:2:3:4:5:6:7',
  '[::1]',
);

const PORT = pick('80', '443', '8080', 'http');
/** Numbers only, none of them 0. */
export const plainPort: fc.Arbitrary<string> = pick('80', '443', '8080', '65535', '32768', '1');
const RARE_PORT = pick(
  '53',
  'domain',
  'https',
  '0',
  '65535',
  '1',
  'ssh',
  'sip',
  'http-alt',
  '9999',
  'www',
  'ntp',
  'amqp',
);
const WRONG_PORT = pick(
  '65536',
  '-1',
  '',
  '+80',
  '080',
  '0x50',
  ' 80',
  '80 ',
  '80x',
  'nosuch',
  '99999999999999999999',
  'HTTP',
  '８０',
  '80:80',
  '1e2',
);
const port: fc.Arbitrary<string> = fc.oneof(
  { arbitrary: PORT, weight: 40 },
  { arbitrary: RARE_PORT, weight: 10 },
  { arbitrary: WRONG_PORT, weight: 1 },
);

const join = (host: fc.Arbitrary<string>): fc.Arbitrary<string> =>
  fc.tuple(host, port).map(([name, number]) => `${name}:${number}`);
const bracketed = (host: fc.Arbitrary<string>): fc.Arbitrary<string> => join(host.map((name) => `[${name}]`));
const ipv4Host = fc.oneof(
  { arbitrary: IPV4, weight: 60 },
  { arbitrary: RARE_IPV4, weight: 3 },
  { arbitrary: ATON_IPV4, weight: 3 },
  { arbitrary: NAMES, weight: 3 },
  { arbitrary: WRONG_IPV4, weight: 1 },
  { arbitrary: WRONG_NAMES, weight: 1 },
);
const ipv6Host = fc.oneof(
  { arbitrary: IPV6, weight: 40 },
  { arbitrary: RARE_IPV6, weight: 3 },
  { arbitrary: WRONG_IPV6, weight: 1 },
);
/** Forms that are refused, or that leave the port out. */
const oddEndpoint = fc.oneof(
  ipv4Host,
  ipv6Host,
  ipv6Host.map((host) => `[${host}]`),
  ipv4Host.map((host) => `${host}:`),
  ipv6Host.map((host) => `[${host}]:`),
  ipv6Host.map((host) => `[${host}:80`),
  ipv6Host.map((host) => `[${host}]80`),
  ipv6Host.map((host) => `${host}]:80`),
  ipv4Host.map((host) => `[${host}]:80`),
  ipv4Host.map((host) => `[${host}]`),
  ipv4Host.map((host) => `10.0.0.1:80:${host}`),
  join(ipv6Host),
  port,
  port.map((number) => `:${number}`),
  fc.constantFrom('', ':', '[', ']', '[]', '[]:80', '[:80', '::80', '-t', '--', '=10.0.0.1:80'),
);

export const ipv4Endpoint: fc.Arbitrary<string> = mostly(join(ipv4Host), oddEndpoint, 40);
export const ipv6Endpoint: fc.Arbitrary<string> = mostly(bracketed(ipv6Host), oddEndpoint, 40);
