// Who may use load-balancer IPs, by the rows of the service model: 1.2 (loadBalancerSourceRanges per family) and 1.7 (the node itself). How the
// field is read: model/service-addresses.test.ts. That other frontends restrict nobody: compile.test.ts.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { address } from '../../test/addresses.ts';
import { plainService } from '../../test/objects.ts';
import { problemLines } from '../../test/problems.ts';
import type { Family } from '../model/ip.ts';
import { projectService, type ServiceRecord } from '../model/service.ts';
import { allowedSources, otherFamilyProblem } from './source-ranges.ts';

const NODE_V4 = address('192.168.50.11');
const NODE_V6 = address('fd00:50::11');
const LB_V4 = '198.51.100.1';
const LB_V6 = '2001:db8::1';
const NODE = { nodeIPs: [NODE_V4, NODE_V6], otherFamilySourceRanges: 'Allow' } as const;
const DENY = { ...NODE, otherFamilySourceRanges: 'Deny' } as const;
const NOBODY = { cidrs: [], ownAddresses: [] };

/** A Service with load-balancer IPs of both families and these ranges. */
function record(
  loadBalancerSourceRanges: unknown,
  ips: readonly string[] = [LB_V4, LB_V6, '198.51.100.2'],
): ServiceRecord {
  const ingress = ips.map((ip) => ({ ip }));
  const object = plainService(
    { type: 'LoadBalancer', loadBalancerSourceRanges },
    { status: { loadBalancer: { ingress } } },
  );
  return projectService(object).record!;
}

describe('1.2 loadBalancerSourceRanges of a family', () => {
  const only = (...cidrs: string[]): object => ({ cidrs, ownAddresses: [] });
  test.each<[string, unknown, object | null, object | null]>([
    ['none given: everybody', undefined, null, null],
    ['an empty list: everybody', [], null, null],
    ['blank ones only: everybody', ['', ' '], null, null],
    [
      'each family has its own',
      ['203.0.113.0/25', '2001:db8:9::/48', '10.0.0.0/8'],
      only('203.0.113.0/25', '10.0.0.0/8'),
      only('2001:db8:9::/48'),
    ],
    [
      'one of prefix length 0 beside others: everybody',
      ['203.0.113.0/25', '0.0.0.0/0', '2001:db8:9::/48'],
      null,
      only('2001:db8:9::/48'),
    ],
    ['the same of IPv6', ['203.0.113.0/25', '2001:db8:9::/48', '::/0'], only('203.0.113.0/25'), null],
    ['both zero CIDRs: everybody', ['0.0.0.0/0', '::/0'], null, null],
    ['sloppy text of prefix length 0: everybody', ['1.2.3.4/00', '::1/0'], null, null],
    [
      'one that cannot be read is passed over',
      ['rubbish', '203.0.113.0/25', '2001:db8:9::/48'],
      only('203.0.113.0/25'),
      only('2001:db8:9::/48'),
    ],
    ['/1 is not everybody', ['0.0.0.0/1', '::/1'], only('0.0.0.0/1'), only('::/1')],
  ])('%s', (_row, ranges, ipv4, ipv6) => {
    // Ranges that hold no node address: what the node adds is the matter of 1.7.
    const node = { ...NODE, nodeIPs: [] };
    expect(allowedSources(record(ranges), 'IPv4', node)).toEqual(ipv4);
    expect(allowedSources(record(ranges), 'IPv6', node)).toEqual(ipv6);
  });

  test.each<[string, unknown, Family]>([
    ['only of the other family', ['2001:db8:9::/48'], 'IPv4'],
    ['only of the other family', ['203.0.113.0/25'], 'IPv6'],
    ['only the zero CIDR of the other family', ['::/0'], 'IPv4'],
    ['none that can be read', ['rubbish', '203.0.113.0'], 'IPv4'],
    ['no list', '203.0.113.0/25', 'IPv4'],
  ])('ranges are given, %s: everybody, or nobody where the node says so', (_row, ranges, family) => {
    expect(allowedSources(record(ranges), family, NODE)).toBeNull();
    expect(allowedSources(record(ranges), family, DENY)).toEqual(NOBODY);
  });

  test('Deny changes nothing where ranges of the family are given, or none at all', () => {
    for (const ranges of [undefined, [], ['0.0.0.0/0'], ['203.0.113.0/25'], ['203.0.113.0/25', '::/0']])
      expect(allowedSources(record(ranges), 'IPv4', DENY)).toEqual(
        allowedSources(record(ranges), 'IPv4', NODE),
      );
  });
});

