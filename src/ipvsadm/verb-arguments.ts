// Reads the command line of a verb by its table, and its values: durations, numbers, servers. Pure but for the name service.

import { parseArgs, type ParseArgsConfig } from 'node:util';
import { parseGoDuration } from '../config/duration.ts';
import type { NameService } from '../kernel/name-service.ts';
import { parseEndpoint, protocolOf } from './endpoint-text.ts';
import { parseCommandLine } from './parse.ts';
import type { ServerChoice } from './server-selection.ts';
import { parseNumber } from './values.ts';
import { VERB_USAGES } from './verb-usages.ts';

/** A mistake in a verb's command line; `message` says what, without the verb. */
export class VerbUsageError extends Error {}

/** Longest time that a verb takes, 365 days: beyond it a number is a mistake. */
const MAX_DURATION_MS = 365 * 24 * 3600 * 1000;

/** The options and words of one verb. */
export class VerbArguments {
  readonly words: readonly string[];
  private readonly values: Readonly<Record<string, string | boolean | undefined>>;

  /** Throws VerbUsageError for what the verb's table does not have. */
  constructor(verb: string, args: readonly string[]) {
    const options: NonNullable<ParseArgsConfig['options']> = {};
    for (const { long, short, value } of VERB_USAGES.find((each) => each.verb === verb)?.options ?? [])
      options[long] = {
        type: value === undefined ? 'boolean' : 'string',
        ...(short === undefined ? {} : { short }),
      };
    try {
      const { values, positionals } = parseArgs({ args: [...args], options, allowPositionals: true });
      this.values = values as Record<string, string | boolean | undefined>;
      this.words = positionals;
    } catch (error) {
      throw new VerbUsageError(firstSentence((error as Error).message));
    }
  }

  has(option: string): boolean {
    return this.values[option] === true;
  }

  text(option: string): string | undefined {
    const value = this.values[option];
    return typeof value === 'string' ? value : undefined;
  }

  /** A number of the option in the range, or undefined when it is not given. */
  number(option: string, min: number, max: number): number | undefined {
    const text = this.text(option);
    if (text === undefined) return undefined;
    const value = parseNumber(text, min, max);
    if (value === null)
      throw new VerbUsageError(`--${option} takes a number from ${min} to ${max}, not "${text}"`);
    return value;
  }

  /** Milliseconds of an option like "15m", "1.5s" or "30" (seconds). */
  durationMs(option: string, minMs: number): number | undefined {
    const text = this.text(option);
    if (text === undefined) return undefined;
    const nanoseconds = parseGoDuration(/^[0-9.]+$/.test(text) ? `${text}s` : text);
    const ms = nanoseconds === null ? Number.NaN : Number(nanoseconds / 1000n) / 1000;
    if (ms >= minMs && ms <= MAX_DURATION_MS) return ms;
    throw new VerbUsageError(
      `--${option} takes a time like 15m, 1.5s or ${minMs}ms, at least that, not "${text}"`,
    );
  }

  /** The server of -r, in the service of -t, -u, --sctp-service or -f, or wherever it is. */
  server(names: NameService): ServerChoice {
    if (this.words[0] !== undefined) throw new VerbUsageError(`unexpected argument ${this.words[0]}`);
    const server = this.text('real-server');
    if (server === undefined) throw new VerbUsageError('name the server with -r ADDRESS[:PORT]');
    const service = this.service(names);
    const endpoint = parseEndpoint(server, service === null ? 0 : protocolOf(service), names);
    if (endpoint === null)
      throw new VerbUsageError(`"${server}" is no real server; write ADDRESS:PORT or [ADDRESS]:PORT`);
    return { service, address: endpoint.address, port: endpoint.port ?? null };
  }

  private service(names: NameService): ServerChoice['service'] {
    const given = SERVICE_OPTIONS.flatMap((option) => {
      const value = this.text(option);
      return value === undefined ? [] : [`--${option}=${value}`];
    });
    if (this.has('ipv6') && this.text('fwmark-service') === undefined)
      throw new VerbUsageError('-6 goes with -f');
    if (given.length === 0) return null;
    // The rest of the command knows how a service is written.
    const request = parseCommandLine(['-D', ...given, ...(this.has('ipv6') ? ['-6'] : [])], 'ipvsadm', names);
    if (request.kind === 'refused') throw new VerbUsageError(request.text.trim());
    if (request.kind !== 'operation' || request.operation.op !== 'DEL_SERVICE')
      throw new Error('-D is not DEL_SERVICE');
    return request.operation.service;
  }

  /** The only word; throws when there is none or another. */
  onlyWord(what: string): string {
    const [word] = this.words;
    if (word === undefined) throw new VerbUsageError(`name ${what}`);
    this.noWordAfter(1);
    return word;
  }

  /** Throws when there are more than `count` words. */
  noWordAfter(count: number): void {
    const extra = this.words[count];
    if (extra !== undefined) throw new VerbUsageError(`unexpected argument ${extra}`);
  }
}

const SERVICE_OPTIONS = ['tcp-service', 'udp-service', 'sctp-service', 'fwmark-service'] as const;

/** Node's advice on arguments that begin with a dash is left out. */
function firstSentence(text: string): string {
  return text.replace(/\.(?:\s.*)?$/s, '');
}
