// The text of one manifest file to validated objects: several documents, lists of objects, kinds that are not ours. Pure.
// A mistake that leaves in doubt what the file says (syntax, no kind) throws DocumentError and the file yields nothing; a mistake inside
// one object leaves out that object. What stays of earlier versions is decided in manifests.ts.

import {
  DEFAULT_DOCUMENT_LIMITS,
  DocumentError,
  type DocumentLimits,
  type Path,
  type Position,
  type TextDocument,
} from '../files/document.ts';
import { jsonDocument } from '../files/json-document.ts';
import { yamlDocuments } from '../files/yaml-documents.ts';
import { member, objectOf, quote } from '../model/fields.ts';
import { isDnsLabel, isDnsSubdomain } from '../model/names.ts';
import type { ClusterObject } from '../model/objects.ts';
import { namespaceOf } from '../model/service.ts';
import { manifestProblem, WHOLE_FILE, type ManifestProblem } from './manifest-problem.ts';
import { validateObject, type ManifestKind } from './manifest-validate.ts';

/** An object that keeps all rules. */
export interface ManifestObject {
  /** "Service default/web", "Node node1": unique in a cluster. */
  readonly id: string;
  readonly kind: ManifestKind;
  /** '' for a Node. */
  readonly namespace: string;
  readonly name: string;
  /** As it stands in the file, with the namespace filled in. */
  readonly object: ClusterObject;
  readonly place: Position;
}

/** What one version of a file says. */
export interface ManifestFile {
  /** Each id once, in the order of the file. */
  readonly objects: readonly ManifestObject[];
  /** Ids of objects that are left out because of a mistake: their earlier versions still hold. */
  readonly refusedIds: ReadonlySet<string>;
  /** Kinds of objects that are left out and have no usable name: any earlier object of the kind may be meant. */
  readonly unnamedKinds: ReadonlySet<ManifestKind>;
  readonly problems: readonly ManifestProblem[];
  readonly warnings: readonly ManifestProblem[];
}

/** Problems, and warnings, kept of one file. */
const MAX_PROBLEMS_PER_FILE = 100;

const API_VERSIONS: Readonly<Record<ManifestKind, string>> = {
  Service: 'v1',
  EndpointSlice: 'discovery.k8s.io/v1',
  Node: 'v1',
};
/** The kind of the items of a list, '' when each item says it. */
const LIST_KINDS: ReadonlyMap<string, ManifestKind | ''> = new Map([
  ['v1 List', ''],
  ['v1 ServiceList', 'Service'],
  ['v1 NodeList', 'Node'],
  ['discovery.k8s.io/v1 EndpointSliceList', 'EndpointSlice'],
]);

/**
 * Reads a whole file at once; `fileName` only decides between JSON and YAML and is shown in problems.
 * Throws DocumentError; never anything else, whatever the text.
 */
export function parseManifest(
  text: string,
  fileName: string,
  limits: DocumentLimits = DEFAULT_DOCUMENT_LIMITS,
): ManifestFile {
  const reader = new ManifestReader(fileName);
  for (const document of manifestDocuments(text, fileName, limits)) reader.add(document);
  return reader.finish();
}

/** The documents of a file one by one, so that the caller can pause in between. Throws DocumentError. */
export function* manifestDocuments(
  text: string,
  fileName: string,
  limits: DocumentLimits,
): Generator<TextDocument, void, void> {
  if (!fileName.endsWith('.json')) {
    yield* yamlDocuments(text, limits);
  } else if (text.trim() !== '') {
    yield jsonDocument(text, limits);
  }
}

/** Collects what the documents of one file say. */
export class ManifestReader {
  private readonly file: string;
  private readonly objects = new Map<string, ManifestObject>();
  private readonly refusedIds = new Set<string>();
  private readonly unnamedKinds = new Set<ManifestKind>();
  private readonly problems: ManifestProblem[] = [];
  private readonly warnings: ManifestProblem[] = [];

  constructor(file: string) {
    this.file = file;
  }

  /** Throws DocumentError when it cannot be told what the document is. */
  add(document: TextDocument): void {
    if (document.value === null || document.value === undefined) return;
    const { apiVersion, kind } = readType(document, document.value, [], null);
    const itemKind = LIST_KINDS.get(`${apiVersion} ${kind}`);
    if (itemKind === undefined) {
      this.addObject(document, document.value, [], apiVersion, kind);
      return;
    }
    const items = member(document.value, 'items');
    if (items !== null && items !== undefined && !Array.isArray(items))
      throw new DocumentError(document.locate(['items']), 'items is no list', 'write the objects as a list');
    (items ?? []).forEach((item: unknown, index: number) => {
      const path = ['items', index];
      const type = readType(document, item, path, itemKind === '' ? null : itemKind);
      this.addObject(document, item, path, type.apiVersion, type.kind);
    });
  }

  finish(): ManifestFile {
    const { objects, refusedIds, unnamedKinds, problems, warnings } = this;
    return {
      objects: [...objects.values()],
      refusedIds,
      unnamedKinds,
      problems: cut(problems),
      warnings: cut(warnings),
    };
  }

