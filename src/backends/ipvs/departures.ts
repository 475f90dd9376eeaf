// Where IPVS mode, kube-proxy's and so ours, does with a packet what the plan does not say. Pure: compares the trace of the plan with what
// is rendered for the same frontend. docs/kube-proxy-state.md lists the reasons.

import { formatEndpoint } from '../../model/endpoints.ts';
import { cidrContains, type Cidr, type IpAddress } from '../../model/ip.ts';
import { addressesOf } from '../../plan/ownership.ts';
import type { ForwardingPlan, RealServer, ServicePlan } from '../../plan/plan.ts';
import type { Trace } from '../../plan/trace.ts';
import type { DesiredVirtualServer } from './desired.ts';
import { renderService } from './render.ts';

/** Endpoints named in one line. */
const MAX_LISTED = 5;

/** One line for each thing that mode ipvs does otherwise with the packet of `trace`; none in nearly all cases. */
export function describeDepartures(plan: ForwardingPlan, trace: Trace): string[] {
  const service = trace.service === null ? undefined : plan.services.get(trace.service);
  if (service === undefined) return [];
  const { virtualServers } = renderService(service, plan.node);
  if (trace.outcome.verdict === 'notOurs') return undeclaredPort(trace, virtualServers);
  const rendered = findRendered(plan, service, trace, virtualServers);
  return rendered === undefined ? [] : [...servers(trace, rendered), ...sources(trace), ...hairpin(trace)];
}

/** The virtual server that the packet meets: frontends are rendered in their order, each on its addresses. */
function findRendered(
  { node }: ForwardingPlan,
  service: ServicePlan,
  { frontend, packet }: Trace,
  rendered: readonly DesiredVirtualServer[],
): DesiredVirtualServer | undefined {
  let at = 0;
  for (const each of service.virtualServers) {
    for (const address of addressesOf(each, node)) {
      const virtualServer = rendered[at++];
      if (each === frontend && address === packet.destination) return virtualServer;
    }
  }
  return undefined;
}

function undeclaredPort({ packet }: Trace, rendered: readonly DesiredVirtualServer[]): string[] {
  const isBound = rendered.some((each) => each.isBound && each.service.address === packet.destination);
  return isBound
    ? ["mode ipvs refuses it: the address is the Service's alone, and this port is not declared"]
    : [];
}

/** A virtual server has one list for all clients, and falls back to the cluster's where the policy Local finds nothing. */
function servers({ outcome, steps, client }: Trace, { realServers }: DesiredVirtualServer): string[] {
  const takers = realServers.filter(({ weight }) => weight > 0);
  if (outcome.verdict === 'forward') {
    const isSame = sameAddresses(outcome.targets, takers);
    return isSame
      ? []
      : [
          `mode ipvs has one list of endpoints for all clients of this frontend: it goes to ${listText(takers)}`,
        ];
  }
  const isWithoutLocal = steps.some(({ step, reason }) => step === 'policy' && reason === 'NoLocalEndpoint');
  if (outcome.verdict !== 'drop' || !isWithoutLocal) return [];
  if (takers.length === 0) return ['mode ipvs refuses it instead of dropping it'];
  const consequence = client === 'outside' ? ', which answers past this node: the client sees no answer' : '';
  return [`mode ipvs sends it to ${listText(takers)} all the same, with its own source${consequence}`];
}

/** The filter stands before the virtual server. */
function sources({ outcome, frontend, packet }: Trace): string[] {
  if (outcome.verdict !== 'reject' || frontend === null || frontend.allowedSources === null) return [];
  return isAllowed(frontend.allowedSources.cidrs, packet.source)
    ? []
    : ['mode ipvs drops it: source ranges count there although no endpoint could be used'];
}

function hairpin({ outcome, steps }: Trace): string[] {
  if (outcome.verdict !== 'forward' || !steps.some(({ step }) => step === 'hairpin')) return [];
  const elsewhere = outcome.targets.filter(({ isMasqueraded, isLocal }) => isMasqueraded && !isLocal);
  return elsewhere.map(
    ({ address, port }) =>
      `mode ipvs masquerades what endpoints of this node send to themselves, not ${formatEndpoint(address, port)}`,
  );
}

function isAllowed(cidrs: readonly Cidr[], source: IpAddress): boolean {
  return cidrs.some((cidr) => cidrContains(cidr, source));
}

function sameAddresses(a: readonly RealServer[], b: readonly RealServer[]): boolean {
  const texts = new Set(b.map(({ address, port }) => formatEndpoint(address, port)));
  return a.length === b.length && a.every(({ address, port }) => texts.has(formatEndpoint(address, port)));
}

function listText(all: readonly RealServer[]): string {
  const texts = all.slice(0, MAX_LISTED).map(({ address, port }) => formatEndpoint(address, port));
  return all.length > MAX_LISTED
    ? `${texts.join(', ')} and ${all.length - MAX_LISTED} more`
    : texts.join(', ');
}
