// A trace in words, for people who ask where a packet goes and why: one sentence for each step, outcome and endpoint left out. Pure.

import { formatEndpoint } from '../model/endpoints.ts';
import { virtualServerId } from './ownership.ts';
import type { LeftOutEndpoint, NodeOptions } from './plan.ts';
import type { Packet, Target, Trace, TraceStep } from './trace.ts';

/** One step as a name to put before it and a sentence without a full stop. */
export interface StepText {
  readonly step: TraceStep['step'];
  readonly reason: TraceStep['reason'];
  readonly text: string;
}

/** "TCP 10.244.1.5 -> 10.96.0.1:80" */
export function formatPacket({ protocol, source, destination, port }: Packet): string {
  return `${protocol} ${source} -> ${formatEndpoint(destination, port)}`;
}

/** Every step of a trace in words, in their order. */
export function describeSteps(trace: Trace, node: NodeOptions): StepText[] {
  return trace.steps.map((step) => ({ ...step, text: describeStep(step, trace, node) }));
}

/** What becomes of the packet, in a few words. */
export function describeOutcome({ outcome }: Trace): string {
  switch (outcome.verdict) {
    case 'forward':
      return 'forwarded';
    case 'reject':
      return 'refused (ICMP port unreachable)';
    case 'drop':
      return 'dropped';
    case 'notOurs':
      return 'not ours: routing, firewalls and local processes decide';
  }
}

/** Why a target sees the node's address; '' when it sees the client's. */
export function describeTarget({ isMasqueraded, address }: Target, { packet }: Trace): string {
  if (!isMasqueraded) return '';
  return address === packet.source ? 'masqueraded: it would answer itself' : 'masqueraded';
}

const LEFT_OUT: Readonly<Record<LeftOutEndpoint['reason'], string>> = {
  NotReady: 'not ready',
  Terminating: 'terminating, and ready ones exist',
  NotLocal: 'on another node',
  OtherNode: 'hints reserve it for other nodes',
  OtherZone: 'hints reserve it for other zones',
  TooMany: 'beyond the limit on endpoints of one port',
};

/** Why an endpoint is not used. */
export function describeLeftOut({ reason }: LeftOutEndpoint): string {
  return LEFT_OUT[reason];
}

function describeStep(step: TraceStep, trace: Trace, node: NodeOptions): string {
  switch (step.step) {
    case 'client':
      return describeClient(step.reason, trace.packet, node);
    case 'frontend':
      return describeFrontend(step.reason, trace);
    case 'endpoints':
      return 'no endpoint can be used, here or on any node';
    case 'sources':
      return describeSources(step.reason, trace);
    case 'policy':
      return describePolicy(step.reason, trace);
    case 'masquerade':
      return MASQUERADE[step.reason];
    case 'hairpin':
      return 'the client is one of the real servers: sent to itself, its address is replaced';
  }
}

const MASQUERADE = {
  EveryClient: "the client's address is replaced by this node's, as for every client here",
  NotAPod: "the client's address is replaced by this node's, since it is no pod",
  ThisNode: "the client's address is replaced, since it is this node's own",
  SourceKept: "the client's address is kept",
} as const;

function describeClient(
  reason: Extract<TraceStep, { step: 'client' }>['reason'],
  { source, input }: Packet,
  { localDetector }: NodeOptions,
): string {
  switch (reason) {
    case 'DetectedPod':
      if (localDetector.kind === 'cidr') return `a pod: ${source} is in the pod network`;
      return `a pod: it comes in by ${input.from === 'interface' ? input.interfaceName : 'this node'}`;
    case 'ThisNode':
      return `a process of this node, sending from ${source}`;
    case 'Outside':
      return localDetector.kind === 'none'
        ? 'outside (no detectLocalMode is set up, so pods count as outside, too)'
        : `outside: the local detector does not know ${source} as a pod`;
  }
}

function describeFrontend(reason: Extract<TraceStep, { step: 'frontend' }>['reason'], trace: Trace): string {
  const { packet, service, frontend } = trace;
  switch (reason) {
    case 'Found': {
      if (frontend === null) throw new Error('a frontend was found and is missing');
      const portName = frontend.portName === '' ? '' : `, port ${frontend.portName}`;
      const affinity =
        frontend.affinitySeconds === 0
          ? ''
          : `, clients keep their endpoint for ${frontend.affinitySeconds} s`;
      const flags = frontend.schedulerFlags.map((flag) => ` ${flag}`).join('');
      return `${virtualServerId(frontend)} of Service ${service}${portName}, scheduler ${frontend.scheduler}${flags}${affinity}`;
    }
    case 'OtherPort':
      return `${packet.destination} belongs to Service ${service}, which has no port ${packet.port} for ${packet.protocol}`;
    case 'NotANodePortAddress':
      return `${packet.port} is a node port of Service ${service}, but node ports do not answer on ${packet.destination}`;
    case 'HealthCheckNodePort':
      return `the health-check port of Service ${service}, answered by the agent itself`;
    case 'UnknownAddress':
      return `no Service has ${formatEndpoint(packet.destination, packet.port)}`;
  }
}

function describeSources(
  reason: Extract<TraceStep, { step: 'sources' }>['reason'],
  { packet: { source } }: Trace,
): string {
  switch (reason) {
    case 'InRange':
      return `loadBalancerSourceRanges let ${source} in`;
    case 'OwnAddress':
      return `${source} is a load-balancer IP of the Service, used by this node, whose own address is let in`;
    case 'NotInRange':
      return `loadBalancerSourceRanges do not let ${source} in`;
  }
}

function describePolicy(
  reason: Extract<TraceStep, { step: 'policy' }>['reason'],
  { frontend }: Trace,
): string {
  const field = frontend?.kind === 'ClusterIP' ? 'internalTrafficPolicy' : 'externalTrafficPolicy';
  switch (reason) {
    case 'Cluster':
      return `${field} Cluster: endpoints of all nodes`;
    case 'Local':
      return `${field} Local: endpoints of this node`;
    case 'ShortCircuit':
      return `${field} is Local, but clients inside the cluster use endpoints of all nodes`;
    case 'NoLocalEndpoint':
      return `${field} Local: no endpoint of this node can be used, others could`;
    case 'NoWeight':
      return 'every real server has weight 0: none takes new connections';
  }
}
