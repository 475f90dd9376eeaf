// Where a packet goes and why, asked of manifests alone: compiles the plan of a node and traces a packet through it. Reads files and the
// addresses of this machine; needs no root, no kernel module, and changes nothing.

import { hostname } from 'node:os';
import { formatManifestProblem, ManifestSource } from '../cluster/manifests.ts';
import { PointsmanError } from '../model/errors.ts';
import { formatEndpoint } from '../model/endpoints.ts';
import { familyOf, isLoopback, type Family, type IpAddress } from '../model/ip.ts';
import { podsOf, type PodAddress } from '../model/pods.ts';
import { formatProblem, type Problem } from '../model/problem.ts';
import type { ClusterEvent } from '../model/objects.ts';
import { Snapshot } from '../model/snapshot.ts';
import type { PacketInput } from '../plan/clients.ts';
import { virtualServerId } from '../plan/ownership.ts';
import type { ForwardingPlan, LeftOutEndpoint, NodeOptions } from '../plan/plan.ts';
import { compile } from '../plan/planner.ts';
import { tracePacket, type Packet, type Target, type Trace } from '../plan/trace.ts';
import {
  describeLeftOut,
  describeOutcome,
  describeSteps,
  describeTarget,
  formatPacket,
  type StepText,
} from '../plan/trace-text.ts';
import { detectFamilies, readConfig, type DaemonOptions } from './daemon.ts';
import { LocalAddresses } from './local-addresses.ts';
import { nodeOptionsFrom } from './settings.ts';

/** Who sends the packet: an address, a pod by name (namespace '' = any), or this node. */
export type PacketSource =
  | { readonly kind: 'address'; readonly address: IpAddress }
  | { readonly kind: 'pod'; readonly namespace: string; readonly name: string }
  | { readonly kind: 'node' };

export interface ExplanationOptions extends DaemonOptions {
  readonly source: PacketSource;
  readonly destination: Pick<Packet, 'destination' | 'port' | 'protocol'>;
  /** How the packet comes in; null = as the source suggests. */
  readonly input: PacketInput | null;
}

/** What `pointsman explain -o json` prints: keys are added to, never renamed. */
export interface Explanation {
  readonly node: string;
  readonly packet: Packet;
  /** "TCP 10.244.1.5 -> 10.96.0.1:80" */
  readonly title: string;
  readonly client: Trace['client'];
  /** "namespace/name", null when the packet concerns no Service. */
  readonly service: string | null;
  /** "ClusterIP TCP 10.96.0.1:80", null when the packet meets none. */
  readonly frontend: string | null;
  readonly steps: readonly StepText[];
  readonly verdict: Trace['outcome']['verdict'];
  /** The verdict in words. */
  readonly outcome: string;
  /** In the order in which they are added; empty unless forwarded. `text`: why it is masqueraded. */
  readonly targets: readonly (Target & { readonly text: string })[];
  readonly leftOut: readonly (LeftOutEndpoint & { readonly text: string })[];
  /** What else to know about this answer, one line each. */
  readonly notes: readonly string[];
  /** What is wrong with the Service, one line each. */
  readonly problems: readonly string[];
}

/** Explains one packet. Throws USAGE for a pod that is unknown or ambiguous and for mixed families, and as readConfig and readAll do. */
export async function makeExplanation(options: ExplanationOptions): Promise<Explanation> {
  const { config, nodeName } = await readConfig(options);
  const report = await new ManifestSource(options.manifests, {}).readAll();
  for (const problem of [...report.problems, ...report.warnings])
    options.log.warn(formatManifestProblem(problem));
  const snapshot = new Snapshot();
  for (const event of report.events) snapshot.apply(event);
  const node = snapshot.node(nodeName);
  const localAddresses = await addressesOfNode(nodeName, node?.addresses ?? null);
  const plan = compile(
    snapshot,
    nodeOptionsFrom(config, { nodeName, families: detectFamilies(), node, localAddresses }),
  );

  const { destination } = options.destination;
  const notes: string[] = [];
  if (node === undefined)
    notes.push(`the manifests have no Node ${nodeName}: its zone and pod network are unknown`);
  const source = findSource(options.source, familyOf(destination), report.events, plan.node, notes);
  if (familyOf(source) !== familyOf(destination))
    throw new PointsmanError('USAGE', `${source} and ${destination} are of different families`);
  const input = options.input ?? guessInput(source, localAddresses, plan);
  const trace = tracePacket(plan, { source, input, ...options.destination });
  notes.push(...rivals(plan, trace), ...misnamedPorts(snapshot, trace));
  const problems = [...snapshot.problems(), ...planProblems(plan, trace)];
  return {
    node: nodeName,
    packet: trace.packet,
    title: formatPacket(trace.packet),
    client: trace.client,
    service: trace.service,
    frontend: trace.frontend === null ? null : virtualServerId(trace.frontend),
    steps: describeSteps(trace, plan.node),
    verdict: trace.outcome.verdict,
    outcome: describeOutcome(trace),
    targets:
      trace.outcome.verdict === 'forward'
        ? trace.outcome.targets.map((target) => ({ ...target, text: describeTarget(target, trace) }))
        : [],
    leftOut: trace.leftOut.map((each) => ({ ...each, text: describeLeftOut(each) })),
    notes,
    problems: problems.filter(({ object }) => object === `Service ${trace.service}`).map(formatProblem),
  };
}