  private addObject(
    document: TextDocument,
    value: unknown,
    path: Path,
    apiVersion: string,
    kindText: string,
  ): void {
    const kind = (['Service', 'EndpointSlice', 'Node'] as const).find((one) => one === kindText);
    if (kind === undefined || API_VERSIONS[kind] !== apiVersion) {
      const remedy = remedyForKind(kindText);
      const message = `kind ${quote(kindText)} of ${quote(apiVersion)} is passed over`;
      this.warnings.push(
        manifestProblem(this.file, document.locate([...path, 'kind']), '', path, message, remedy),
      );
      return;
    }
    const identity = identityOf(kind, value);
    const label = identity?.id ?? `${kind} ?`;
    const { findings, warnings } = validateObject(kind, value);
    const place = (at: Path): Position => document.locate([...path, ...at]);
    for (const { path: at, message, remedy } of warnings) {
      if (this.warnings.length > MAX_PROBLEMS_PER_FILE) break;
      this.warnings.push(manifestProblem(this.file, place(at), label, at, message, remedy));
    }
    if (findings.length > 0 || identity === null) {
      if (identity === null) this.unnamedKinds.add(kind);
      else if (!this.objects.has(identity.id)) this.refusedIds.add(identity.id);
      for (const { path: at, message, remedy } of findings) {
        if (this.problems.length > MAX_PROBLEMS_PER_FILE) break;
        this.problems.push(manifestProblem(this.file, place(at), label, at, message, remedy));
      }
      return;
    }
    if (this.objects.has(identity.id) || this.refusedIds.has(identity.id)) {
      const message = 'the same object stands further up in this file: this one is left out';
      this.problems.push(manifestProblem(this.file, place([]), label, [], message, 'remove one of them'));
      return;
    }
    const object = withNamespace(kind, value, apiVersion, identity.namespace);
    this.objects.set(identity.id, {
      ...identity,
      object,
      place: document.isCheapToLocate ? place([]) : WHOLE_FILE,
    });
  }
}

function cut(problems: readonly ManifestProblem[]): readonly ManifestProblem[] {
  if (problems.length <= MAX_PROBLEMS_PER_FILE) return problems;
  const kept = problems.slice(0, MAX_PROBLEMS_PER_FILE);
  const message = 'there are more; they are not listed';
  return [
    ...kept,
    manifestProblem(kept[0]?.file ?? '', WHOLE_FILE, '', [], message, 'correct the ones listed first'),
  ];
}

/** apiVersion and kind; those of the list's items where an item of a typed list has none. */
function readType(
  document: TextDocument,
  value: unknown,
  path: Path,
  itemKind: ManifestKind | null,
): { readonly apiVersion: string; readonly kind: string } {
  if (objectOf(value) === null) {
    const what = path.length === 0 ? 'the document' : 'the item';
    throw new DocumentError(
      document.locate(path),
      `${what} is ${quote(value)}, no Kubernetes object`,
      'write a map with apiVersion and kind',
    );
  }
  const [apiVersion, kind] = (['apiVersion', 'kind'] as const).map((name) => {
    const text = member(value, name) ?? '';
    if (typeof text === 'string' && text !== '') return text;
    if (text === '' && itemKind !== null) return name === 'kind' ? itemKind : API_VERSIONS[itemKind];
    const remedy =
      name === 'kind'
        ? 'add kind: Service, EndpointSlice or Node'
        : 'add apiVersion: v1 (discovery.k8s.io/v1 for EndpointSlices)';
    const message = text === '' ? `${name} is missing` : `${name} is ${quote(text)}, no text`;
    throw new DocumentError(document.locate([...path, name]), message, remedy);
  });
  return { apiVersion: apiVersion ?? '', kind: kind ?? '' };
}

function remedyForKind(kind: string): string {
  if (kind === 'Endpoints') return 'write an EndpointSlice (discovery.k8s.io/v1) instead';
  const known = kind === 'Service' || kind === 'EndpointSlice' || kind === 'Node' ? kind : null;
  if (known !== null) return `only ${known} of ${API_VERSIONS[known]} is read`;
  return 'only Service, EndpointSlice and Node are read';
}

/** null when the name or the namespace is none. */
function identityOf(
  kind: ManifestKind,
  value: unknown,
): {
  readonly id: string;
  readonly kind: ManifestKind;
  readonly namespace: string;
  readonly name: string;
} | null {
  const name = member(member(value, 'metadata'), 'name');
  if (typeof name !== 'string' || !(kind === 'Service' ? isDnsLabel(name) : isDnsSubdomain(name)))
    return null;
  if (kind === 'Node') return { id: `Node ${name}`, kind, namespace: '', name };
  const namespace = namespaceOf(value);
  return namespace === null ? null : { id: `${kind} ${namespace}/${name}`, kind, namespace, name };
}

function withNamespace(
  kind: ManifestKind,
  value: unknown,
  apiVersion: string,
  namespace: string,
): ClusterObject {
  const metadata = { ...objectOf(member(value, 'metadata')) };
  // Bookkeeping of the API server, often more than half of an exported object.
  delete metadata['managedFields'];
  if (namespace !== '') metadata['namespace'] = namespace;
  return { ...objectOf(value), apiVersion, kind, metadata } as unknown as ClusterObject;
}
