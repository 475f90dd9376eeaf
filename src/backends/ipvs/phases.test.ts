// In which order set members are written: by role alone, and together with what changes beside them; then whole transitions of frontends
// between the policies Cluster and Local on the fake kernel, with each single write refused.

import { describe, expect, it } from 'vitest';
import { change, ip, started } from '../../../test/ipvs-plans.ts';
import { frontends, LOCAL_SERVER, REMOTE_SERVER, unmasqueraded } from '../../../test/ipvs-services.ts';
import { HERE, LOAD_BALANCER, THERE } from '../../../test/one-service.ts';
import type { SetMember } from '../../kernel/ipset-codec.ts';
import type { ServicePlan } from '../../plan/plan.ts';
import { makeMember, type DesiredMember } from './desired.ts';
import { orderMembers, type MemberPhases } from './phases.ts';
import { SET_NAMES, SETS, type SetName, type SetType } from './sets.ts';

const PORTAL: SetMember = { address: ip('198.51.100.9'), protocol: 6, port: 80 };
const MEMBER_OF: Readonly<Record<SetType, SetMember>> = {
  'hash:ip': { address: ip('198.51.100.9') },
  'hash:ip,port': PORTAL,
  'hash:ip,port,ip': { ...PORTAL, address2: ip('198.51.100.9') },
  'hash:ip,port,net': { ...PORTAL, address2: ip('203.0.113.0'), prefixLength2: 24 },
  'bitmap:port': { port: 30_080 },
};

const memberOf = (set: SetName): DesiredMember => makeMember(set, 'IPv4', MEMBER_OF[SETS[set].type]);

/** "phase: set" of every member, in the order of the phases. */
function phasesOf(coming: readonly DesiredMember[], going: readonly DesiredMember[]): string[] {
  const map = (members: readonly DesiredMember[]): Map<string, DesiredMember> =>
    new Map(members.map((each) => [each.id, each]));
  const phases: MemberPhases = orderMembers({ addMembers: map(coming), removeMembers: map(going) });
  return Object.entries(phases).flatMap(([phase, members]) =>
    (members as readonly DesiredMember[]).map(({ set, family }) =>
      family === 'IPv4' ? `${phase}: ${set}` : `${phase}: ${set} of ${family}`,
    ),
  );
}

const ALONE: Readonly<Record<SetName, readonly [string, string]>> = {
  'KUBE-LOOP-BACK': ['addGuards', 'removeGuards'],
  'KUBE-CLUSTER-IP': ['addPasses', 'removePasses'],
  'KUBE-EXTERNAL-IP': ['addPasses', 'removePasses'],
  'KUBE-EXTERNAL-IP-LOCAL': ['addPasses', 'removePasses'],
  'KUBE-LOAD-BALANCER': ['addPasses', 'removePasses'],
  'KUBE-LOAD-BALANCER-FW': ['addGuards', 'removeGuards'],
  'KUBE-LOAD-BALANCER-LOCAL': ['addUnmarks', 'removeUnmarks'],
  'KUBE-LOAD-BALANCER-SOURCE-IP': ['addPasses', 'removePasses'],
  'KUBE-LOAD-BALANCER-SOURCE-CIDR': ['addPasses', 'removePasses'],
  'KUBE-NODE-PORT-TCP': ['addGuards', 'removeGuards'],
  'KUBE-NODE-PORT-LOCAL-TCP': ['addUnmarks', 'removeUnmarks'],
  'KUBE-NODE-PORT-UDP': ['addGuards', 'removeGuards'],
  'KUBE-NODE-PORT-LOCAL-UDP': ['addUnmarks', 'removeUnmarks'],
  'KUBE-NODE-PORT-SCTP-HASH': ['addGuards', 'removeGuards'],
  'KUBE-NODE-PORT-LOCAL-SCTP-HASH': ['addUnmarks', 'removeUnmarks'],
  'KUBE-HEALTH-CHECK-NODE-PORT': ['addPasses', 'removePasses'],
  'KUBE-IPVS-IPS': ['addGuards', 'removeGuards'],
  'POINTSMAN-VS': ['addGuards', 'removeGuards'],
};

const UNMARKS: readonly (readonly [SetName, SetName])[] = [
  ['KUBE-LOAD-BALANCER-LOCAL', 'KUBE-LOAD-BALANCER'],
  ['KUBE-NODE-PORT-LOCAL-TCP', 'KUBE-NODE-PORT-TCP'],
  ['KUBE-NODE-PORT-LOCAL-UDP', 'KUBE-NODE-PORT-UDP'],
  ['KUBE-NODE-PORT-LOCAL-SCTP-HASH', 'KUBE-NODE-PORT-SCTP-HASH'],
];

