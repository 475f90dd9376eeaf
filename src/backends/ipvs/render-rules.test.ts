// What kube-proxy was recorded with is compared in test/golden/ipvs-state.test.ts; here is what the rules depend on, and that no
// text of an object gets into what is handed to iptables-restore, ipset or IPVS.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { serviceObject, sliceObject } from '../../../test/arbitraries.ts';
import { makeAgent } from '../../../test/in-memory-agent.ts';
import { parseCidr, parseIp, type Family, type IpAddress } from '../../model/ip.ts';
import type { ClusterEvent, ClusterObject } from '../../model/objects.ts';
import type { LocalDetector, NodeOptions } from '../../plan/plan.ts';
import { EMPTY_KERNEL, RecordingPort } from './recording-port.ts';
import { SCHEDULERS } from '../../model/schedulers.ts';
import { PLAIN_NODE } from '../../../test/nodes.ts';
import { renderRules, type RuleOptions } from './render-rules.ts';
import { renderRestore } from './rules.ts';
import { kernelSetName, SET_NAMES, type SetName } from './sets.ts';

const ALL: ReadonlySet<SetName> = new Set(SET_NAMES);
const NONE: ReadonlySet<SetName> = new Set();
const OPTIONS: RuleOptions = {
  family: 'IPv4',
  masqueradeMark: 0x4000,
  masqueradeAll: false,
  localDetector: { kind: 'none' },
  hasRandomFully: true,
  closedToNode: [],
};

const chain = (
  name: string,
  options: Partial<RuleOptions> = {},
  sets = NONE,
  table = 'nat',
): readonly string[] =>
  renderRules({ ...OPTIONS, ...options }, sets).chains.find(
    (each) => each.name === name && each.table === table,
  )?.rules ?? [];

describe('the rules', () => {
  it.each<[string, Partial<RuleOptions>, string]>([
    ['without a detector: what bears a ClusterIP as its source', {}, 'src,dst'],
    [
      'masqueradeAll: everything',
      { masqueradeAll: true, localDetector: { kind: 'bridge', interfaceName: 'cbr0' } },
      'dst,dst',
    ],
    [
      'a CIDR: what is outside',
      { localDetector: { kind: 'cidr', ipv4: parseCidr('10.244.0.0/16'), ipv6: null } },
      '! -s 10.244.0.0/16',
    ],
    [
      'a CIDR of the other family: as without',
      { family: 'IPv6', localDetector: { kind: 'cidr', ipv4: parseCidr('10.244.0.0/16'), ipv6: null } },
      'src,dst',
    ],
    [
      'a bridge: what does not enter by it',
      { localDetector: { kind: 'bridge', interfaceName: 'cbr0' } },
      '! -i cbr0',
    ],
    [
      'an interface prefix: what does not enter by one',
      { localDetector: { kind: 'interfacePrefix', prefix: 'veth' } },
      '! -i veth+',
    ],
  ])('masquerade to ClusterIPs with %s', (_, options, part) => {
    const rules = chain('KUBE-SERVICES', options, new Set<SetName>(['KUBE-CLUSTER-IP'])).filter((rule) =>
      rule.endsWith('KUBE-MARK-MASQ'),
    );
    expect(rules).toHaveLength(1);
    expect(rules[0]).toContain(part);
  });

  it.each([
    [1, '0x1/0x1'],
    [0x4000, '0x4000/0x4000'],
    [2 ** 31, '0x80000000/0x80000000'],
  ])('mark with %d', (masqueradeMark, text) => {
    expect(chain('KUBE-MARK-MASQ', { masqueradeMark })).toEqual([`-j MARK --set-xmark ${text}`]);
  });

  it('ask for random source ports only where iptables can', () => {
    expect(chain('KUBE-POSTROUTING').at(-1)).toMatch(/-j MASQUERADE --random-fully$/);
    expect(chain('KUBE-POSTROUTING', { hasRandomFully: false }).at(-1)).toMatch(/-j MASQUERADE$/);
  });

  it.each(SET_NAMES.filter((name) => name !== 'POINTSMAN-VS' && name !== 'KUBE-IPVS-IPS'))(
    'name the set %s',
    (name) => {
      for (const family of ['IPv4', 'IPv6'] as const) {
        const rules = renderRules({ ...OPTIONS, family }, new Set([name])).chains.flatMap(
          (each) => each.rules,
        );
        expect(rules.some((rule) => rule.includes(`--match-set ${kernelSetName(name, family)} `))).toBe(true);
      }
    },
  );

  it('reject undeclared ports in the words of their family', () => {
    expect(chain('KUBE-IPVS-FILTER', {}, NONE, 'filter').at(-1)).toMatch(
      /--reject-with icmp-port-unreachable$/,
    );
    expect(chain('KUBE-IPVS-FILTER', { family: 'IPv6' }, NONE, 'filter').at(-1)).toMatch(
      /--reject-with icmp6-port-unreachable$/,
    );
  });
});

const HOSTILE = [
  '10.0.0.1\n-A INPUT -j ACCEPT',
  '10.0.0.1 -j DROP',
  '10.0.0.1,tcp:80',
  '10.0.0.1/0',
  '10.96.0.1 nomatch',
  '" -j ACCEPT',
  '$(id)',
  '`id`',
  '-j',
  '--comment',
  'COMMIT',
  '\u0000',
  '\r',
  '::ffff:10.0.0.1',
  '010.0.0.1',
  '::1%eth0',
  '0',
  'KUBE-CLUSTER-IP',
  '\u2028',
  'TCP\nflush',
  '*raw',
  '#',
];
const hostile = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom<unknown>(...HOSTILE) },
  fc.string({ unit: 'binary' }),
  fc.constantFrom<unknown>(NaN, -1, 1e9, {}, [], null),
);

