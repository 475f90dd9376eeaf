// The addresses of a Service, by the rows of the service model 1.2: cluster IP per family, externalIPs, loadBalancerVIPs and
// loadBalancerSourceRanges. IP text handling: sloppy-text.test.ts. What source ranges mean for each family: plan/source-ranges.test.ts.

import { describe, expect, test } from 'vitest';
import { problemLines } from '../../test/problems.ts';
import { ProblemList } from './fields.ts';
import { readClusterIPs, readExternalIPs, readIngress, readSourceRanges } from './service-addresses.ts';

/** What a reader makes of a value, and what it says. */
function read<T>(
  reader: (value: unknown, problems: ProblemList) => T,
  value: unknown,
): { is: T; lines: string[] } {
  const problems = new ProblemList('Service a/b');
  const is = reader(value, problems);
  return { is, lines: problemLines(problems.list()).map((line) => line.replace(/^Service a\/b: /, '')) };
}

const ingressOf = (ingress: unknown): object => ({ status: { loadBalancer: { ingress } } });
/** Each list of addresses as a reader of its items. */
const LISTS = {
  'spec.externalIPs': (items: unknown) => read(readExternalIPs, { externalIPs: items }),
  'status.loadBalancer.ingress': (items: unknown) =>
    read(readIngress, ingressOf(Array.isArray(items) ? items.map((ip: unknown) => ({ ip })) : items)),
  'spec.loadBalancerSourceRanges': (items: unknown) =>
    read(readSourceRanges, { loadBalancerSourceRanges: items }),
};

const V4 = '10.96.0.1';
const V6 = 'fd00:10:96::1';
const INVALID = 'is not valid: the address is left out; write an IPv4 or IPv6 address';
const NOT_ROUTED = 'is not valid: the address is left out; use an address that may be routed';

