// Plans of every kind of frontend for the IPVS backend, in the words of the API, and what must be masqueraded while one becomes another.

import { kernelSetName, type SetName } from '../src/backends/ipvs/sets.ts';
import { formatServiceKey } from '../src/kernel/ipvs-codec.ts';
import { serviceKey } from '../src/model/names.ts';
import { compileService } from '../src/plan/compile.ts';
import type { ServicePlan } from '../src/plan/plan.ts';
import type { FakeIpvsKernel } from './fake-ipvs-kernel.ts';
import { NODE } from './ipvs-plans.ts';
import { serviceOf, sliceOf } from './one-service.ts';

/** An endpoint on this node, and one on another, as the fake kernel names their servers. */
export const LOCAL_SERVER = '10.244.1.5:8080';
export const REMOTE_SERVER = '10.244.2.5:8080';

/** The plan of Service default/NAME on NODE; `spec` and `rest` as of serviceOf, `protocol` that of the endpoints' port. */
export function frontends(
  spec: object,
  endpoints: readonly object[],
  { name = 'web', rest = {}, protocol = 'TCP' }: { name?: string; rest?: object; protocol?: string } = {},
): ServicePlan {
  const slice = sliceOf(endpoints, { ports: [{ name: 'http', port: 8080, protocol }] });
  return { ...compileService(serviceOf(spec, rest), [slice], NODE), key: serviceKey('default', name) };
}

/** Virtual servers whose clients could reach a server elsewhere with their own address as the source: nothing would come back to them. */
export function unmasqueraded(kernel: FakeIpvsKernel): string[] {
  return [...kernel.table.values()]
    .filter(({ destinations }) => (destinations.get(REMOTE_SERVER)?.weight ?? 0) > 0)
    .filter(({ service }) => {
      if (service.fwmark !== undefined) return false;
      const { family, address, protocol, port } = service;
      const has = (set: SetName, id: string): boolean =>
        kernel.sets.get(kernelSetName(set, family))?.has(id) ?? false;
      const name = { 6: 'tcp', 17: 'udp', 132: 'sctp' }[protocol] ?? '';
      const portal = `${address},${name}:${port}`;
      if (NODE.nodePortAddresses.includes(address)) {
        if (name === 'sctp')
          return !has('KUBE-NODE-PORT-SCTP-HASH', portal) || has('KUBE-NODE-PORT-LOCAL-SCTP-HASH', portal);
        const [all, local] =
          name === 'tcp'
            ? (['KUBE-NODE-PORT-TCP', 'KUBE-NODE-PORT-LOCAL-TCP'] as const)
            : (['KUBE-NODE-PORT-UDP', 'KUBE-NODE-PORT-LOCAL-UDP'] as const);
        return !has(all, String(port)) || has(local, String(port));
      }
      const isMarked =
        has('KUBE-EXTERNAL-IP', portal) ||
        has('KUBE-CLUSTER-IP', portal) ||
        (has('KUBE-LOAD-BALANCER', portal) && !has('KUBE-LOAD-BALANCER-LOCAL', portal));
      const isReachable =
        isMarked || has('KUBE-EXTERNAL-IP-LOCAL', portal) || has('KUBE-LOAD-BALANCER', portal);
      return isReachable && !isMarked;
    })
    .map(({ service }) => formatServiceKey(service));
}
