// Where a packet goes and why, asked of the objects alone: compiles the plan of a node and traces a packet through it. Reads files and the
// addresses of this machine; needs no root, no kernel module, and changes nothing.

import { hostname } from 'node:os';
import { describeDepartures } from '../backends/ipvs/departures.ts';
import { PointsmanError } from '../model/errors.ts';
import { familyOf, type IpAddress } from '../model/ip.ts';
import type { PodAddress } from '../model/pods.ts';
import { formatProblem } from '../model/problem.ts';
import { Snapshot } from '../model/snapshot.ts';
import type { PacketInput } from '../plan/clients.ts';
import { isLostTo, virtualServerId } from '../plan/ownership.ts';
import type { ForwardingPlan, LeftOutEndpoint } from '../plan/plan.ts';
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
import { chooseSource } from './facts-origin.ts';
import { NODE_TIMERS } from './node-timers.ts';
import { readFactsOnce } from './read-facts.ts';
import { detectFamilies } from './address-families.ts';
import { askedByPerson, readConfig, type DaemonOptions } from './start-up.ts';
import { LocalAddresses } from './local-addresses.ts';
import { addressOfNode, findPod, guessInput, type PacketSource } from './packet-source.ts';
import { nodeOptionsFrom } from './settings.ts';

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
  const { config, nodeName: ownName } = await readConfig(options);
  const facts = chooseSource(options.facts, config, askedByPerson(options));
  const report = await readFactsOnce(facts, config, ownName, NODE_TIMERS);
  for (const problem of [...report.problems, ...report.warnings]) options.log.warn(problem);
  const snapshot = new Snapshot();
  for (const event of report.events) snapshot.apply(event);
  const { source, destination: target } = options;
  const family = familyOf(target.destination);
  const pod = source.kind === 'pod' ? findPod(source, family, report.events) : null;
  // The packets of a pod are handled by the node on which it runs, unless somebody asks for another one.
  const isNodeNamed = options.hostnameOverride !== undefined || config.hostnameOverride !== '';
  const nodeName = isNodeNamed || pod === null || pod.nodeName === '' ? ownName : pod.nodeName;
  // An API server told this machine's Node only.
  if (facts.kind === 'api' && nodeName !== ownName)
    for (const event of (await readFactsOnce(facts, config, nodeName, NODE_TIMERS)).events)
      snapshot.apply(event);
  const node = snapshot.node(nodeName);
  const localAddresses = await addressesOfNode(nodeName, node?.addresses ?? null);
  const plan = compile(
    snapshot,
    nodeOptionsFrom(config, { nodeName, families: detectFamilies(), node, localAddresses }),
  );

  const notes: string[] = [];
  if (node === undefined) notes.push(`there is no Node ${nodeName}: its zone and pod network are unknown`);
  if (pod !== null && pod.nodeName !== nodeName) notes.push(elsewhere(pod, nodeName));
  const address =
    source.kind === 'address' ? source.address : (pod?.address ?? addressOfNode(plan.node, family));
  if (familyOf(address) !== family)
    throw new PointsmanError('USAGE', `${address} and ${target.destination} are of different families`);
  const input = options.input ?? guessInput(address, localAddresses, plan);
  const trace = tracePacket(plan, { source: address, input, ...target });
  notes.push(...rivals(plan, trace), ...misnamedPorts(snapshot, trace), ...describeDepartures(plan, trace));
  const { service } = trace;
  const ofObjects = snapshot.problems().filter(({ object }) => object === `Service ${service}`);
  const ofPlan = service === null ? [] : (plan.services.get(service)?.problems ?? []);
  return {
    node: nodeName,
    packet: trace.packet,
    title: formatPacket(trace.packet),
    client: trace.client,
    service,
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
    problems: [...ofObjects, ...ofPlan].map(formatProblem),
  };
}

function elsewhere({ namespace, name, nodeName }: PodAddress, asked: string): string {
  const place = nodeName === '' ? 'no known node' : `node ${nodeName}`;
  return `pod ${namespace}/${name} runs on ${place}, which is where its packets are handled; this is what ${asked} does with them`;
}

/** Services that ask for the same frontend and do not get it. */
function rivals({ services }: ForwardingPlan, { packet, frontend, service }: Trace): string[] {
  if (frontend === null || service === null) return [];
  const losers = [...services.values()].filter((plan) =>
    isLostTo(plan, service, frontend, packet.destination),
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