describe('a member that changes alone', () => {
  it.each(SET_NAMES)('of %s is written with its role', (set) => {
    const [comes, goes] = ALONE[set];
    expect(phasesOf([memberOf(set)], [])).toEqual([`${comes}: ${set}`]);
    expect(phasesOf([], [memberOf(set)])).toEqual([`${goes}: ${set}`]);
  });
});

describe('a member that exempts from masquerading', () => {
  it.each(UNMARKS)(
    'of %s comes before and goes behind the member of %s with which it does',
    (unmark, mark) => {
      const [unmarking, marking] = [memberOf(unmark), memberOf(mark)];
      expect(phasesOf([marking, unmarking], [])).toContain(`addGuards: ${unmark}`);
      expect(phasesOf([], [marking, unmarking])).toContain(`removeGuards: ${unmark}`);
    },
  );

  it.each(UNMARKS)(
    'of %s comes last when the member of %s goes, and goes first when that comes',
    (unmark, mark) => {
      const [unmarking, marking] = [memberOf(unmark), memberOf(mark)];
      expect(phasesOf([unmarking], [marking])).toContain(`addUnmarks: ${unmark}`);
      expect(phasesOf([marking], [unmarking])).toContain(`removeUnmarks: ${unmark}`);
    },
  );

  it.each(UNMARKS)('of %s is alone beside a member of %s for another portal or family', (unmark, mark) => {
    const member = { ...MEMBER_OF[SETS[mark].type], port: 30_081 };
    const others = [
      makeMember(mark, 'IPv4', member),
      { ...memberOf(mark), id: 'other', family: 'IPv6' as const },
    ];
    expect(phasesOf([memberOf(unmark), ...others], [])).toContain(`addUnmarks: ${unmark}`);
    expect(phasesOf([], [memberOf(unmark), ...others])).toContain(`removeUnmarks: ${unmark}`);
  });
});

describe('a portal that changes between the two sets of external IPs', () => {
  const [marking, keeping] = [memberOf('KUBE-EXTERNAL-IP'), memberOf('KUBE-EXTERNAL-IP-LOCAL')];

  it('is in the one that marks before anything else changes, when it gets servers elsewhere', () => {
    expect(phasesOf([marking], [keeping])).toEqual([
      'addGuards: KUBE-EXTERNAL-IP',
      'removePasses: KUBE-EXTERNAL-IP-LOCAL',
    ]);
  });

  it('stays in the one that marks until everything else has changed, when it keeps local ones only', () => {
    expect(phasesOf([keeping], [marking])).toEqual([
      'addPasses: KUBE-EXTERNAL-IP-LOCAL',
      'removeGuards: KUBE-EXTERNAL-IP',
    ]);
  });

  it('does not matter to other portals', () => {
    const other = makeMember('KUBE-EXTERNAL-IP-LOCAL', 'IPv4', { ...PORTAL, port: 81 });
    expect(phasesOf([marking], [other])).toContain('addPasses: KUBE-EXTERNAL-IP');
    expect(phasesOf([other], [marking])).toContain('removePasses: KUBE-EXTERNAL-IP');
  });
});

const PORTS = (protocol: string): object => ({
  ports: [{ name: 'http', port: 80, protocol, nodePort: 30_080 }],
});
const SLICE_ENDPOINTS = [HERE, THERE];

interface Kind {
  readonly kind: string;
  readonly spec: object;
  readonly rest?: object;
  /** The virtual server in question. */
  readonly id: string;
  /** Its writes when it becomes Local, and when it becomes Cluster again. */
  readonly toLocal: readonly string[];
  readonly toCluster: readonly string[];
}

const nodePort = (protocol: string, mark: string, member: string): Kind => ({
  kind: `a ${protocol} node port`,
  spec: { type: 'NodePort', ...PORTS(protocol) },
  id: `${protocol} 192.168.0.2:30080`,
  toLocal: [
    ...(protocol === 'UDP' ? [] : [`SET_DEST ${protocol} 192.168.0.2:30080 -> ${REMOTE_SERVER}`]),
    ...(protocol === 'UDP' ? [`DEL_DEST ${protocol} 192.168.0.2:30080 -> ${REMOTE_SERVER}`] : []),
    `ADD ${mark} ${member}`,
    ...(protocol === 'UDP' ? [] : [`DEL_DEST ${protocol} 192.168.0.2:30080 -> ${REMOTE_SERVER}`]),
  ],
  toCluster: [`DEL ${mark} ${member}`, `NEW_DEST ${protocol} 192.168.0.2:30080 -> ${REMOTE_SERVER}`],
});

