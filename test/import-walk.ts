// Reads the imports out of a set of source files and says which of them break the layers of this project.
// Takes texts, returns findings, so that it can be tried on made-up files. The table in this file is the source of truth for the layers.

import { readCode, type Code, type Import } from './source-code.ts';

/** Source texts by path from the root of the checkout, such as `src/model/ip.ts`. */
export type SourceFiles = ReadonlyMap<string, string>;

/** Prefixes that each folder's own files may import from; no face (http, cli, ipvsadm) is among them. Everything may import its own folder. */
const LAYERS: Readonly<Record<string, readonly string[]>> = {
  'src/model/': [],
  'src/files/': [],
  'src/plan/': ['src/model/'],
  'src/kernel/': ['src/model/ip.ts', 'src/model/errors.ts'],
  'src/backends/': ['src/plan/', 'src/model/', 'src/kernel/'],
  'src/cluster/': ['src/model/', 'src/files/'],
  'src/config/': ['src/model/', 'src/files/'],
  'src/daemon/': [
    'src/model/',
    'src/plan/',
    'src/backends/',
    'src/kernel/',
    'src/cluster/',
    'src/config/',
    'src/files/',
  ],
  'src/http/': ['src/'],
  'src/cli/': ['src/'],
  'src/ipvsadm/': ['src/'],
  'lab/': ['src/kernel/libc.ts', 'src/model/'],
  'bench/': ['src/', 'lab/'],
};

const PURE_FOLDERS = ['src/model/', 'src/plan/'];
const PURE_BACKEND_FILE = /^src\/backends\/.*\/(?:render|diff|trace)[^/]*\.ts$/;
/** Date.parse and Date.UTC depend on nothing but their arguments. */
const IMPURE_NAME =
  /^(?:Date(?!\.(?:parse|UTC)$)|Math(?:\.random)?$|(?:console|process|performance|globalThis|crypto|fetch|set(?:Timeout|Interval|Immediate)|queueMicrotask)(?:\.|$))/;
const FFI = 'koffi';
const FFI_FILE = 'src/kernel/libc.ts';
const TEST_FILE = /\.test\.ts$/;
const MAX_CYCLES = 20;

/**
 * Every break of the rules, one line each, that starts with the path of the file. Tests (`*.test.ts`, `test/`) may import anything
 * that exists; cycles count imports that are left at run time.
 */
export function findViolations(files: SourceFiles): string[] {
  const violations: string[] = [];
  const graph = new Map<string, string[]>();
  for (const [path, text] of files) {
    const code = readCode(text);
    const targets: string[] = [];
    graph.set(path, targets);
    const say = (what: string): unknown => violations.push(`${path}: ${what}`);
    for (const each of code.imports) {
      const { specifier, kind } = each;
      if (!specifier.startsWith('.')) {
        for (const what of packageViolations(path, specifier)) say(what);
        continue;
      }
      const target = resolve(path, specifier);
      if (target.startsWith('../')) say(`imports ${specifier}, which is outside of the checkout`);
      else if (!target.endsWith('.ts')) say(`imports ${specifier} without the suffix .ts`);
      else if (!files.has(target)) say(`imports ${target}, which does not exist`);
      else {
        for (const what of layerViolations(path, target, each)) say(what);
        if (kind === 'value' && target !== path) targets.push(target);
      }
    }
    for (const what of contentViolations(path, code)) say(what);
  }
  return [...violations, ...findCycles(graph)];
}

function packageViolations(path: string, specifier: string): string[] {
  if (isTest(path)) return [];
  if (specifier === '(computed)') return ['has a computed import(), which no test can follow'];
  const found: string[] = [];
  if (isPure(path)) found.push(`imports ${specifier}, but must be pure`);
  else if (specifier.startsWith('/') || specifier.startsWith('#'))
    found.push(`imports ${specifier} by no relative path`);
  return found;
}

function layerViolations(path: string, target: string, { kind }: Import): string[] {
  if (isTest(path)) return [];
  const found: string[] = [];
  const folder = folderOf(path);
  if (folder === undefined) return found;
  const isAllowed =
    target.startsWith(folder) || (LAYERS[folder] ?? []).some((prefix) => target.startsWith(prefix));
  if (!isAllowed || isTest(target)) found.push(`imports ${target}; ${folder} may not`);
  const [from, to] = [backendOf(path), backendOf(target)];
  if (from !== to && from !== undefined && to !== undefined)
    found.push(`imports ${target} of another backend`);
  if (folder === 'src/backends/' && from === undefined && to !== undefined) {
    found.push(`imports ${target}, but what all backends share may know none of them`);
  }
  if (
    PURE_BACKEND_FILE.test(path) &&
    target.startsWith('src/kernel/') &&
    kind !== 'type' &&
    !target.endsWith('-codec.ts')
  ) {
    found.push(`imports ${target}, but must be pure: from src/kernel/ only codecs and types`);
  }
  return found;
}

function contentViolations(path: string, { names, strings }: Code): string[] {
  const found: string[] = [];
  if (!isTest(path) && folderOf(path) === undefined)
    found.push('is in no known layer; add its folder to test/import-walk.ts');
  if (!isTest(path) && isPure(path)) {
    const impure = [...names].find((name) => IMPURE_NAME.test(name));
    if (impure !== undefined) found.push(`uses ${impure}, but must be pure`);
  }
  if (!isTest(path) && path !== FFI_FILE && (strings.includes(FFI) || names.has(FFI))) {
    found.push(`mentions ${FFI}, which is for ${FFI_FILE} only`);
  }
  // Split, so that this line does not find itself.
  const shared = strings.find((each) =>
    /(?:^|\/)\.\.\/shar[e]d(?:\/|$)|^\/work\/shar[e]d(?:\/|$)/.test(each),
  );
  if (shared !== undefined) found.push(`reads ${shared}, which is not part of the project`);
  return found;
}

const isTest = (path: string): boolean => path.startsWith('test/') || TEST_FILE.test(path);
const isPure = (path: string): boolean =>
  PURE_FOLDERS.some((folder) => path.startsWith(folder)) || PURE_BACKEND_FILE.test(path);
const folderOf = (path: string): string | undefined =>
  Object.keys(LAYERS).find((folder) => path.startsWith(folder));
const backendOf = (path: string): string | undefined => /^src\/backends\/([^/]+)\//.exec(path)?.[1];

function resolve(path: string, specifier: string): string {
  const parts = path.split('/').slice(0, -1);
  let above = 0;
  for (const part of specifier.split('/')) {
    if (part === '..' && parts.pop() === undefined) above++;
    else if (part !== '.' && part !== '..') parts.push(part);
  }
  return `${'../'.repeat(above)}${parts.join('/')}`;
}

/** One line per cycle, at most 20, each cycle once: by depth-first search for an edge back to a file of the current path. */
function findCycles(graph: ReadonlyMap<string, readonly string[]>): string[] {
  const done = new Set<string>();
  const cycles: string[] = [];
  const visit = (path: string, above: readonly string[]): void => {
    const start = above.indexOf(path);
    if (start !== -1) {
      if (cycles.length < MAX_CYCLES)
        cycles.push(`${path}: is in a cycle: ${[...above.slice(start), path].join(' -> ')}`);
      return;
    }
    if (done.has(path)) return;
    for (const target of graph.get(path) ?? []) visit(target, [...above, path]);
    done.add(path);
  };
  for (const path of graph.keys()) visit(path, []);
  return cycles;
}