describe('1.7 the node itself', () => {
  test.each<[string, string[], Family, string[]]>([
    [
      'its IP is in a range: the load-balancer IPs of the family count as sources',
      ['192.168.0.0/16'],
      'IPv4',
      [LB_V4, '198.51.100.2'],
    ],
    ['in the second range', ['203.0.113.0/25', '192.168.50.11/32'], 'IPv4', [LB_V4, '198.51.100.2']],
    ['IPv6', ['fd00:50::/32'], 'IPv6', [LB_V6]],
    ['its IP is in none', ['203.0.113.0/25'], 'IPv4', []],
    ['only its IPv6 address is in a range: not for IPv4', ['203.0.113.0/25', 'fd00:50::/32'], 'IPv4', []],
    ['only its IPv4 address is in a range: not for IPv6', ['192.168.0.0/16', '2001:db8:9::/48'], 'IPv6', []],
  ])('%s', (_row, ranges, family, ownAddresses) => {
    expect(allowedSources(record(ranges), family, NODE)!.ownAddresses).toEqual(ownAddresses);
  });

  test('a node without an IP adds nothing', () => {
    const sources = allowedSources(record(['192.168.0.0/16']), 'IPv4', { ...NODE, nodeIPs: [] });
    expect(sources).toEqual({ cidrs: ['192.168.0.0/16'], ownAddresses: [] });
  });
});

describe('the owner of a Service is told when ranges say nothing of a family in which it has load-balancer IPs', () => {
  const FIELD = 'Service default/web: spec.loadBalancerSourceRanges:';
  const CLOSE = 'pointsman.otherFamilySourceRanges: Deny in the configuration closes such families';
  const lineOf = (one: ServiceRecord, family: Family, node: typeof NODE | typeof DENY): string[] => {
    const problem = otherFamilyProblem(one, family, node);
    if (problem !== null) expect(problem.reason).toBe('WrongFamily');
    return problemLines(problem === null ? [] : [problem]);
  };

  test.each<[string, unknown, Family, typeof NODE | typeof DENY, string]>([
    [
      'Allow, IPv4',
      ['2001:db8:9::/48'],
      'IPv4',
      NODE,
      `no range is of family IPv4: everybody may use ${LB_V4}; add an IPv4 range; ${CLOSE}`,
    ],
    [
      'Allow, IPv6',
      ['203.0.113.0/25'],
      'IPv6',
      NODE,
      `no range is of family IPv6: everybody may use ${LB_V6}; add an IPv6 range; ${CLOSE}`,
    ],
    [
      'Deny, IPv6',
      ['203.0.113.0/25'],
      'IPv6',
      DENY,
      `no range is of family IPv6: nobody may use ${LB_V6}; add an IPv6 range`,
    ],
    [
      'none that can be read',
      ['rubbish'],
      'IPv4',
      DENY,
      `no range is of family IPv4: nobody may use ${LB_V4}; add an IPv4 range`,
    ],
  ])('%s', (_row, ranges, family, node, message) => {
    expect(lineOf(record(ranges), family, node)).toEqual([`${FIELD} ${message}`]);
  });

  test.each<[string, ServiceRecord, Family]>([
    ['no ranges', record(undefined), 'IPv4'],
    ['a range of the family', record(['2001:db8:9::/48', '203.0.113.0/25']), 'IPv4'],
    ['a zero CIDR of the family', record(['0.0.0.0/0']), 'IPv4'],
    ['no load-balancer IP of the family', record(['203.0.113.0/25'], [LB_V4]), 'IPv6'],
    ['no load-balancer IP at all', record(['203.0.113.0/25'], []), 'IPv6'],
  ])('not: %s', (_row, one, family) => {
    for (const node of [NODE, DENY]) expect(lineOf(one, family, node)).toEqual([]);
  });
});

test('of any ranges come only networks of the family, none of them everybody', () => {
  const range = fc.constantFrom(
    '203.0.113.0/25',
    '0.0.0.0/0',
    '::/0',
    '2001:db8:9::/48',
    '192.168.0.0/16',
    'rubbish',
    ' ',
  );
  fc.assert(
    fc.property(fc.array(range, { maxLength: 4 }), fc.constantFrom('IPv4', 'IPv6'), (ranges, family) => {
      const denied = allowedSources(record(ranges), family, DENY);
      for (const cidr of denied?.cidrs ?? []) {
        expect(cidr.includes(':')).toBe(family === 'IPv6');
        expect(cidr.endsWith('/0')).toBe(false);
      }
      // Both settings differ only where nobody is let in by the one, and then everybody by the other.
      const allowed = allowedSources(record(ranges), family, NODE);
      if (denied === null || denied.cidrs.length > 0) expect(allowed).toEqual(denied);
      else expect(allowed).toBeNull();
    }),
  );
});
