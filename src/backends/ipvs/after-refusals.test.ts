// What comes after a refusal and before its retry: the next change of the same Service must not be written from what is only believed.

import { describe, expect, it } from 'vitest';
import { FakeIpvsKernel } from '../../../test/fake-ipvs-kernel.ts';
import { change, ip, makeBackend, NODE, plan, SETTINGS } from '../../../test/ipvs-plans.ts';
import { frontends, unmasqueraded } from '../../../test/ipvs-services.ts';
import { HERE, THERE } from '../../../test/one-service.ts';
import { compare } from '../../../test/verified-backend.ts';
import { PointsmanError } from '../../model/errors.ts';
import { serviceKey } from '../../model/names.ts';
import type { ServicePlan } from '../../plan/plan.ts';

const WEB = plan('web', [{ address: '172.30.0.1', endpoints: ['10.0.0.1'] }]);
const VIP = '198.51.100.9';
const OUT_FILTER = ['IPv4', 'filter', 'KUBE-IPVS-OUT-FILTER'] as const;

function refuse(kernel: FakeIpvsKernel, verb: string, times = 1000): void {
  kernel.faults.push({ matches: (write) => write.startsWith(verb), errno: 'ENOMEM', times });
}

function loadBalancer(spec: object, endpoints: readonly object[]): ServicePlan {
  return frontends({ type: 'LoadBalancer', ...spec }, [...endpoints], {
    rest: { status: { loadBalancer: { ingress: [{ ip: VIP }] } } },
  });
}

async function empty(node = NODE) {
  const made = makeBackend();
  await made.backend.apply(change([], true, node));
  return made;
}

describe('a Service of which something was refused, at its next change', () => {
  it('still has no servers behind a node port that nobody marks', async () => {
    const { kernel, backend } = await empty();
    refuse(kernel, 'ADD KUBE-NODE-PORT-TCP');
    const nodePort = (endpoints: object[]) => frontends({ type: 'NodePort' }, endpoints);
    await backend.apply(change([nodePort([THERE])]));
    await backend.apply(change([nodePort([THERE, HERE])]));
    expect(unmasqueraded(kernel)).toEqual([]);
    expect([...kernel.table.keys()]).not.toContain('TCP 192.168.0.2:30080');
  });

  it('gets no servers elsewhere while it is exempt from masquerading', async () => {
    const { kernel, backend } = makeBackend();
    await backend.apply(change([loadBalancer({ externalTrafficPolicy: 'Local' }, [HERE])], true));
    refuse(kernel, 'DEL KUBE-LOAD-BALANCER-LOCAL');
    await backend.apply(change([loadBalancer({}, [HERE, THERE])]));
    await backend.apply(change([loadBalancer({}, [THERE])]));
    expect(unmasqueraded(kernel)).toEqual([]);
    kernel.faults.length = 0;
    const { failed, leftovers } = await backend.retry(backend.currentReport().failed);
    expect([failed, leftovers]).toEqual([[], []]);
    expect(kernel.table.get(`TCP ${VIP}:80`)?.destinations.size).toBe(1);
  });

  it('is exempt from masquerading at the retry when that was withheld for what another Service was refused', async () => {
    const localAddresses = [ip('192.168.0.2'), ip('192.168.0.3')];
    const at = (...addresses: string[]) => ({
      ...{ ...NODE, localAddresses },
      nodePortAddresses: addresses.map(ip),
    });
    const nodePort = (name: string, externalTrafficPolicy: string) =>
      frontends({ type: 'NodePort', externalTrafficPolicy }, [HERE], { name });
    const both = at('192.168.0.2', '192.168.0.3');
    const { kernel, backend } = await empty(both);
    await backend.apply(change([nodePort('old', 'Cluster')], false, both));
    // The servers of the former node address would go on taking connections.
    refuse(kernel, 'SET_DEST TCP 192.168.0.2:30080', 1);
    const moved = change([serviceKey('default', 'old'), nodePort('new', 'Local')], false, at('192.168.0.3'));
    const { failed } = await backend.apply(moved);
    expect(kernel.sets.get('KUBE-NODE-PORT-LOCAL-TCP')?.has('30080')).toBe(false);
    expect(failed).toEqual(['default/new']);
    expect((await backend.retry(failed)).failed).toEqual([]);
    expect(kernel.sets.get('KUBE-NODE-PORT-LOCAL-TCP')?.has('30080')).toBe(true);
  });

  it('loses a server that it got beside the refused one', async () => {
    const { kernel, backend } = makeBackend();
    await backend.apply(change([WEB], true));
    const web = (...endpoints: string[]) => plan('web', [{ address: '172.30.0.1', endpoints }]);
    refuse(kernel, 'NEW_DEST TCP 172.30.0.1:80 -> 10.0.0.2');
    await backend.apply(change([web('10.0.0.1', '10.0.0.2', '10.0.0.3')]));
    await backend.apply(change([web('10.0.0.1', '10.0.0.2')]));
    expect([...(kernel.table.get('TCP 172.30.0.1:80')?.destinations.keys() ?? [])]).toEqual([
      '10.0.0.1:8080',
    ]);
  });

  it('stays shut where its source ranges are not in force, on an address of the node too', async () => {
    const node = { ...NODE, localAddresses: [ip(VIP)] };
    const { kernel, backend } = await empty(node);
    refuse(kernel, 'ADD KUBE-LOAD-BALANCER-FW');
    const restricted = (endpoints: object[]) =>
      loadBalancer(
        { loadBalancerSourceRanges: ['203.0.113.0/24'], allocateLoadBalancerNodePorts: false },
        endpoints,
      );
    await backend.apply(change([restricted([HERE])], false, node));
    await backend.apply(change([restricted([HERE, THERE])], false, node));
    expect([...kernel.table.keys()]).not.toContain(`TCP ${VIP}:80`);
  });
});

