// trace.txt: one packet a line, "SOURCE [node | via INTERFACE] -> DESTINATION:PORT/PROTOCOL = OUTCOME (REASON, ...)". Without "node" or
// "via" it comes from the network, by an interface that nobody knows. OUTCOME is reject, drop, notOurs, or forward and the sorted
// targets, with "*" after each that sees the node's address instead of the client's. Lines are aligned with blanks; # begins a comment.

import { formatEndpoint } from '../../src/model/endpoints.ts';
import { compareText } from '../../src/model/ip.ts';
import { PROTOCOLS } from '../../src/model/service-ports.ts';
import type { PacketInput } from '../../src/plan/clients.ts';
import type { Outcome, Packet, Trace } from '../../src/plan/trace.ts';
import { address } from '../addresses.ts';

/** A line that is no comment. */
export interface TraceLine {
  /** From 1. */
  readonly line: number;
  readonly packet: Packet;
  /** What stands behind "=", single blanks. */
  readonly expected: string;
}

const LINE =
  /^(?<source>\S+)(?: (?<node>node)| via (?<via>\S+))? -> (?:\[(?<ipv6>\S+)\]|(?<ipv4>[\d.]+)):(?<port>\d+)\/(?<protocol>\w+) = (?<expected>.+)$/;

/** The packets of a file; throws on a line that is none. */
export function parseTraceLines(text: string): TraceLine[] {
  return text.split('\n').flatMap((raw, index): TraceLine[] => {
    const line = raw.replace(/#.*$/, '').trim().replace(/\s+/g, ' ');
    if (line === '') return [];
    const groups = LINE.exec(line)?.groups;
    const protocol = PROTOCOLS.find((one) => one === groups?.['protocol']);
    if (groups === undefined || protocol === undefined)
      throw new Error(`line ${index + 1} is no packet: ${raw}`);
    const { source = '', node, via = '', ipv4, ipv6, port, expected = '' } = groups;
    const input: PacketInput =
      node === undefined ? { from: 'interface', interfaceName: via } : { from: 'node' };
    const destination = address(ipv6 ?? ipv4 ?? '');
    return [
      {
        line: index + 1,
        packet: { source: address(source), input, destination, protocol, port: Number(port) },
        expected,
      },
    ];
  });
}

/** The right side of a line. */
export function formatTrace({ outcome, steps }: Trace): string {
  return `${formatOutcome(outcome)} (${steps.map(({ reason }) => reason).join(', ')})`;
}

function formatOutcome(outcome: Outcome): string {
  if (outcome.verdict !== 'forward') return outcome.verdict;
  const targets = outcome.targets.map(
    ({ address: to, port, isMasqueraded }) => [formatEndpoint(to, port), isMasqueraded ? '*' : ''] as const,
  );
  targets.sort(([a], [b]) => compareText(a, b));
  return `forward ${targets.map(([target, mark]) => `${target}${mark}`).join(' ')}`;
}