describe('1.2 cluster IP per family', () => {
  test.each([
    ['ipFamilies empty, IPv4', { clusterIP: V4 }, [V4]],
    ['ipFamilies empty, IPv6', { clusterIP: V6 }, [V6]],
    ['ipFamilies [], IPv4', { clusterIP: V4, ipFamilies: [] }, [V4]],
    ['ipFamilies null, IPv6', { clusterIP: V6, ipFamilies: null, clusterIPs: null }, [V6]],
    ['single stack IPv4', { ipFamilies: ['IPv4'], clusterIP: V4, clusterIPs: [V4] }, [V4]],
    ['single stack IPv6', { ipFamilies: ['IPv6'], clusterIP: V6, clusterIPs: [V6] }, [V6]],
    [
      'dual stack, IPv4 first',
      { ipFamilies: ['IPv4', 'IPv6'], clusterIP: V4, clusterIPs: [V4, V6] },
      [V4, V6],
    ],
    [
      'dual stack, IPv6 first',
      { ipFamilies: ['IPv6', 'IPv4'], clusterIP: V6, clusterIPs: [V6, V4] },
      [V6, V4],
    ],
    [
      'an index beyond clusterIPs: none of that family',
      { ipFamilies: ['IPv4', 'IPv6'], clusterIPs: [V4] },
      [V4],
    ],
    ['manifests: families without the list', { ipFamilies: ['IPv4'], clusterIP: V4 }, [V4]],
    ['manifests: the list without families', { clusterIPs: [V6, V4] }, [V6, V4]],
    ['manifests: the list without clusterIP', { clusterIP: '', clusterIPs: [V4] }, [V4]],
    ['leading zeros', { clusterIP: '010.096.000.001' }, [V4]],
    ['IPv4-mapped text counts as IPv4', { ipFamilies: ['IPv4'], clusterIPs: ['::ffff:10.96.0.1'] }, [V4]],
    ['IPv6 in another form', { ipFamilies: ['IPv6'], clusterIPs: ['FD00:0010:96:0::1'] }, [V6]],
  ])('%s', (_row, spec, is) => {
    expect(read(readClusterIPs, spec)).toEqual({ is, lines: [] });
  });

  const NONE_GIVEN =
    'no cluster IP is given: the Service is skipped; give it one, or None for a headless Service';
  test.each<[string, object, string[], string[]]>([
    ['none', {}, [], [`spec.clusterIP: ${NONE_GIVEN}`]],
    ['an empty list and ""', { clusterIP: '', clusterIPs: [] }, [], [`spec.clusterIP: ${NONE_GIVEN}`]],
    [
      'a blank item',
      { clusterIPs: [''] },
      [],
      [`spec.clusterIPs[0]: it is empty: it is left out; give an address`],
    ],
    [
      'null before an address',
      { clusterIPs: [null, V6] },
      [V6],
      ['spec.clusterIPs[0]: it is empty: it is left out; give an address'],
    ],
    ['text', { clusterIP: '10.96.0' }, [], [`spec.clusterIP: "10.96.0" ${INVALID}`]],
    ['a number', { clusterIPs: [V4, 7] }, [V4], [`spec.clusterIPs[1]: 7 ${INVALID}`]],
    ['unspecified', { clusterIP: '0.0.0.0' }, [], [`spec.clusterIP: "0.0.0.0" ${NOT_ROUTED}`]],
    ['unspecified IPv6', { clusterIP: '::' }, [], [`spec.clusterIP: "::" ${NOT_ROUTED}`]],
    ['loopback', { clusterIP: '127.0.0.1' }, [], [`spec.clusterIP: "127.0.0.1" ${NOT_ROUTED}`]],
    ['multicast', { clusterIP: '224.0.0.1' }, [], [`spec.clusterIP: "224.0.0.1" ${NOT_ROUTED}`]],
    ['link-local IPv6', { clusterIP: 'fe80::1' }, [], [`spec.clusterIP: "fe80::1" ${NOT_ROUTED}`]],
    [
      'a second one of a family',
      { clusterIPs: [V4, '10.96.0.2'] },
      [V4],
      [
        'spec.clusterIPs[1]: 10.96.0.2 is a second IPv4 address: it is left out; give one cluster IP of each family',
      ],
    ],
    [
      'one that is not of its family',
      { clusterIPs: [V4, V6], ipFamilies: ['IPv4'] },
      [V4],
      [
        `spec.clusterIPs[1]: ${V6} is not of the family in spec.ipFamilies[1]: it is left out; make both lists agree`,
      ],
    ],
    [
      'families in the other order',
      { clusterIP: V4, ipFamilies: ['IPv6', 'IPv4'] },
      [],
      [
        `spec.clusterIP: ${V4} is not of the family in spec.ipFamilies[0]: it is left out; make both lists agree`,
      ],
    ],
    [
      'three of them',
      { clusterIPs: [V4, V6, '10.96.0.2'] },
      [V4, V6],
      ['spec.clusterIPs: it has 3 items; only the first 2 are used; use at most 2 items'],
    ],
    [
      'three families',
      { clusterIP: V4, ipFamilies: ['IPv4', 'IPv6', 'IPv4'] },
      [V4],
      ['spec.ipFamilies: it has 3 items; only the first 2 are used; use at most 2 items'],
    ],
    [
      'a text instead of the list',
      { clusterIP: V4, clusterIPs: V4 },
      [V4],
      [`spec.clusterIPs: "${V4}" is not valid: it must be a list and is ignored; write it as a list`],
    ],
  ])('reported: %s', (_row, spec, is, lines) => {
    expect(read(readClusterIPs, spec)).toEqual({ is, lines });
  });

  test('reasons tell a wrong family from a wrong value', () => {
    const problems = new ProblemList('Service a/b');
    readClusterIPs({ clusterIPs: [V6, null], ipFamilies: ['IPv4'] }, problems);
    readClusterIPs({ clusterIPs: [V4, '10.96.0.2'] }, problems);
    readClusterIPs({}, problems);
    const reasons = problems.list().map(({ reason }) => reason);
    expect(reasons).toEqual(['WrongFamily', 'InvalidField', 'InvalidField', 'InvalidField']);
  });
});

describe('1.2 externalIPs', () => {
  test('both families, in their order, without repetition; blank ones are passed over silently', () => {
    const externalIPs = ['198.51.100.007', '', '  ', null, '2001:DB8::50', '198.51.100.7', '198.51.100.1'];
    expect(LISTS['spec.externalIPs'](externalIPs)).toEqual({
      is: ['198.51.100.7', '2001:db8::50', '198.51.100.1'],
      lines: [],
    });
  });

  test.each([[undefined], [null], [''], [[]]])('%j: none', (externalIPs) => {
    expect(LISTS['spec.externalIPs'](externalIPs)).toEqual({ is: [], lines: [] });
  });

  test.each([
    '0.0.0.0',
    '::',
    '127.0.0.1',
    '::1',
    '224.0.0.1',
    'ff02::1',
    '255.255.255.255',
    '169.254.169.254',
    'fe80::1',
  ])('%s is refused, the others stay', (text) => {
    expect(LISTS['spec.externalIPs']([text, '198.51.100.1'])).toEqual({
      is: ['198.51.100.1'],
      lines: [`spec.externalIPs[0]: "${text}" ${NOT_ROUTED}`],
    });
  });

  test('what is no list is reported', () => {
    expect(LISTS['spec.externalIPs']({ a: 1 })).toEqual({
      is: [],
      lines: [
        'spec.externalIPs: an object is not valid: it must be a list and is ignored; write it as a list',
      ],
    });
  });
});

