// IP text handling, service model 1.2: wherever a Service or an EndpointSlice gives an address or a network, it is read sloppily, and stands in
// the record in its canonical form. Which texts are addresses at all: ip.test.ts.

import { describe, expect, test } from 'vitest';
import { plainService, plainSlice } from '../../test/objects.ts';
import { problemLines } from '../../test/problems.ts';
import { projectEndpointSlice } from './endpoint-slice.ts';
import { projectService } from './service.ts';

type Read = (text: unknown, family?: string) => { is: readonly string[] | null; lines: string[] };

/** A Service with these fields, read; `of` picks what is looked at. */
const service = (
  of: 'clusterIPs' | 'externalIPs' | 'loadBalancerIPs' | 'loadBalancerSourceRanges',
  object: object,
) => {
  const { record, problems } = projectService(object);
  return { is: record?.[of] ?? null, lines: problemLines(problems) };
};

/** Every field that holds an address. */
const FIELDS: Readonly<Record<string, Read>> = {
  'spec.clusterIP': (text) => service('clusterIPs', plainService({ clusterIP: text })),
  'spec.clusterIPs[0]': (text, family) =>
    service('clusterIPs', plainService({ clusterIPs: [text], ipFamilies: [family] })),
  'spec.externalIPs[0]': (text) => service('externalIPs', plainService({ externalIPs: [text] })),
  'status.loadBalancer.ingress[0].ip': (text) =>
    service('loadBalancerIPs', plainService({}, { status: { loadBalancer: { ingress: [{ ip: text }] } } })),
  'endpoints[0].addresses[0]': (text, family) => {
    const slice = plainSlice({ addressType: family, endpoints: [{ addresses: [text] }] });
    const { record, problems } = projectEndpointSlice(slice);
    return { is: record?.endpoints.map(({ address }) => address) ?? null, lines: problemLines(problems) };
  },
};

describe.each(Object.entries(FIELDS))('1.2 IP text handling: %s', (field, read) => {
  test.each([
    ['leading zeros are decimal', '172.30.0.041', '172.30.0.41'],
    ['many leading zeros', '0000172.030.000.0000041', '172.30.0.41'],
    ['IPv4-mapped IPv6 text is IPv4', '::ffff:172.30.0.41', '172.30.0.41'],
    ['IPv4-mapped in hexadecimal', '::FFFF:ac1e:29', '172.30.0.41'],
    ['IPv6 in capitals and with zeros', '2001:0DB8:0:0:00::0050', '2001:db8::50'],
    ['IPv6 with an IPv4 tail', '2001:db8::192.0.2.1', '2001:db8::c000:201'],
  ])('%s', (_row, text, canonical) => {
    expect(read(text, canonical.includes(':') ? 'IPv6' : 'IPv4')).toEqual({ is: [canonical], lines: [] });
  });

  test.each([
    ' 172.30.0.41',
    '172.30.0.41 ',
    '172.30.0',
    '172.30.0.41.1',
    '172.30.0.41/32',
    '172.30.0.256',
    '0x7f.1.1.1',
    '2886598697',
    '2001:db8::1%eth0',
    '[2001:db8::1]',
    '2001:db8::1::2',
    41,
  ])('%j is refused', (text) => {
    const { is, lines } = read(text, 'IPv4');
    expect(is ?? []).toEqual([]);
    expect(lines).toEqual([expect.stringContaining(`${field}: ${JSON.stringify(text)} is not valid: the `)]);
  });
});

describe('1.2 IP text handling: spec.loadBalancerSourceRanges[0]', () => {
  const read = (text: unknown): object =>
    service('loadBalancerSourceRanges', plainService({ loadBalancerSourceRanges: [text] }));
  test.each([
    ['leading zeros in address and prefix', '203.0.113.000/025', '203.0.113.0/25'],
    ['masked to the network address', '203.0.113.77/25', '203.0.113.0/25'],
    ['masked, IPv6', '2001:DB8::1/32', '2001:db8::/32'],
    ['IPv4-mapped', '::ffff:203.0.113.77/121', '203.0.113.0/25'],
    ['blanks around it (6.1: leading blank)', ' \t203.0.113.0/25\n', '203.0.113.0/25'],
    ['a single host', '203.0.113.7/32', '203.0.113.7/32'],
    ['everybody', '0.0.0.1/0', '0.0.0.0/0'],
    ['everybody, IPv6', '::1/0', '::/0'],
  ])('%s', (_row, text, canonical) => {
    expect(read(text)).toEqual({ is: [canonical], lines: [] });
  });

  test.each([
    '203.0.113.0',
    '203.0.113.0/',
    '203.0.113.0/33',
    '203.0.113.0 /24',
    '2001:db8::/129',
    '/24',
    24,
  ])('%j is refused', (text) => {
    expect(read(text)).toEqual({
      is: [],
      lines: [
        `Service default/web: spec.loadBalancerSourceRanges[0]: ${JSON.stringify(text)} is not valid: it is passed over; write address/prefix, as in 192.0.2.0/24`,
      ],
    });
  });
});