const KINDS: readonly Kind[] = [
  nodePort('TCP', 'KUBE-NODE-PORT-LOCAL-TCP', '30080'),
  nodePort('UDP', 'KUBE-NODE-PORT-LOCAL-UDP', '30080'),
  nodePort('SCTP', 'KUBE-NODE-PORT-LOCAL-SCTP-HASH', '192.168.0.2,sctp:30080'),
  {
    kind: 'an external IP',
    spec: { externalIPs: ['198.51.100.7'], ports: [{ name: 'http', port: 80 }] },
    id: 'TCP 198.51.100.7:80',
    toLocal: [
      'ADD KUBE-EXTERNAL-IP-LOCAL 198.51.100.7,tcp:80',
      `SET_DEST TCP 198.51.100.7:80 -> ${REMOTE_SERVER}`,
      'DEL KUBE-EXTERNAL-IP 198.51.100.7,tcp:80',
      `DEL_DEST TCP 198.51.100.7:80 -> ${REMOTE_SERVER}`,
    ],
    toCluster: [
      'ADD KUBE-EXTERNAL-IP 198.51.100.7,tcp:80',
      `NEW_DEST TCP 198.51.100.7:80 -> ${REMOTE_SERVER}`,
      'DEL KUBE-EXTERNAL-IP-LOCAL 198.51.100.7,tcp:80',
    ],
  },
  {
    kind: 'a load-balancer IP',
    spec: { type: 'LoadBalancer', allocateLoadBalancerNodePorts: false, ports: [{ name: 'http', port: 80 }] },
    rest: LOAD_BALANCER,
    id: 'TCP 198.51.100.9:80',
    toLocal: [
      `SET_DEST TCP 198.51.100.9:80 -> ${REMOTE_SERVER}`,
      'ADD KUBE-LOAD-BALANCER-LOCAL 198.51.100.9,tcp:80',
      `DEL_DEST TCP 198.51.100.9:80 -> ${REMOTE_SERVER}`,
    ],
    toCluster: [
      'DEL KUBE-LOAD-BALANCER-LOCAL 198.51.100.9,tcp:80',
      `NEW_DEST TCP 198.51.100.9:80 -> ${REMOTE_SERVER}`,
    ],
  },
];

/** The plan of the Service of a kind under an external traffic policy. */
function under(policy: 'Cluster' | 'Local', { spec, rest = {} }: Kind): ServicePlan {
  const slice = JSON.stringify(spec).match(/"protocol":"(\w+)"/)?.[1] ?? 'TCP';
  return frontends({ ...spec, externalTrafficPolicy: policy }, SLICE_ENDPOINTS, { rest, protocol: slice });
}

describe.each(KINDS)('$kind', (kind) => {
  const [cluster, local] = [under('Cluster', kind), under('Local', kind)];

  it('loses its servers elsewhere before it stops to masquerade, and masquerades before it gets them', async () => {
    const { kernel, backend } = await started(cluster);
    expect([...(kernel.table.get(kind.id)?.destinations.keys() ?? [])]).toEqual([
      LOCAL_SERVER,
      REMOTE_SERVER,
    ]);
    kernel.onWrite = () => expect(unmasqueraded(kernel)).toEqual([]);
    const writes = (): string[] => kernel.writes.filter((write) => !write.startsWith('RESTORE'));
    await backend.apply(change([local]));
    expect(writes()).toEqual(kind.toLocal);
    kernel.writes = [];
    await backend.apply(change([cluster]));
    expect(writes()).toEqual(kind.toCluster);
  });

  it.each([
    ['Local', cluster, local],
    ['Cluster', local, cluster],
  ])('masquerades what goes elsewhere although a write on its way to %s is refused', async (_, from, to) => {
    const made = await started(from);
    await made.backend.apply(change([to]));
    const all = made.kernel.writes;
    const wanted = made.kernel.dump();
    for (const refused of all) {
      const { kernel, backend } = await started(from);
      kernel.onWrite = () => expect(unmasqueraded(kernel), `although ${refused} was refused`).toEqual([]);
      kernel.faults.push({ matches: (write) => write === refused, errno: 'ENOMEM', times: 1 });
      const report = await backend.apply(change([to]));
      // Rules are restored twice in an apply, so that one refusal is made good at once.
      if (!refused.startsWith('RESTORE'))
        expect([...report.failed, ...report.leftovers, ...report.nodeFailures]).not.toEqual([]);
      const retried = await backend.retry(report.failed);
      expect([...retried.failed, ...retried.leftovers, ...retried.nodeFailures]).toEqual([]);
      expect(kernel.dump()).toBe(wanted);
    }
  });

  it('masquerades from its first moment to its last', async () => {
    for (const plan of [cluster, local]) {
      const { kernel, backend } = await started();
      kernel.onWrite = () => expect(unmasqueraded(kernel)).toEqual([]);
      await backend.apply(change([plan]));
      await backend.apply(change([plan.key]));
      expect([...kernel.table.keys()]).toEqual([]);
    }
  });
});
