// deploy/Containerfile: instructions that there are, sources that a build leaves behind, and a package for every program that src/ calls.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readText, ROOT } from './objects.ts';

interface Instruction {
  readonly name: string;
  readonly text: string;
}

const KNOWN = ['ARG', 'CMD', 'COPY', 'ENTRYPOINT', 'FROM', 'LABEL', 'RUN', 'STOPSIGNAL', 'USER', 'WORKDIR'];

/** One for each instruction, continued lines joined, variables with a default filled in. Throws Error at what is none. */
function parseContainerfile(text: string): Instruction[] {
  const variables = new Map<string, string>();
  const lines = text
    .replaceAll(/^\s*#.*\n/gm, '')
    .replaceAll(/\s*\\\n\s*/g, ' ')
    .split('\n');
  return lines.flatMap((line) => {
    if (line.trim() === '') return [];
    const [, name = '', rest = ''] = /^([A-Z]+) (.+)$/.exec(line) ?? [];
    if (!KNOWN.includes(name)) throw new Error(`no instruction: ${line}`);
    const filled = rest.replaceAll(/\$\{(\w+)\}/g, (_, variable: string) => {
      const value = variables.get(variable);
      if (value === undefined) throw new Error(`no default for ${variable}`);
      return value;
    });
    if (name === 'ARG') {
      const [, variable = '', value] = /^(\w+)(?:=(\S+))?$/.exec(rest) ?? [];
      if (value !== undefined) variables.set(variable, value);
    }
    return [{ name, text: filled }];
  });
}

const instructions = parseContainerfile(readText('deploy/Containerfile'));
const textsOf = (name: string): string[] =>
  instructions.filter((instruction) => instruction.name === name).map(({ text }) => text);
const packages =
  /apt-get install -y --no-install-recommends ((?:[a-z0-9.+-]+ )+)/
    .exec(textsOf('RUN').join('\n'))?.[1]
    ?.trim()
    .split(' ') ?? [];
/** COPY [--flags] SOURCE TARGET */
const copies = textsOf('COPY').map((text) => text.split(' ').filter((word) => !word.startsWith('--')));
const { version } = JSON.parse(readText('package.json')) as { readonly version: string };

describe('Containerfile', () => {
  it('begins with a base of Debian, fills every variable, and leaves no package lists behind', () => {
    expect(instructions.find(({ name }) => name !== 'ARG')).toEqual({
      name: 'FROM',
      text: 'docker.io/library/debian:12-slim',
    });
    expect(textsOf('RUN')[0]).toMatch(/^apt-get update && .* && rm -rf \/var\/lib\/apt\/lists\/\*/);
  });

  it('takes what a build leaves behind, and the licences', () => {
    expect(copies).toEqual([
      [`dist/release/pointsman-standalone-${version}-linux-x64`, '/usr/local/bin/pointsman'],
      ['LICENSE', `dist/release/pointsman-${version}-linux-x64/LICENSES.txt`, '/usr/share/doc/pointsman/'],
    ]);
    expect(existsSync(join(ROOT, 'LICENSE'))).toBe(true);
  });

  it('has the program under every name that it goes by', () => {
    const links = textsOf('RUN').flatMap((text) =>
      [...text.matchAll(/ln -s pointsman (\S+)/g)].map(([, link = '']) => link),
    );
    expect(links.map((link) => basename(link)).sort()).toEqual([
      'ipvsadm',
      'ipvsadm-restore',
      'ipvsadm-save',
      'kube-proxy',
      'pointsman-ipvsadm',
    ]);
    expect(new Set(links.map((link) => link.replace(/\/[^/]*$/, '')))).toEqual(new Set(['/usr/local/bin']));
    expect(JSON.parse(textsOf('ENTRYPOINT')[0] ?? '')).toEqual([copies[0]?.[1]]);
  });

  it('refuses what is no instruction', () => {
    expect(() => parseContainerfile('FORM debian\n')).toThrow('no instruction');
    expect(() => parseContainerfile('FROM ${BASE}\n')).toThrow('no default');
  });
});

/** Names of programs in the sources: those of calls of runTool and findTool, and of the tables that iptables.ts calls them by. */
function calledPrograms(): string[] {
  const sources = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.endsWith('.test.ts'))
    .map((file) => readFileSync(join(ROOT, 'src', file), 'utf8'))
    .filter((text) => /\b(runTool|findTool)\(/.test(text));
  const named = sources.flatMap((text) => [...text.matchAll(/\b(?:runTool|findTool)\('([a-z0-9-]+)'/g)]);
  const tabled = ['iptables-legacy', 'iptables-nft', 'ip6tables-legacy', 'ip6tables-nft'];
  return [
    ...named.map(([, name = '']) => name),
    ...tabled.flatMap((name) => [`${name}-restore`, `${name}-save`]),
  ];
}

describe('packages', () => {
  const hasDpkg = spawnSync('dpkg-query', ['--version']).status === 0;

  it('are as few as it needs', () => {
    expect(packages).toEqual(['iptables', 'kmod', 'libstdc++6']);
  });

  it.skipIf(!hasDpkg).each([...new Set(calledPrograms())])('%s is in one of them', (program) => {
    // The path as Debian's package has it: /sbin is a link to /usr/sbin since then.
    const { stdout } = spawnSync('dpkg-query', ['-S', `*/sbin/${program}`], { encoding: 'utf8' });
    const owners = stdout.split('\n').flatMap((line) => /^([a-z0-9.+-]+)(?::\w+)?: /.exec(line)?.[1] ?? []);
    expect(packages).toEqual(expect.arrayContaining([owners[0]]));
  });
});
