// What one TypeScript file imports, names and quotes, read by the parser that vitest brings along.
// Pure: text in, facts out. Must not judge: test/import-walk.ts does.

import { parseAst } from 'vitest/node';

/** One import, export-from, import() or import type. */
export interface Import {
  /** As written; a computed import() has the specifier `(computed)`. */
  readonly specifier: string;
  /**
   * `value`: is left at run time, also when all its names are types; `type`: `import type` and the like;
   * `path`: a relative path to a .ts file in a string, such as that of a worker.
   */
  readonly kind: 'value' | 'type' | 'path';
}

/** The facts of one file. */
export interface Code {
  readonly imports: readonly Import[];
  /** Identifiers that are no names of members; with the member that is taken of them: `Date.parse`, `process.env`, `crypto`. */
  readonly names: ReadonlySet<string>;
  /** Contents of all string literals and of the fixed parts of templates. */
  readonly strings: readonly string[];
}

type Node = { readonly type: string } & Readonly<Record<string, unknown>>;

/** Fields that hold the name of a member or of something in another module, and no name of this scope. */
const MEMBER_FIELDS = new Set(['property', 'key', 'imported', 'exported', 'label', 'qualifier']);

/** Reads one file. Throws a SyntaxError for text that is no TypeScript. */
export function readCode(text: string): Code {
  const imports: Import[] = [];
  const names = new Set<string>();
  const strings: string[] = [];
  const visit = (node: Node): void => {
    const found = importOf(node);
    if (found !== undefined) imports.push(found);
    const member = memberOf(node);
    if (node.type === 'Identifier') names.add(String(node['name']));
    if (member !== undefined) names.add(member);
    if (node.type === 'Literal' && typeof node['value'] === 'string') strings.push(node['value']);
    if (node.type === 'TemplateElement') strings.push((node['value'] as { raw: string }).raw);
    for (const [field, value] of Object.entries(node)) {
      if (member !== undefined && field === 'object') continue;
      if (
        node['computed'] !== true &&
        MEMBER_FIELDS.has(field) &&
        isNode(value) &&
        value.type === 'Identifier'
      )
        continue;
      for (const child of Array.isArray(value) ? value : [value]) if (isNode(child)) visit(child);
    }
  };
  visit(parseAst(text, { lang: 'ts' }) as unknown as Node);
  const imported = new Set(imports.map((each) => each.specifier));
  for (const each of new Set(strings)) {
    if (/^\.\.?\/[^\s*]*\.ts$/.test(each) && !imported.has(each))
      imports.push({ specifier: each, kind: 'path' });
  }
  return { imports, names, strings };
}

function importOf(node: Node): Import | undefined {
  const source = node['source'];
  if (!isNode(source)) return undefined;
  const specifier = typeof source['value'] === 'string' ? source['value'] : '(computed)';
  switch (node.type) {
    case 'ImportDeclaration':
      return { specifier, kind: node['importKind'] === 'type' ? 'type' : 'value' };
    case 'ExportNamedDeclaration':
    case 'ExportAllDeclaration':
      return { specifier, kind: node['exportKind'] === 'type' ? 'type' : 'value' };
    case 'ImportExpression':
      return { specifier, kind: 'value' };
    case 'TSImportType':
      return { specifier, kind: 'type' };
    default:
      return undefined;
  }
}

function memberOf(node: Node): string | undefined {
  if (node.type !== 'MemberExpression' || node['computed'] === true) return undefined;
  const { object, property } = node;
  if (!isNode(object) || object.type !== 'Identifier' || !isNode(property)) return undefined;
  return `${String(object['name'])}.${String(property['name'])}`;
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && typeof (value as Node).type === 'string';
}