/** Seldom, so that some objects get through with what is left. */
const seldomHostile = fc.oneof(
  { weight: 15, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: hostile },
);

/** `value` with some of its leaves replaced. */
function poison(value: unknown, picks: Iterator<unknown>): unknown {
  if (Array.isArray(value)) return value.map((each) => poison(each, picks));
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(
      Object.entries(value).map(([key, each]) => [key, key === 'kind' ? each : poison(each, picks)]),
    );
  }
  const pick = picks.next().value;
  return pick === undefined ? value : pick;
}

const hostileEvent: fc.Arbitrary<ClusterEvent> = fc
  .tuple(fc.oneof(serviceObject, sliceObject), fc.array(seldomHostile, { maxLength: 60, size: 'max' }))
  .map(([object, picks]) => ({ type: 'apply', object: poison(object, picks.values()) as ClusterObject }));

const ADDRESS = /[0-9a-f.:]+/.source;
const SHAPES: Record<string, RegExp> = {
  sysctl: /^net\/ipv4\/[a-z_/]+ = \d+$/,
  link: /^kube-ipvs0$/,
  set: /^(KUBE|POINTSMAN)-[0-9A-Z-]+$/,
  address: new RegExp(`^(?<a>${ADDRESS})$`),
  member: new RegExp(
    `^(KUBE|POINTSMAN)-[0-9A-Z-]+ (\\d+|(?<a>${ADDRESS})(,(tcp|udp|sctp):\\d+(,(?<b>${ADDRESS})(/\\d+)?)?)?)$`,
  ),
  virtualServer: new RegExp(`^(TCP|UDP|SCTP) (?:(?<a>[0-9.]+)|\\[(?<b>${ADDRESS})\\]):\\d+$`),
  realServer: new RegExp(
    `^(TCP|UDP|SCTP) (?:(?<a>[0-9.]+)|\\[(?<b>${ADDRESS})\\]):\\d+ -> (?:(?<c>[0-9.]+)|\\[(?<d>${ADDRESS})\\]):\\d+$`,
  ),
};

/** The scheduler is the one text that comes from an object, and only out of a closed set. */
const DETAIL = new RegExp(
  `^(|(${SCHEDULERS.join('|')})( flag-[123])*( persistent \\d+)?|weight \\d+|kube-ipvs0|dummy)$`,
);

/** The one kind of rule with an address of a Service in it. */
function isClosedToNodeRule(line: string): boolean {
  const match =
    /^-A KUBE-IPVS-OUT-FILTER -s (\S+)\/(32|128) -m ipvs --vproto (6|17|132) --vaddr (\S+) --vport \d{1,5} -j DROP$/.exec(
      line,
    );
  return match !== null && match[1] === match[4] && parseIp(match[4] ?? '') === match[4];
}

describe('what is handed to the tools', () => {
  const detectors: readonly LocalDetector[] = [
    { kind: 'none' },
    { kind: 'bridge', interfaceName: 'cbr0' },
    { kind: 'cidr', ipv4: parseCidr('10.244.0.0/16'), ipv6: parseCidr('fd00:10:244::/48') },
  ];
  const families: readonly Family[] = ['IPv4', 'IPv6'];

  it('holds no text of any Service or EndpointSlice', async () => {
    let rulesSeen = 0;
    let serversSeen = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(hostileEvent, { minLength: 1, maxLength: 8 }),
        fc.constantFrom(...detectors),
        async (events, localDetector) => {
          const node: NodeOptions = {
            ...PLAIN_NODE,
            families,
            nodePortAddresses: ['192.168.0.2', 'fd00::2'].map((text) => parseIp(text) as IpAddress),
            localDetector,
          };
          const port = new RecordingPort(EMPTY_KERNEL);
          const { agent } = makeAgent(port, node);
          agent.onEvents(events);
          agent.setComplete();
          await agent.sync('request');
          expect(agent.status.lastError).toBe('');
          // Every line that any objects may cause: those for a node on which each set has members, or has none.
          const possible = new Set(
            families.flatMap((family) =>
              [ALL, NONE].flatMap((sets) =>
                renderRestore(renderRules({ ...OPTIONS, family, localDetector }, sets), new Map()).split(
                  '\n',
                ),
              ),
            ),
          );
          for (const { kind, object, detail } of port.writes) {
            if (kind === 'virtualServer' || kind === 'realServer') serversSeen++;
            if (kind === 'rules') {
              expect(families).toContain(object);
              for (const line of detail.split('\n'))
                if (!isClosedToNodeRule(line)) expect(possible).toContain(line);
              rulesSeen++;
              continue;
            }
            const match = SHAPES[kind]?.exec(object);
            expect(match, `${kind} ${object}`).not.toBeNull();
            for (const address of Object.values(match?.groups ?? {}))
              if (address !== undefined) expect(parseIp(address)).toBe(address);
            expect(detail).toMatch(DETAIL);
          }
        },
      ),
      { numRuns: 200 },
    );
    // The property is about something: objects got through.
    expect(rulesSeen).toBeGreaterThan(200);
    expect(serversSeen).toBeGreaterThan(200);
  });
});
