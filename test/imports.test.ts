// The layers of the project, held by a test: who may import whom, what must be pure, no cycles, nothing from outside.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findViolations } from './import-walk.ts';

const ROOT = join(import.meta.dirname, '..');
const FOLDERS = ['src', 'lab', 'bench', 'test'];

function readSources(): Map<string, string> {
  const files = new Map<string, string>();
  for (const folder of FOLDERS) {
    for (const entry of readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })) {
      if (entry.endsWith('.ts'))
        files.set(`${folder}/${entry}`, readFileSync(join(ROOT, folder, entry), 'utf8'));
    }
  }
  return files;
}

/** Made-up files whose text is their imports, or code in full when it holds a blank. */
const made = (files: Readonly<Record<string, string>>): Map<string, string> => new Map(Object.entries(files));
const X = 'export const x = 1;';
const REFUSED: readonly (readonly [
  rule: string,
  files: Readonly<Record<string, string>>,
  finding: RegExp,
])[] = [
  [
    'model/ imports node:*',
    { 'src/model/a.ts': "import 'node:fs';" },
    /^src\/model\/a\.ts: imports node:fs, but must be pure$/,
  ],
  ['plan/ imports a package', { 'src/plan/a.ts': "import 'yaml';" }, /must be pure/],
  ['model/ reads the clock', { 'src/model/a.ts': 'export const x = Date.now();' }, /uses Date\.now/],
  ['model/ makes a Date', { 'src/model/a.ts': 'export const x = new Date(0);' }, /uses Date,/],
  ['plan/ rolls dice', { 'src/plan/a.ts': 'export const x = Math.random();' }, /uses Math\.random/],
  ['plan/ takes the dice along', { 'src/plan/a.ts': 'export const { random } = Math;' }, /uses Math,/],
  ['plan/ logs', { 'src/plan/a.ts': 'console.log(1);' }, /uses console\.log/],
  ['plan/ reads the environment', { 'src/plan/a.ts': 'export const x = process.env;' }, /uses process\.env/],
  ['model/ waits', { 'src/model/a.ts': 'setTimeout(() => {}, 1);' }, /uses setTimeout/],
  [
    'model/ imports plan/',
    { 'src/model/a.ts': "import '../plan/b.ts';", 'src/plan/b.ts': X },
    /src\/model\/ may not/,
  ],
  [
    'model/ takes a type from plan/',
    { 'src/model/a.ts': "import type { x } from '../plan/b.ts';", 'src/plan/b.ts': X },
    /src\/model\/ may not/,
  ],
  [
    'model/ names a type of plan/ in place',
    { 'src/model/a.ts': "export type T = import('../plan/b.ts').T;", 'src/plan/b.ts': X },
    /may not/,
  ],
  [
    'model/ imports plan/ late',
    { 'src/model/a.ts': "await import('../plan/b.ts');", 'src/plan/b.ts': X },
    /may not/,
  ],
  [
    'model/ passes plan/ on',
    { 'src/model/a.ts': "export * from '../plan/b.ts';", 'src/plan/b.ts': X },
    /may not/,
  ],
  [
    'plan/ imports kernel/',
    { 'src/plan/a.ts': "import '../kernel/b.ts';", 'src/kernel/b.ts': X },
    /src\/plan\/ may not/,
  ],
  [
    'kernel/ imports more of model/',
    { 'src/kernel/a.ts': "import '../model/names.ts';", 'src/model/names.ts': X },
    /may not/,
  ],
  [
    'kernel/ imports a backend',
    { 'src/kernel/a.ts': "import '../backends/b.ts';", 'src/backends/b.ts': X },
    /may not/,
  ],
  ['cluster/ imports plan/', { 'src/cluster/a.ts': "import '../plan/b.ts';", 'src/plan/b.ts': X }, /may not/],
  [
    'config/ imports kernel/',
    { 'src/config/a.ts': "import '../kernel/b.ts';", 'src/kernel/b.ts': X },
    /may not/,
  ],
  [
    'a backend imports another',
    { 'src/backends/ipvs/a.ts': "import '../nftables/b.ts';", 'src/backends/nftables/b.ts': X },
    /another backend/,
  ],
  [
    'what backends share knows one of them',
    { 'src/backends/a.ts': "import './ipvs/b.ts';", 'src/backends/ipvs/b.ts': X },
    /know none of them/,
  ],
  [
    'a backend imports daemon/',
    { 'src/backends/ipvs/a.ts': "import '../../daemon/b.ts';", 'src/daemon/b.ts': X },
    /may not/,
  ],
  [
    'a render file imports node:*',
    { 'src/backends/ipvs/render-rules.ts': "import 'node:os';" },
    /must be pure/,
  ],
  [
    'a trace file reads the clock',
    { 'src/backends/ipvs/trace.ts': 'export const x = Date.now();' },
    /must be pure/,
  ],
  [
    'a diff file imports a kernel client',
    { 'src/backends/ipvs/diff.ts': "import '../../kernel/b.ts';", 'src/kernel/b.ts': X },
    /only codecs/,
  ],
  ['daemon/ imports a face', { 'src/daemon/a.ts': "import '../http/b.ts';", 'src/http/b.ts': X }, /may not/],
  [
    'src imports test/',
    { 'src/cli/a.ts': "import '../../test/b.ts';", 'test/b.ts': X },
    /imports test\/b\.ts/,
  ],
  [
    'src imports lab/',
    { 'src/daemon/a.ts': "import '../../lab/b.ts';", 'lab/b.ts': X },
    /imports lab\/b\.ts/,
  ],
  [
    'src imports a test',
    { 'src/cli/a.ts': "import './b.test.ts';", 'src/cli/b.test.ts': X },
    /imports src\/cli\/b\.test\.ts/,
  ],
  [
    'lab/ imports a backend',
    { 'lab/a.ts': "import '../src/backends/b.ts';", 'src/backends/b.ts': X },
    /lab\/ may not/,
  ],
  [
    'lab/ starts a worker of another layer',
    { 'lab/a.ts': "new URL('../src/cli/b.ts', import.meta.url);", 'src/cli/b.ts': X },
    /lab\/ may not/,
  ],
  ['koffi is imported', { 'src/kernel/a.ts': "import 'koffi';" }, /mentions koffi/],
  ['koffi is required', { 'lab/a.ts': "require('koffi');" }, /mentions koffi/],
  ['a suffix is missing', { 'src/cli/a.ts': "import './b';", 'src/cli/b.ts': X }, /without the suffix \.ts/],
  ['a file is missing', { 'src/cli/a.ts': "import './b.ts';" }, /src\/cli\/b\.ts, which does not exist/],
  ['a test imports what does not exist', { 'test/a.test.ts': "import './b.ts';" }, /does not exist/],
  ['a path leaves the checkout', { 'test/a.ts': "import '../../b.ts';" }, /outside of the checkout/],
  [
    'an import cannot be read',
    { 'src/cli/a.ts': 'const name = "./b.ts".trim(); await import(name);', 'src/cli/b.ts': X },
    /computed/,
  ],
  ['a folder is in no layer', { 'src/other/a.ts': X }, /no known layer/],
  [
    'a string names the shared folder',
    { 'lab/a.ts': `open('../${'shared'}/x');` },
    /not part of the project/,
  ],
  [
    'two files make a cycle',
    { 'src/plan/a.ts': "import './b.ts';", 'src/plan/b.ts': "import './a.ts';" },
    /cycle: src\/plan\/a\.ts -> src\/plan\/b\.ts -> src\/plan\/a\.ts$/,
  ],
  [
    'a cycle hides behind an entry',
    { 'lab/a.ts': "import './b.ts';", 'lab/b.ts': "import './c.ts';", 'lab/c.ts': "import './b.ts';" },
    /cycle: lab\/b\.ts -> lab\/c\.ts -> lab\/b\.ts$/,
  ],
];

