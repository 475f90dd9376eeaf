// Who owns an address, port and protocol that several virtual servers ask for: how claims are spelt, and what is left of a Service's plan
// when others own some of what it claims. The older Service wins, then the first by namespace and name (claims.ts keeps that order). Pure.

import { formatEndpoint } from '../model/endpoints.ts';
import { familyOf, type IpAddress } from '../model/ip.ts';
import type { ServiceKey } from '../model/names.ts';
import type { Problem } from '../model/problem.ts';
import type { HealthCheck, LostVirtualServer, NodeOptions, ServicePlan, VirtualServer } from './plan.ts';

/** "ClusterIP TCP 10.96.0.1:443", "NodePort TCP IPv4 *:30080": what a virtual server is, unique in its Service. */
export function virtualServerId(virtualServer: VirtualServer): string {
  const { kind, address } = virtualServer;
  return `${kind} ${address === null ? nodePortClaim(virtualServer) : claimOn(virtualServer, address)}`;
}

/** The addresses on which a virtual server answers, in the order of NodeOptions for a NodePort. */
export function addressesOf(virtualServer: VirtualServer, node: NodeOptions): readonly IpAddress[] {
  if (virtualServer.address !== null) return [virtualServer.address];
  const { family, exceptAddresses } = virtualServer;
  return node.nodePortAddresses.filter(
    (address) => familyOf(address) === family && !exceptAddresses.includes(address),
  );
}

/**
 * What a Service claims: address, port and protocol of each virtual server. A node port claims itself ("TCP IPv4 *:30080"), so that two
 * Services with the same one never share its addresses, and each address, which an external IP may claim, too.
 */
export function claimsOf(plan: ServicePlan, node: NodeOptions): string[] {
  const claims: string[] = [];
  for (const virtualServer of plan.virtualServers) {
    if (virtualServer.address === null) claims.push(nodePortClaim(virtualServer));
    for (const address of addressesOf(virtualServer, node)) claims.push(claimOn(virtualServer, address));
  }
  if (plan.healthCheck !== null) claims.push(...healthCheckClaims(plan.healthCheck, node));
  return claims;
}

function claimOn({ protocol, port }: VirtualServer, address: IpAddress): string {
  return `${protocol} ${formatEndpoint(address, port)}`;
}

function nodePortClaim({
  protocol,
  family,
  port,
}: Pick<VirtualServer, 'protocol' | 'family' | 'port'>): string {
  return `${protocol} ${family} *:${port}`;
}

/** A health-check port is a node port of the agent's own, in every family. */
function healthCheckClaims({ nodePort }: HealthCheck, { families }: NodeOptions): string[] {
  return families.map((family) => nodePortClaim({ protocol: 'TCP', family, port: nodePort }));
}

/** True when the Service of this plan asks for a frontend on an address, or for its node port, and another one owns it. */
export function isLostTo(
  { lost }: ServicePlan,
  owner: ServiceKey,
  frontend: VirtualServer,
  address: IpAddress,
): boolean {
  const claims = [claimOn(frontend, address), nodePortClaim(frontend)];
  return lost.some((each) => each.owner === owner && claims.some((claim) => each.id.endsWith(` ${claim}`)));
}

/**
 * The plan with only what the Service owns; the same object when that is everything. What others own is in `lost`, with a problem for
 * each owner. `ownerOf` says who owns a claim, after every Service has made its claims.
 */
