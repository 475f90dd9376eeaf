// Reads typed fields of a kubeconfig and tells mistakes with their place. As in Kubernetes, null and '' count as absent and unknown
// fields are passed over. Pure.

import { formatPath, printable, type Path, type TextDocument } from '../files/document.ts';
import { nearestWord } from '../files/nearest.ts';
import type { PointsmanError } from '../model/errors.ts';
import { credentialError, kubeconfigOrigin, type Origin } from './kubeconfig-problem.ts';

/** A list of more entries is a mistake. */
const MAX_ITEMS = 10_000;

/** One object of a kubeconfig. */
export class Fields {
  readonly file: string;
  private readonly document: TextDocument;
  private readonly path: Path;
  /** How people call it: 'users[name=kube-proxy].user'; '' for the whole. */
  private readonly label: string;
  private readonly members: Readonly<Record<string, unknown>>;

  constructor(
    file: string,
    document: TextDocument,
    path: Path,
    label: string,
    members: Readonly<Record<string, unknown>>,
  ) {
    this.file = file;
    this.document = document;
    this.path = path;
    this.label = label;
    this.members = members;
  }

  /** Where a field stands, or the object itself. */
  origin(...names: Path): Origin {
    const { line, column } = this.document.locate([...this.path, ...names]);
    return kubeconfigOrigin(this.file, line, column, joinLabel(this.label, formatPath(names)));
  }

  /** INVALID_KUBECONFIG at a field (a path of several parts goes into lists). The message must not hold a secret. */
  error(name: string | Path, message: string, remedy: string): PointsmanError {
    const path = typeof name === 'string' ? [name] : name;
    return credentialError('INVALID_KUBECONFIG', this.origin(...path), message, remedy);
  }

  /** INVALID_KUBECONFIG about the object as a whole. */
  wholeError(message: string, remedy: string): PointsmanError {
    return credentialError('INVALID_KUBECONFIG', this.origin(), message, remedy);
  }

  /** True when something other than null and '' is there. */
  has(name: string): boolean {
    const value = this.value(name);
    return value !== null && value !== '';
  }

  /** A text; null when absent. */
  text(name: string): string | null {
    const value = this.value(name);
    return value === null ? null : this.checkText([name], value);
  }

  /** A text that must be there. */
  requiredText(name: string): string {
    const value = this.text(name);
    if (value !== null) return value;
    const others = Object.keys(this.members).filter((each) => each !== name);
    const near = nearestWord(name, others);
    throw this.wholeError(
      `${name} is missing`,
      near === null ? `add ${name}` : `add ${name}; is ${printable(near)} meant to be it?`,
    );
  }

  /** A text that goes into an HTTP header as it is. */
  headerText(name: string): string | null {
    const value = this.text(name);
    if (value !== null && !isHeaderText(value)) throw this.headerError([name]);
    return value;
  }

  flag(name: string): boolean {
    const value = this.value(name);
    if (value === null) return false;
    if (typeof value !== 'boolean')
      throw this.error(
        name,
        `it is ${kindOf(value)}, not true or false`,
        'write true or false without quotes',
      );
    return value;
  }

  /** A list of texts; empty when absent. */
  texts(name: string): readonly string[] {
    return this.items(name).map((item, index) => this.checkText([name, index], item) ?? '');
  }

  /** A list of texts that go into HTTP headers. */
  headerTexts(name: string): readonly string[] {
    const texts = this.texts(name);
    const index = texts.findIndex((text) => !isHeaderText(text));
    if (index !== -1) throw this.headerError([name, index]);
    return texts;
  }

  /** An object; null when absent. */
  object(name: string): Fields | null {
    const value = this.value(name);
    return value === null ? null : this.checkObject([name], joinLabel(this.label, name), value);
  }

  /** A list of objects; empty when absent. */
  objects(name: string): readonly Fields[] {
    return this.items(name).map((item, index) =>
      this.checkObject([name, index], joinLabel(this.label, formatPath([name, index])), item),
    );
  }

  /** A list of objects that have names, each but once: by name. Go reads them into a map as well. */
  named(name: string): ReadonlyMap<string, Fields> {
    const result = new Map<string, Fields>();
    this.items(name).forEach((item, index) => {
      const unnamed = this.checkObject([name, index], joinLabel(this.label, formatPath([name, index])), item);
      const key = unnamed.text('name') ?? '';
      if (result.has(key))
        throw unnamed.error('name', `the name "${printable(key)}" is there twice`, 'rename or remove one');
      const label = joinLabel(this.label, `${name}[name=${printable(key)}]`);
      result.set(key, this.checkObject([name, index], label, item));
    });
    return result;
  }

  /** Names and values of all members; for maps of the user's own names. */
  entries(): readonly (readonly [string, unknown])[] {
    return Object.entries(this.members);
  }

  /** The member as it is; null when absent. */
  value(name: string): unknown {
    return Object.hasOwn(this.members, name) ? (this.members[name] ?? null) : null;
  }

  private items(name: string): readonly unknown[] {
    const value = this.value(name);
    if (value === null) return [];
    if (!Array.isArray(value)) throw this.error(name, `it is ${kindOf(value)}, not a list`, 'write a list');
    if (value.length > MAX_ITEMS)
      throw this.error(name, `it has more than ${MAX_ITEMS} entries`, 'remove some');
    return value;
  }

  private checkText(path: Path, value: unknown): string | null {
    if (typeof value === 'string') return value === '' ? null : value;
    const remedy = typeof value === 'object' ? 'write a text' : 'put it in quotes';
    throw this.error(path, `it is ${kindOf(value)}, not a text`, remedy);
  }

  private checkObject(path: Path, label: string, value: unknown): Fields {
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return new Fields(this.file, this.document, [...this.path, ...path], label, { ...value });
    throw this.error(path, `it is ${kindOf(value)}, not an object`, 'write names and values below it');
  }

  private headerError(path: Path): PointsmanError {
    return this.error(
      path,
      'it has characters that no HTTP header can carry',
      'use printable ASCII without line breaks',
    );
  }
}

/** True for what a header takes without quoting. */
function isHeaderText(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text);
}

/** 'a number' and the like. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return 'empty';
  if (Array.isArray(value)) return 'a list';
  switch (typeof value) {
    case 'string':
      return 'a text';
    case 'number':
    case 'bigint':
      return 'a number';
    case 'boolean':
      return 'true or false';
    default:
      return 'an object';
  }
}

function joinLabel(label: string, field: string): string {
  if (label === '' || field === '' || field.startsWith('[')) return `${label}${field}`;
  return `${label}.${field}`;
}