describe('1.2 loadBalancerVIPs', () => {
  const ip = '198.51.100.1';
  test.each([
    ['ipMode nil', { ip }, [ip]],
    ['ipMode null', { ip, ipMode: null }, [ip]],
    ['ipMode ""', { ip, ipMode: '' }, [ip]],
    ['ipMode VIP', { ip, ipMode: 'VIP' }, [ip]],
    ['ipMode Proxy is ignored', { ip, ipMode: 'Proxy' }, []],
    ['hostname only is ignored', { hostname: 'lb.example' }, []],
    ['an empty ip is ignored', { ip: '', hostname: 'lb.example' }, []],
    ['a blank ip is ignored', { ip: ' ' }, []],
    ['ip null is ignored', { ip: null }, []],
    ['link-local IPv4 may be one', { ip: '169.254.1.1' }, ['169.254.1.1']],
  ])('%s', (_row, ingress, is) => {
    expect(read(readIngress, ingressOf([ingress]))).toEqual({ is, lines: [] });
  });

  test('both families, order preserved, without repetition', () => {
    const ingress = [{ ip: '2001:db8::2' }, { ip }, { ip: '2001:DB8::2' }, { ip: '198.51.100.0' }];
    expect(read(readIngress, ingressOf(ingress))).toEqual({
      is: ['2001:db8::2', ip, '198.51.100.0'],
      lines: [],
    });
  });

  test.each([
    [{ ip: '127.0.0.1' }, `.ip: "127.0.0.1" ${NOT_ROUTED}`],
    [{ ip: 'fe80::1' }, `.ip: "fe80::1" ${NOT_ROUTED}`],
    [{ ip: 'lb.example' }, `.ip: "lb.example" ${INVALID}`],
    [{ ip, ipMode: 'Magic' }, '.ipMode: "Magic" is not valid: the address is left out; use VIP or Proxy'],
    [{ ip, ipMode: 7 }, '.ipMode: 7 is not valid: the address is left out; use VIP or Proxy'],
  ])('%o is reported and left out', (ingress, line) => {
    expect(read(readIngress, ingressOf([{ ip }, ingress]))).toEqual({
      is: [ip],
      lines: [`status.loadBalancer.ingress[1]${line}`],
    });
  });

  test.each([undefined, null, {}, { status: null }, { status: { loadBalancer: null } }, ingressOf(null)])(
    '%j: none',
    (object) => {
      expect(read(readIngress, object)).toEqual({ is: [], lines: [] });
    },
  );

  test('what is no list is reported', () => {
    const line = '"lb" is not valid: it must be a list and is ignored; write it as a list';
    expect(read(readIngress, ingressOf('lb'))).toEqual({
      is: [],
      lines: [`status.loadBalancer.ingress: ${line}`],
    });
  });
});

describe('1.2 loadBalancerSourceRanges', () => {
  test.each<[string, unknown, readonly string[] | null]>([
    ['none', undefined, null],
    ['null', null, null],
    ['""', '', null],
    ['an empty list', [], null],
    ['blank ones only', ['', ' ', null], null],
    ['both families', ['203.0.113.0/25', '2001:db8::/32'], ['203.0.113.0/25', '2001:db8::/32']],
    ['the same twice, written differently', ['203.0.113.7/25', '203.0.113.000/025'], ['203.0.113.0/25']],
    ['a zero CIDR beside another', ['0.0.0.0/0', '203.0.113.0/25'], ['0.0.0.0/0', '203.0.113.0/25']],
  ])('%s', (_row, ranges, is) => {
    expect(LISTS['spec.loadBalancerSourceRanges'](ranges)).toEqual({ is, lines: [] });
  });

  const PASSED = 'is not valid: it is passed over; write address/prefix, as in 192.0.2.0/24';
  test.each<[string, unknown, string[], string]>([
    ['no prefix', ['203.0.113.0'], [], `[0]: "203.0.113.0" ${PASSED}`],
    ['beside one that can be read', ['203.0.113.0/25', 'x'], ['203.0.113.0/25'], `[1]: "x" ${PASSED}`],
    ['prefix too long', ['203.0.113.0/33'], [], `[0]: "203.0.113.0/33" ${PASSED}`],
    ['a number', [24], [], `[0]: 24 ${PASSED}`],
    [
      'a text instead of a list',
      '203.0.113.0/24',
      [],
      ': "203.0.113.0/24" is not valid: it must be a list and is ignored; write it as a list',
    ],
  ])(
    'a range that cannot be read is passed over, reported, and counts as given: %s',
    (_row, ranges, is, line) => {
      const path = 'spec.loadBalancerSourceRanges';
      expect(LISTS[path](ranges)).toEqual({ is, lines: [`${path}${line}`] });
    },
  );

  test('the annotation service.beta.kubernetes.io/load-balancer-source-ranges is not consulted', () => {
    const annotations = { 'service.beta.kubernetes.io/load-balancer-source-ranges': '203.0.113.0/24' };
    expect(read(readSourceRanges, { annotations, metadata: { annotations } }).is).toBeNull();
  });
});