export function restrictToOwned(
  plan: ServicePlan,
  node: NodeOptions,
  ownerOf: (claim: string) => ServiceKey | undefined,
): ServicePlan {
  const isOwned = (each: VirtualServer): boolean =>
    each.address !== null && ownerOf(claimOn(each, each.address)) === plan.key;
  // Nearly every Service has all that it asks for.
  if (plan.healthCheck === null && plan.virtualServers.every(isOwned)) return plan;
  const kept: VirtualServer[] = [];
  const lost: LostVirtualServer[] = [];
  const own = addressedClaims(plan);
  let isChanged = false;
  for (const virtualServer of plan.virtualServers) {
    const result =
      virtualServer.address === null
        ? restrictNodePort(virtualServer, plan.key, node, ownerOf, own)
        : restrictAddress(virtualServer, virtualServer.address, plan.key, ownerOf);
    if (result.kept !== virtualServer) isChanged = true;
    if (result.kept !== null) kept.push(result.kept);
    lost.push(...result.lost);
  }
  const healthCheckOwner = otherOwner(plan, node, ownerOf);
  if (plan.healthCheck !== null && healthCheckOwner !== undefined) {
    const id = `HealthCheckNodePort TCP *:${plan.healthCheck.nodePort}`;
    lost.push({ id, addresses: [], owner: healthCheckOwner });
    isChanged = true;
  }
  if (!isChanged) return plan;
  return {
    ...plan,
    virtualServers: kept,
    lost,
    healthCheck: healthCheckOwner === undefined ? plan.healthCheck : null,
    problems: [...plan.problems, ...lost.map((each) => conflictProblem(plan.key, each))],
  };
}

/** The first other Service that owns the health-check port of this one. */
function otherOwner(
  { key, healthCheck }: ServicePlan,
  node: NodeOptions,
  ownerOf: (claim: string) => ServiceKey | undefined,
): ServiceKey | undefined {
  if (healthCheck === null) return undefined;
  return healthCheckClaims(healthCheck, node)
    .map(ownerOf)
    .find((owner) => owner !== undefined && owner !== key);
}

interface Restricted {
  readonly kept: VirtualServer | null;
  readonly lost: readonly LostVirtualServer[];
}

function restrictAddress(
  virtualServer: VirtualServer,
  address: IpAddress,
  key: ServiceKey,
  ownerOf: (claim: string) => ServiceKey | undefined,
): Restricted {
  const owner = ownerOf(claimOn(virtualServer, address)) ?? key;
  if (owner === key) return { kept: virtualServer, lost: [] };
  return { kept: null, lost: [{ id: virtualServerId(virtualServer), addresses: [], owner }] };
}

/** `own`: what the Service itself claims by address; there its NodePort stands back without a word. */
function restrictNodePort(
  virtualServer: VirtualServer,
  key: ServiceKey,
  node: NodeOptions,
  ownerOf: (claim: string) => ServiceKey | undefined,
  own: ReadonlySet<string>,
): Restricted {
  const id = virtualServerId(virtualServer);
  const owner = ownerOf(nodePortClaim(virtualServer)) ?? key;
  if (owner !== key) return { kept: null, lost: [{ id, addresses: [], owner }] };
  const except: IpAddress[] = [];
  const lostTo = new Map<ServiceKey, IpAddress[]>();
  for (const address of addressesOf(virtualServer, node)) {
    const claim = claimOn(virtualServer, address);
    const addressOwner = ownerOf(claim) ?? key;
    if (addressOwner === key && !own.has(claim)) continue;
    except.push(address);
    if (addressOwner !== key) lostTo.set(addressOwner, [...(lostTo.get(addressOwner) ?? []), address]);
  }
  if (except.length === 0) return { kept: virtualServer, lost: [] };
  const lost = [...lostTo].map(([each, addresses]) => ({ id, addresses, owner: each }));
  return { kept: { ...virtualServer, exceptAddresses: except }, lost };
}

const NO_CLAIMS: ReadonlySet<string> = new Set();

/** Claims of the virtual servers with an address; only worth knowing where there are node ports. */
function addressedClaims(plan: ServicePlan): ReadonlySet<string> {
  if (!plan.virtualServers.some(({ address }) => address === null)) return NO_CLAIMS;
  return new Set(
    plan.virtualServers.flatMap((each) => (each.address === null ? [] : [claimOn(each, each.address)])),
  );
}

function conflictProblem(key: ServiceKey, { id, addresses, owner }: LostVirtualServer): Problem {
  const what = addresses.length === 0 ? id : `${id} on ${addresses.join(', ')}`;
  return {
    object: `Service ${key}`,
    field: '',
    reason: 'AddressConflict',
    message: `${what} belongs to Service ${owner}, which is older (with equal age: first by name); this Service does not get it`,
    remedy: 'give one of the two another address or port',
  };
}