describe('a start', () => {
  it('that failed is done anew: by then the kernel may be another', async () => {
    const kernel = new FakeIpvsKernel();
    await makeBackend(kernel).backend.apply(change([WEB], true));
    const wanted = kernel.dump();
    const { backend } = makeBackend(kernel);
    const createLink = kernel.createLink.bind(kernel);
    kernel.addresses = null;
    kernel.createLink = () => Promise.reject(new PointsmanError('KERNEL_TIMEOUT', 'no answer'));
    await expect(backend.apply(change([WEB], true))).rejects.toThrow('no answer');
    kernel.createLink = createLink;
    kernel.table.clear();
    kernel.sets.get('KUBE-CLUSTER-IP')?.clear();
    expect((await backend.apply(change([WEB], true))).failed).toEqual([]);
    expect(kernel.dump()).toBe(wanted);
  });

  it('does without timeouts that the kernel refuses, says so, and sets them at a retry', async () => {
    const kernel = new FakeIpvsKernel();
    refuse(kernel, 'SET_CONFIG', 1);
    const { backend } = makeBackend(kernel);
    const { nodeFailures } = await backend.apply(change([WEB], true));
    expect(nodeFailures).toEqual(['connection timeouts']);
    expect([...kernel.table.keys()]).toEqual(['TCP 172.30.0.1:80']);
    expect((await backend.retry([])).nodeFailures).toEqual([]);
    expect(kernel.timeouts().tcpSeconds).toBe(9000);
  });

  it('never takes away the rules for processes of this node because of one refusal, or of one failed read', async () => {
    const restricted = loadBalancer({ loadBalancerSourceRanges: ['203.0.113.0/24'] }, [HERE]);
    const nodePort = plan('np', [{ nodePort: 30_091, protocol: 'UDP', endpoints: ['10.0.0.1'] }]);
    for (const what of ['restore', 'read']) {
      const kernel = new FakeIpvsKernel();
      await makeBackend(kernel).backend.apply(change([restricted], true));
      expect(kernel.chain(...OUT_FILTER)).toHaveLength(1);
      kernel.onWrite = () => expect(kernel.chain(...OUT_FILTER), what).toHaveLength(1);
      if (what === 'restore') refuse(kernel, 'RESTORE IPv4', 1);
      const rules = kernel.rules.bind(kernel);
      kernel.rules = (family) => {
        kernel.rules = rules;
        return what === 'read'
          ? Promise.reject(new PointsmanError('TOOL_FAILED', 'iptables-save: time limit'))
          : kernel.rules(family);
      };
      await makeBackend(kernel).backend.apply(change([restricted, nodePort], true));
    }
  });
});

it('many Services that failed are read again in turns with everything else', async () => {
  const kernel = new FakeIpvsKernel();
  const { backend } = makeBackend(kernel);
  const plans = Array.from({ length: 200 }, (_, i) =>
    plan(`s${i}`, [{ address: `172.30.0.${i}`, endpoints: ['10.0.0.1'] }]),
  );
  refuse(kernel, 'NEW_SERVICE');
  const { failed } = await backend.apply(change(plans, true));
  kernel.faults.length = 0;
  let reads = 0;
  let mostReads = 0;
  const read = kernel.service.bind(kernel);
  kernel.service = (key) => {
    mostReads = Math.max(mostReads, ++reads);
    return read(key);
  };
  backend.configure({ ...SETTINGS, pace: async () => void (reads = 0) });
  await backend.retry(failed);
  expect([failed.length, mostReads]).toEqual([200, 16]);
});

it('settings that come while others are written are written, too', async () => {
  const kernel = new FakeIpvsKernel();
  const { backend } = makeBackend(kernel);
  const applyIpvs = kernel.applyIpvs.bind(kernel);
  kernel.applyIpvs = async (operations) => {
    kernel.applyIpvs = applyIpvs;
    const failures = await kernel.applyIpvs(operations);
    backend.configure({ ...SETTINGS, timeouts: { tcpSeconds: 1234 } });
    return failures;
  };
  await backend.apply(change([], true));
  await backend.apply(change([WEB]));
  expect(kernel.timeouts().tcpSeconds).toBe(1234);
});

it("a change of ours does not hide somebody else's change of the rules", async () => {
  const { kernel, backend } = makeBackend();
  await backend.apply(change([WEB], true));
  kernel.changeRules('IPv4', 'filter', (chains) => chains.set('KUBE-IPVS-FILTER', []));
  await backend.apply(change([plan('np', [{ nodePort: 30_080, endpoints: ['10.0.0.1'] }])]));
  await backend.verifier.checkContainers();
  expect(kernel.chain('IPv4', 'filter', 'KUBE-IPVS-FILTER')).toHaveLength(6);
  await compare(backend);
});
