// docs/migrating-from-kube-proxy.md and deploy/README.md: every command of ours, every flag of it, every file and every anchor that they name exists.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { readText, ROOT } from './objects.ts';
import { flagNames, PROXY_FLAGS } from './proxy-flags.ts';

const GUIDES = ['docs/migrating-from-kube-proxy.md', 'deploy/README.md', 'examples/config/README.md'];
/** Takes kube-proxy's flags, and has a command line of its own to read them. */
const WITH_PROXY_FLAGS = ['run', 'config'];

/** Lines of blocks and words in backquotes; continued lines and $(...) are as they stand. */
function codeOf(text: string): string[] {
  const blocks = [...text.matchAll(/^ *```sh\n([^]*?)^ *```$/gm)].flatMap(([, block = '']) =>
    block.split('\n'),
  );
  const words = [...text.replaceAll(/^ *```[^]*?^ *```$/gm, '').matchAll(/`([^`\n]+)`/g)].map(
    ([, code = '']) => code,
  );
  return [...blocks, ...words].map((line) => line.trim()).filter((line) => line !== '');
}

/** [verb, words after it] of each call of the program that has a verb. */
function callsOf(text: string): (readonly [verb: string, words: readonly string[]])[] {
  return codeOf(text).flatMap((line) => {
    const [, verb, rest = ''] = /^pointsman ([a-z]+)(?: (.*))?$/.exec(line) ?? [];
    return verb === undefined ? [] : [[verb, rest.split(/\s+/)] as const];
  });
}

const anchorsOf = (text: string): string[] =>
  [...text.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replaceAll(/[^\w\s-]/g, '')
      .replaceAll(' ', '-'),
  );

let helpOf = new Map<string, string>();
beforeAll(() => {
  const help = (...args: string[]): string =>
    spawnSync(process.execPath, [join(ROOT, 'src/cli/main.ts'), ...args, '--help'], { encoding: 'utf8' })
      .stdout;
  const verbs = [...new Set(GUIDES.flatMap((guide) => callsOf(readText(guide))).map(([verb]) => verb))];
  const all = help();
  helpOf = new Map(verbs.filter((verb) => all.includes(`\n  ${verb} `)).map((verb) => [verb, help(verb)]));
});

describe.each(GUIDES)('%s', (guide) => {
  const text = readText(guide);

  it('calls commands that there are, with flags that they have', () => {
    for (const [verb, words] of callsOf(text)) {
      const help = helpOf.get(verb);
      expect(help, verb).toBeDefined();
      if (verb === 'ipvsadm') continue;
      for (const flag of flagNames(words)) {
        const isProxyFlag = WITH_PROXY_FLAGS.includes(verb) && PROXY_FLAGS.has(flag);
        const pattern = flag.length === 1 ? `-${flag},` : `--${flag}`;
        expect(isProxyFlag || help?.includes(pattern), `${verb}: ${flag}`).toBe(true);
      }
    }
  });

  it('names files of this project that there are', () => {
    const paths = codeOf(text).flatMap(
      (line) => line.match(/(?<![\w/])(deploy|docs|examples)\/[\w./-]+/g) ?? [],
    );
    for (const path of paths) expect(existsSync(join(ROOT, path)), path).toBe(true);
  });

  it('its links lead somewhere', () => {
    for (const [, target = '', anchor] of text.matchAll(/\]\(([^)#\s]*)(?:#([^)]*))?\)/g)) {
      const path = target === '' ? guide : join(dirname(guide), target);
      expect(existsSync(join(ROOT, path)), path).toBe(true);
      if (anchor !== undefined) expect(anchorsOf(readText(path))).toContain(anchor);
    }
  });
});

describe('guides', () => {
  it('are looked at: there is something to see in them', () => {
    const calls = callsOf(readText(GUIDES[0] ?? ''));
    expect(calls.map(([verb]) => verb)).toEqual(
      expect.arrayContaining(['plan', 'config', 'status', 'ipvsadm', 'explain']),
    );
  });
});
