// Renders the chart's templates: the small part of Helm's language that they use, and nothing else. Whatever is not known here is an error, so
// that a template cannot begin to use it unseen. Blanks around {{- and -}}, scopes of with and precedence of pipes are Go's (text/template).

import { stringify } from 'yaml';

type Value = unknown;
/** What a template sees as "." and "$". */
export interface Context {
  readonly Values: Value;
  readonly Release: { readonly Name: string; readonly Namespace: string; readonly Service: string };
  readonly Chart: { readonly Name: string; readonly Version: string; readonly AppVersion: string };
  /** Of the chart's folder, by path. */
  readonly Files: ReadonlyMap<string, string>;
}

type Node =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'output'; readonly code: string }
  | {
      readonly kind: 'with' | 'if';
      readonly code: string;
      readonly body: Node[];
      readonly otherwise: Node[];
    };

/** Templates by file name; those that begin with "_" only define. */
export class Chart {
  private readonly files = new Map<string, Node[]>();
  private readonly defined = new Map<string, Node[]>();

  constructor(templates: ReadonlyMap<string, string>) {
    for (const [name, text] of templates) {
      const nodes = new Parser(text, name, this.defined).parse();
      if (!name.startsWith('_')) this.files.set(name, nodes);
    }
  }

  /** The text of one template. Throws Error with the message of "fail" and "required". */
  render(name: string, context: Context): string {
    const nodes = this.files.get(name);
    if (nodes === undefined) throw new Error(`no template ${name}`);
    return this.run(nodes, context, context);
  }

  private run(nodes: readonly Node[], dot: Value, context: Context): string {
    return nodes
      .map((node) => {
        if (node.kind === 'text') return node.text;
        const value = this.evaluate(node.code, dot, context);
        if (node.kind === 'output') return textOf(value);
        if (!isTrue(value)) return this.run(node.otherwise, dot, context);
        return this.run(node.body, node.kind === 'with' ? value : dot, context);
      })
      .join('');
  }

  /** A pipeline: each command's result is the last argument of the next. */
  private evaluate(code: string, dot: Value, context: Context): Value {
    let piped: Value[] = [];
    for (const command of splitOutside(code, '|')) {
      const [first = '', ...rest] = splitOutside(command.trim(), ' ').filter((word) => word !== '');
      const values = [...rest.map((word) => this.operand(word, dot, context)), ...piped];
      piped = [first === '.Files.Get' ? fileOf(context, values) : this.call(first, values, dot, context)];
    }
    return piped[0];
  }

  private call(name: string, values: readonly Value[], dot: Value, context: Context): Value {
    if (name === 'include') {
      const nodes = this.defined.get(String(values[0]));
      if (nodes === undefined) throw new Error(`no template is defined as ${String(values[0])}`);
      return this.run(nodes, values[1], context);
    }
    const apply = FUNCTIONS[name];
    if (apply !== undefined) return apply(...values);
    if (values.length > 0) throw new Error(`unknown function ${name}`);
    return this.operand(name, dot, context);
  }

  private operand(word: string, dot: Value, context: Context): Value {
    if (word.startsWith('"')) return JSON.parse(word) as string;
    if (/^\d+$/.test(word)) return Number(word);
    if (word === '.') return dot;
    const { root, path } = /^(?<root>\$?)(?<path>(\.[A-Za-z][A-Za-z0-9]*)+)$/.exec(word)?.groups ?? {};
    if (path === undefined) throw new Error(`unknown operand ${word}`);
    return path
      .slice(1)
      .split('.')
      .reduce<Value>((value, key) => fieldOf(value, key, word), root === '$' ? context : dot);
  }
}

