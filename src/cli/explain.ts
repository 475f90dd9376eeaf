// `pointsman explain`: where a packet goes and why. Only arguments, text and exit codes: daemon/explanation.ts does the work.

import { makeExplanation, type Explanation, type ExplanationOptions } from '../daemon/explanation.ts';
import type { FactsOrigin } from '../daemon/facts-origin.ts';
import type { PacketSource } from '../daemon/packet-source.ts';
import { PointsmanError } from '../model/errors.ts';
import { formatEndpoint } from '../model/endpoints.ts';
import { parseIp } from '../model/ip.ts';
import { isDnsLabel, isDnsSubdomain, isInterfaceName } from '../model/names.ts';
import { PROTOCOLS } from '../model/service-ports.ts';
import { EXIT } from './exit-codes.ts';
import { formatTable, print } from './output.ts';
import { openStderrLog } from './stderr-log.ts';

export interface ExplainOptions extends FactsOrigin {
  readonly from: string;
  readonly to: string;
  readonly input?: string;
  readonly config?: string;
  readonly hostnameOverride?: string;
  readonly output: 'text' | 'json';
}

/** Prints the explanation; exit 0 whatever becomes of the packet. */
export async function explainCommand(options: ExplainOptions): Promise<number> {
  const source = parseSource(options.from);
  const destination = parseDestination(options.to);
  const input = options.input === undefined ? null : parseInput(options.input);
  const explanation = await makeExplanation({
    facts: options,
    configPath: options.config,
    hostnameOverride: options.hostnameOverride,
    source,
    destination,
    input,
    log: openStderrLog(),
  });
  print(options.output, explanation, formatExplanation);
  return EXIT.GOOD;
}

/** ADDRESS, pod/NAME, pod/NAMESPACE/NAME or node. Throws USAGE. */
export function parseSource(text: string): PacketSource {
  if (text === 'node') return { kind: 'node' };
  const address = parseIp(unbracketed(text));
  if (address !== null) return { kind: 'address', address };
  const [kind, ...names] = text.split('/');
  const name = names.at(-1) ?? '';
  const namespace = names.length === 2 ? (names[0] ?? '') : '';
  const isNamed =
    isDnsSubdomain(name) && (names.length === 1 || (names.length === 2 && isDnsLabel(namespace)));
  if (kind === 'pod' && isNamed) return { kind: 'pod', namespace, name };
  throw new PointsmanError(
    'USAGE',
    `--from takes ADDRESS, pod/NAME, pod/NAMESPACE/NAME or node, not "${text}"`,
  );
}

/** ADDRESS:PORT[/PROTO], [ADDRESS]:PORT[/PROTO]; the protocol is TCP when none is given, in any case of letters. Throws USAGE. */
export function parseDestination(text: string): ExplanationOptions['destination'] {
  const match = /^(\[[^\]]*\]|[^:]*):(\d{1,5})(?:\/(\w+))?$/.exec(text);
  const [, host = '', number = '', protocolText = 'tcp'] = match ?? [];
  const destination = parseIp(unbracketed(host));
  const port = Number(number);
  const protocol = PROTOCOLS.find((one) => one === protocolText.toUpperCase());
  // Brackets are for IPv6 and only for IPv6.
  const isWritten = destination !== null && host.startsWith('[') === destination.includes(':');
  if (isWritten && protocol !== undefined && port >= 1 && port <= 65_535)
    return { destination, port, protocol };
  throw new PointsmanError(
    'USAGE',
    `--to takes ADDRESS:PORT or ADDRESS:PORT/PROTO (tcp, udp or sctp; [ADDRESS] for IPv6), not "${text}"`,
  );
}

/** node, or the name of an interface. Throws USAGE. */
export function parseInput(text: string): NonNullable<ExplanationOptions['input']> {
  if (text === 'node') return { from: 'node' };
  if (isInterfaceName(text)) return { from: 'interface', interfaceName: text };
  throw new PointsmanError('USAGE', `--input takes node or the name of an interface, not "${text}"`);
}

function unbracketed(text: string): string {
  return text.startsWith('[') && text.endsWith(']') && text.includes(':') ? text.slice(1, -1) : text;
}

/** The explanation as text: what becomes of the packet first, then step by step, then real servers and what was left out. */
export function formatExplanation(explanation: Explanation): string {
  const { title, node, outcome, steps, targets, leftOut, notes, problems } = explanation;
  const lines = [`${title} on ${node}: ${outcome}`, ''];
  lines.push(
    formatTable(
      [],
      steps.map(({ step, text }) => ['', step, text]),
    ).trimEnd(),
  );
  if (targets.length > 0) {
    lines.push('', targets.length === 1 ? 'Real server:' : 'Real servers, one of:');
    const rows = targets.map(({ address, port, weight, isLocal, text }) => [
      '',
      formatEndpoint(address, port),
      `weight ${weight}`,
      isLocal ? 'local' : '',
      text,
    ]);
    lines.push(formatTable([], rows).trimEnd());
  }
  if (leftOut.length > 0) {
    lines.push('', 'Left out:');
    const rows = leftOut.map(({ address, port, text }) => ['', formatEndpoint(address, port), text]);
    lines.push(formatTable([], rows).trimEnd());
  }
  if (notes.length > 0) lines.push('', ...notes.map((note) => `Note: ${note}.`));
  if (problems.length > 0) lines.push('', 'Problems:', ...problems.map((problem) => `  ${problem}`));
  return `${lines.join('\n')}\n`;
}