function planProblems({ services }: ForwardingPlan, { service }: Trace): readonly Problem[] {
  return [...services.values()].find(({ key }) => key === service)?.problems ?? [];
}

/** Services that ask for the same frontend and do not get it. */
function rivals({ services }: ForwardingPlan, { packet, frontend, service }: Trace): string[] {
  if (frontend === null) return [];
  const claims = [
    `${packet.protocol} ${formatEndpoint(packet.destination, packet.port)}`,
    `${packet.protocol} ${frontend.family} *:${packet.port}`,
  ];
  const losers = [...services.values()].filter(({ lost }) =>
    lost.some(({ id, owner }) => owner === service && claims.some((claim) => id.endsWith(` ${claim}`))),
  );
  return losers.map(({ key }) => `Service ${key} asks for this frontend, too, and does not get it`);
}

/** A frontend without endpoints whose Service has EndpointSlices, but none with a port of that name: probably a slip in one of them. */
function misnamedPorts(snapshot: Snapshot, { service, frontend }: Trace): string[] {
  const slices = service === null ? [] : (snapshot.get(service)?.slices ?? []);
  if (frontend === null) return [];
  const name = (port: { readonly name: string; readonly protocol: string }): string =>
    `${port.name === '' ? 'without a name' : port.name} (${port.protocol})`;
  const wanted = name({ name: frontend.portName, protocol: frontend.protocol });
  const given = new Set(
    slices.filter(({ family }) => family === frontend.family).flatMap(({ ports }) => ports.map(name)),
  );
  if (given.size === 0 || given.has(wanted)) return [];
  return [
    `the EndpointSlices of Service ${service} have no port ${wanted}, only ${[...given].sort().join(', ')}`,
  ];
}

/** The addresses of the node: this machine's when it is that node, else those of its Node object. */
async function addressesOfNode(
  nodeName: string,
  ofObject: readonly IpAddress[] | null,
): Promise<readonly IpAddress[]> {
  const addresses = new LocalAddresses();
  try {
    const here = await addresses.read();
    const isHere =
      ofObject === null
        ? nodeName === hostname().trim().toLowerCase()
        : ofObject.some((address) => here.includes(address));
    return isHere ? here : (ofObject ?? []);
  } finally {
    addresses.close();
  }
}

function findSource(
  source: PacketSource,
  family: Family,
  events: readonly ClusterEvent[],
  node: NodeOptions,
  notes: string[],
): IpAddress {
  switch (source.kind) {
    case 'address':
      return source.address;
    case 'node': {
      const address = node.nodeIPs.find((one) => familyOf(one) === family);
      if (address !== undefined) return address;
      const message = `the ${family} address of node ${node.nodeName} is not known; give it with --from ADDRESS --input node`;
      throw new PointsmanError('USAGE', message);
    }
    case 'pod': {
      const pod = findPod(source, family, events);
      if (pod.nodeName !== node.nodeName)
        notes.push(
          `pod ${pod.namespace}/${pod.name} runs on ${pod.nodeName === '' ? 'no known node' : `node ${pod.nodeName}`}, which is where its packets are handled; this is what ${node.nodeName} does with them (--hostname-override NODE asks for another node)`,
        );
      return pod.address;
    }
  }
}

function findPod(
  wanted: Extract<PacketSource, { kind: 'pod' }>,
  family: Family,
  events: readonly ClusterEvent[],
): PodAddress {
  const text = wanted.namespace === '' ? wanted.name : `${wanted.namespace}/${wanted.name}`;
  const named = events
    .flatMap((event) =>
      event.type === 'apply' && event.object.kind === 'EndpointSlice' ? podsOf(event.object) : [],
    )
    .filter(
      ({ namespace, name }) =>
        name === wanted.name && (wanted.namespace === '' || namespace === wanted.namespace),
    );
  const namespaces = [...new Set(named.map(({ namespace }) => namespace))].sort();
  if (namespaces.length > 1) {
    const choices = namespaces.map((namespace) => `pod/${namespace}/${wanted.name}`).join(' or ');
    throw new PointsmanError('USAGE', `there are several pods ${wanted.name}; write ${choices}`);
  }
  const [pod] = named.filter(({ address }) => familyOf(address) === family);
  if (pod !== undefined) return pod;
  const what = named.length === 0 ? `no endpoint is a pod ${text}` : `pod ${text} has no ${family} address`;
  throw new PointsmanError(
    'USAGE',
    `${what} (pods are known from targetRef in EndpointSlices); give its address instead`,
  );
}

/** An address of this node sends from it; an endpoint on it comes by an interface that a detector of interfaces would know. */
function guessInput(
  source: IpAddress,
  localAddresses: readonly IpAddress[],
  { node, services }: ForwardingPlan,
): PacketInput {
  const plans = [...services.values()];
  const isBound = plans.some(({ virtualServers }) =>
    virtualServers.some(({ address }) => address === source),
  );
  if (isLoopback(source) || isBound || localAddresses.includes(source) || node.nodeIPs.includes(source))
    return { from: 'node' };
  const isHere = plans.some(({ localEndpoints }) => localEndpoints.some(({ address }) => address === source));
  return { from: 'interface', interfaceName: isHere ? podInterface(node) : '' };
}

function podInterface({ localDetector }: NodeOptions): string {
  switch (localDetector.kind) {
    case 'bridge':
      return localDetector.interfaceName;
    case 'interfacePrefix':
      return localDetector.prefix;
    case 'none':
    case 'cidr':
      return '';
  }
}