describe('the walk over imports', () => {
  it.each(REFUSED)('refuses it when %s', (_rule, files, finding) => {
    const violations = findViolations(made(files));
    expect(violations).toHaveLength(1);
    expect(violations[0]).toMatch(finding);
  });

  it('accepts what the layers allow', () => {
    const files = {
      'src/model/ip.ts': "export const name = 'process'; export const at = Date.parse(name); // console",
      'src/plan/a.ts': "import '../model/ip.ts'; export const f = (x: { process: number }) => x.process;",
      'src/kernel/libc.ts':
        "import koffi from 'koffi'; import 'node:module'; import '../model/ip.ts'; koffi.load('x');",
      'src/kernel/x-codec.ts': X,
      'src/kernel/x.ts': "import './x-codec.ts'; import './libc.ts';",
      'src/backends/ipvs/diff.ts':
        "import '../../kernel/x-codec.ts'; import type { x } from '../../kernel/x.ts';",
      'src/daemon/a.ts': "import '../backends/ipvs/diff.ts'; import '../plan/a.ts';",
      'src/cli/a.ts': "import 'node:fs'; await import('../daemon/a.ts');",
      'lab/a.ts': "import type { x } from './b.ts'; import '../src/kernel/libc.ts';",
      'lab/b.ts': "import './a.ts'; export const x = 1;",
      'src/cli/a.test.ts': "import '../../lab/a.ts'; import '../backends/ipvs/diff.ts';",
    };
    expect(findViolations(made(files))).toEqual([]);
  });
});

describe('this checkout', () => {
  it('keeps to its layers', () => {
    const files = readSources();
    expect(files.size).toBeGreaterThan(50);
    // What the table above quotes as strings are no imports of it.
    files.set('test/imports.test.ts', '');
    expect(findViolations(files)).toEqual([]);
  });

  it.each(['package-lock.json', 'mutation/package-lock.json'])(
    'takes packages from whatever registry the user has set: %s names no host',
    (path) => {
      const lock = JSON.parse(readFileSync(join(ROOT, path), 'utf8')) as {
        packages: Record<string, { resolved?: string }>;
      };
      const hosts = Object.entries(lock.packages).filter(
        ([, { resolved }]) => resolved !== undefined && !resolved.startsWith('file:'),
      );
      expect(hosts.map(([name]) => name)).toEqual([]);
    },
  );
});