const FUNCTIONS: Readonly<Record<string, (...values: Value[]) => Value>> = {
  quote: (value) => JSON.stringify(String(value)),
  toYaml: (value) => stringify(value, { sortMapEntries: true, lineWidth: 0, indentSeq: false }).trimEnd(),
  indent: (count, text) => indent(Number(count), String(text)),
  nindent: (count, text) => `\n${indent(Number(count), String(text))}`,
  default: (fallback, value) => (isTrue(value) ? value : fallback),
  eq: (one, other) => one === other,
  not: (value) => !isTrue(value),
  fail: (message) => {
    throw new Error(String(message));
  },
  required: (message, value) => {
    if (value === undefined || value === null || value === '') throw new Error(String(message));
    return value;
  },
};

/** What an action puts out. Go would print a map in its own way, which no YAML is. */
function textOf(value: Value): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'object') throw new Error('a template puts out a map or a list; use toYaml');
  return String(value as string | number | boolean);
}

function indent(count: number, text: string): string {
  return text
    .split('\n')
    .map((line) => `${' '.repeat(count)}${line}`)
    .join('\n');
}

function fileOf({ Files }: Context, [path]: readonly Value[]): string {
  const text = Files.get(String(path));
  if (text === undefined) throw new Error(`the chart has no file ${String(path)}`);
  return text;
}

/** As in Go: false, 0, "", nothing and what is empty are not true. */
function isTrue(value: Value): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return Boolean(value);
}

/** Helm lets a missing key be nothing; here it is a slip of the pen. */
function fieldOf(value: Value, key: string, word: string): Value {
  if (typeof value !== 'object' || value === null || !(key in value)) throw new Error(`${word}: no ${key}`);
  return (value as Readonly<Record<string, Value>>)[key];
}

/** At a separator that is not inside of quotes. */
function splitOutside(code: string, separator: string): string[] {
  const parts = [''];
  let isQuoted = false;
  for (const character of code) {
    if (character === '"') isQuoted = !isQuoted;
    if (character === separator && !isQuoted) parts.push('');
    else parts[parts.length - 1] += character;
  }
  return parts;
}

class Parser {
  /** Texts at even places, actions at odd ones. */
  private readonly parts: string[];
  private readonly name: string;
  private readonly defined: Map<string, Node[]>;
  private at = 0;

  constructor(text: string, name: string, defined: Map<string, Node[]>) {
    this.parts = text
      .replaceAll(/\s*\{\{- /g, '{{ ')
      .replaceAll(/ -\}\}\s*/g, ' }}')
      .split(/\{\{ (.*?) \}\}/);
    this.name = name;
    this.defined = defined;
  }

  parse(): Node[] {
    const nodes = this.block();
    if (this.at < this.parts.length) throw new Error(`${this.name}: an end too many`);
    return nodes;
  }

  /** Up to "end", "else" or the end of the text; stands behind it. */
  private block(): Node[] {
    const nodes: Node[] = [];
    while (this.at < this.parts.length) {
      const isAction = this.at % 2 === 1;
      const part = this.parts[this.at] ?? '';
      if (isAction && /^(end|else)$/.test(part)) return nodes;
      this.at++;
      if (isAction) this.action(part, nodes);
      else if (part.includes('{{')) throw new Error(`${this.name}: an action is not closed, or lacks blanks`);
      else if (part !== '') nodes.push({ kind: 'text', text: part });
    }
    return nodes;
  }

  private action(code: string, nodes: Node[]): void {
    const [word = '', ...rest] = code.split(' ');
    const argument = rest.join(' ');
    if (word === 'define') {
      this.defined.set(JSON.parse(argument) as string, this.block());
      this.close('end');
    } else if (word === 'if' || word === 'with') {
      const body = this.block();
      const otherwise = this.parts[this.at] === 'else' ? (this.close('else'), this.block()) : [];
      this.close('end');
      nodes.push({ kind: word, code: argument, body, otherwise });
    } else nodes.push({ kind: 'output', code });
  }

  private close(word: string): void {
    if (this.parts[this.at] !== word) throw new Error(`${this.name}: no ${word}`);
    this.at++;
  }
}
