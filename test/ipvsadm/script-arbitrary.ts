// Scripts of ipvsadm command lines: valid ones that build on each other, nearly valid ones (one word changed) and nonsense.
// Lines name services and servers of a small pool of their script, so that they meet. Shrinks to few lines with few options.

import * as fc from 'fast-check';
import type { CommandLine } from './command-line.ts';
import { ipv4Endpoint, ipv6Endpoint } from './endpoint-arbitraries.ts';
import { flag, lineWords, nonsense, POOL, serviceText, type Words } from './line-arbitraries.ts';
import { bulk, restoreInput, type RestoreInput } from './restore-arbitraries.ts';
import { mostly } from './value-arbitraries.ts';

export type Script = readonly CommandLine[];

interface LineTemplate {
  readonly words: Words;
  /** A string stands for itself. */
  readonly input: RestoreInput | string | null;
}

const lineTemplate: fc.Arbitrary<LineTemplate> = fc.oneof(
  { arbitrary: lineWords.map((words) => ({ words, input: null })), weight: 28 },
  {
    arbitrary: fc
      .tuple(
        mostly(flag('-R', '--restore'), flag('-Rn', '-RX', '-R=', '--restore=x')),
        mostly(fc.constant<Words>([]), nonsense),
        restoreInput,
      )
      .map(([first, rest, input]) => ({ words: [...first, ...rest], input })),
    weight: 2,
  },
  { arbitrary: bulk.map((input) => ({ words: ['-R'], input })), weight: 1 },
);

const START: readonly LineTemplate[] = [
  { words: ['-A', { service: 0 }, '-s', 'rr'], input: null },
  { words: ['-a', { service: 0 }, '-r', { server: 0, isForeign: false }, '-m'], input: null },
];

/** A script: its pool and its lines. */
export const script: fc.Arbitrary<Script> = fc
  .record({
    services: fc.array(serviceText, { minLength: POOL, maxLength: POOL }),
    servers: fc.array(fc.tuple(ipv4Endpoint, ipv6Endpoint), { minLength: POOL, maxLength: POOL }),
    /** A first service with a server, for the rest to work on. */
    hasStart: mostly(fc.constant(true), fc.constant(false), 3),
    lines: fc.array(lineTemplate, { minLength: 1, maxLength: 12 }),
  })
  .map(({ services, servers, hasStart, lines }) => {
    const fill = (words: Words): string[] => {
      const isIpv6 = words.some(
        (word) =>
          typeof word === 'object' &&
          'service' in word &&
          services[word.service]?.some((part) => typeof part === 'string' && /\[|-6/.test(part)),
      );
      return words.flatMap((word) => {
        if (typeof word === 'string') return [word];
        if ('service' in word) return fill(services[word.service] ?? []);
        return [servers[word.server]?.[isIpv6 !== word.isForeign ? 1 : 0] ?? ''];
      });
    };
    return [...(hasStart ? START : []), ...lines].map(({ words, input }): CommandLine => {
      if (input === null || typeof input === 'string') return { args: fill(words), stdin: input };
      const stdin = input.lines.map(
        ({ words: inner, prefix, blank, end, quotes }) =>
          `${prefix}${fill(inner)
            .map((word) => (quotes ? `"${word}"` : word))
            .join(blank)}${end}`,
      );
      return {
        args: fill(words),
        stdin: latin1(`${stdin.join('')}${input.long}${input.tail}`) + input.bytes,
      };
    });
  });

/** The bytes of a text as Latin-1 characters. */
function latin1(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}
