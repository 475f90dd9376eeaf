// Kubernetes objects of the files under deploy/ as plain values.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';

/** The checkout. */
export const ROOT = join(import.meta.dirname, '../..');

/** An object of Kubernetes, or any other map of a YAML file. */
export interface ManifestObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
  };
  readonly [field: string]: unknown;
}

/** The text of a file of the checkout. */
export function readText(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** All documents of a YAML text but empty ones. Throws at mistakes and at warnings, with the place; `name` is how errors name the text. */
export function parseObjects(text: string, name: string): ManifestObject[] {
  const objects: ManifestObject[] = [];
  for (const document of parseAllDocuments(text, { strict: true, uniqueKeys: true })) {
    const [problem] = [...document.errors, ...document.warnings];
    if (problem !== undefined) throw new Error(`${name}: ${problem.message}`);
    const value = document.toJS() as ManifestObject | null;
    if (value !== null) objects.push(value);
  }
  return objects;
}

/** All objects of a file of the checkout. */
export function readObjects(path: string): ManifestObject[] {
  return parseObjects(readText(path), path);
}

/** The one object of a kind. Throws where there is none, or more than one. */
export function theOne(objects: readonly ManifestObject[], kind: string): ManifestObject {
  const [found, ...others] = objects.filter((object) => object.kind === kind);
  if (found === undefined || others.length > 0)
    throw new Error(`${found === undefined ? 'no' : 'more than one'} ${kind}`);
  return found;
}
