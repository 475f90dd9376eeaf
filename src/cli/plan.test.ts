import { describe, expect, it } from 'vitest';
import { formatPlan } from './plan.ts';

describe('a plan as text', () => {
  it('groups writes by kind, in the order of writing, and counts them', () => {
    const text = formatPlan({
      node: 'node1',
      changes: [
        { kind: 'virtualServer', action: 'add', object: 'TCP 10.96.0.1:80', detail: 'rr' },
        {
          kind: 'realServer',
          action: 'add',
          object: 'TCP 10.96.0.1:80 -> 10.0.0.2:8080',
          detail: 'weight 1',
        },
        { kind: 'virtualServer', action: 'change', object: 'TCP 10.96.0.2:80', detail: 'sh persistent 60' },
        { kind: 'realServer', action: 'delete', object: 'TCP 10.96.0.2:80 -> 10.0.0.1:8080', detail: '' },
        { kind: 'sysctl', action: 'change', object: 'net/ipv4/ip_forward = 1', detail: '' },
        { kind: 'rules', action: 'change', object: 'IPv4', detail: '*nat\n:KUBE-SERVICES - [0:0]\nCOMMIT\n' },
        { kind: 'address', action: 'add', object: '10.96.0.1', detail: 'kube-ipvs0' },
      ],
      problems: ['Service default/bad: spec.clusterIP: is wrong'],
    });
    expect(text).toBe(`kernel switches:
  ~ net/ipv4/ip_forward = 1

iptables rules:
  ~ IPv4
      *nat
      :KUBE-SERVICES - [0:0]
      COMMIT

virtual servers:
  + TCP 10.96.0.1:80  rr
  ~ TCP 10.96.0.2:80  sh persistent 60

real servers:
  + TCP 10.96.0.1:80 -> 10.0.0.2:8080  weight 1
  - TCP 10.96.0.2:80 -> 10.0.0.1:8080

addresses on kube-ipvs0:
  + 10.96.0.1  kube-ipvs0

problems:
  ! Service default/bad: spec.clusterIP: is wrong

Plan for node1: 3 to add, 3 to change, 1 to delete (7 writes).
`);
  });

  it('says that nothing would change', () => {
    expect(formatPlan({ node: 'node1', changes: [], problems: [] })).toBe(
      'No changes: the kernel of node1 is as planned.\n',
    );
  });
});
