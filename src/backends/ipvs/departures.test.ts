import { describe, expect, it } from 'vitest';
import {
  CLIENT,
  ENDPOINT,
  NODE_IP,
  packet,
  planOfAll,
  POD,
  STRANGER,
} from '../../../test/traced-services.ts';
import { tracePacket, type Packet } from '../../plan/trace.ts';
import { describeDepartures } from './departures.ts';

const plan = planOfAll();
const notes = (one: Packet): string[] => describeDepartures(plan, tracePacket(plan, one));

describe('mode ipvs', () => {
  it.each<[string, Packet]>([
    ['a pod to a cluster IP', packet(POD, '10.96.0.1', 80)],
    ['a client to an external IP', packet(CLIENT, '198.51.100.1', 80)],
    ['a client to a node port', packet(CLIENT, NODE_IP, 30_080)],
    ['a client in range under policy Local', packet(CLIENT, '198.51.100.10', 80)],
    ['a stranger that source ranges keep out', packet(STRANGER, '198.51.100.10', 80)],
    ['a pod with endpoints of internalTrafficPolicy Local here', packet(POD, '10.96.0.4', 80)],
    ['nobody has an endpoint', packet(CLIENT, '198.51.100.11', 80)],
    ['nobody takes connections', packet(POD, '10.96.0.6', 80)],
    ['an endpoint of this node that meets itself', packet(ENDPOINT, '10.96.0.1', 80)],
    ['an address of nobody', packet(POD, '10.96.9.9', 80)],
    ["an undeclared port of the node's own address", packet(CLIENT, NODE_IP, 30_999)],
  ])('does as the plan says: %s', (_, one) => {
    expect(notes(one)).toEqual([]);
  });

  it.each<[string, Packet, string]>([
    [
      'pods get only local endpoints under externalTrafficPolicy Local',
      packet(POD, NODE_IP, 30_081),
      'mode ipvs has one list of endpoints for all clients of this frontend: it goes to 10.244.1.5:8080',
    ],
    [
      'clients outside are sent elsewhere where there is no local endpoint',
      packet(CLIENT, NODE_IP, 30_082),
      'mode ipvs sends it to 10.244.2.5:8080 all the same, with its own source, which answers past this node: the client sees no answer',
    ],
    [
      'pods, too, on the cluster IP of a Service that the outside can reach',
      packet(POD, '10.96.0.3', 80),
      'mode ipvs sends it to 10.244.2.5:8080 all the same, with its own source',
    ],
    [
      'an undeclared port',
      packet(POD, '10.96.0.1', 8080),
      "mode ipvs refuses it: the address is the Service's alone, and this port is not declared",
    ],
    [
      'source ranges of a Service without endpoints',
      packet(STRANGER, '198.51.100.11', 80),
      'mode ipvs drops it: source ranges count there although no endpoint could be used',
    ],
    [
      'an endpoint of another node that meets itself here',
      packet('10.244.2.5', '10.96.0.1', 80),
      'mode ipvs masquerades what endpoints of this node send to themselves, not 10.244.2.5:8080',
    ],
  ])('does otherwise: %s', (_, one, expected) => {
    expect(notes(one)).toEqual([expected]);
  });
});
