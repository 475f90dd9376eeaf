// From the texts of kubeconfigs to one cluster and one user: parse, merge several files as kubectl does, follow the context. Only the
// entries that the context names are looked into: mistakes elsewhere are those of others. Pure.
// Source: k8s.io/client-go/tools/clientcmd/loader.go and client_config.go; kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig.

import {
  decodeText,
  DocumentError,
  printable,
  type DocumentLimits,
  type TextDocument,
} from '../files/document.ts';
import { jsonDocument } from '../files/json-document.ts';
import { nearestWord } from '../files/nearest.ts';
import { yamlDocuments } from '../files/yaml-documents.ts';
import type { PointsmanError } from '../model/errors.ts';
import { Fields, kindOf } from './kubeconfig-fields.ts';
import { credentialError, kubeconfigOrigin, quoted, textMistake } from './kubeconfig-problem.ts';
import { parseServer } from './kubeconfig-url.ts';
import { ANONYMOUS, readCluster, readUser, type ClusterEntry, type UserEntry } from './kubeconfig-user.ts';

/** Kubeconfigs of hundreds of clusters have some hundred KiB. */
export const MAX_KUBECONFIG_BYTES = 1024 * 1024;

const LIMITS: DocumentLimits = { maxDocuments: 16, maxDepth: 64, maxValues: 200_000 };
/** Names that an error offers for a choice. */
const MAX_SHOWN_NAMES = 5;

/** One kubeconfig as it was read from disk. */
export interface KubeconfigText {
  readonly file: string;
  readonly bytes: Uint8Array;
}

/** What of a kubeconfig is to be used. */
export interface KubeconfigSelection {
  /** null: current-context. */
  readonly context: string | null;
  /** In place of the cluster's server; null: that. */
  readonly master: string | null;
}

/** What the context stands for. */
export interface KubeconfigChoice {
  /** '' when there is none, and `master` alone says where to go. */
  readonly contextName: string;
  readonly cluster: ClusterEntry;
  readonly user: UserEntry;
}

/** The entries of one file, or of several that were merged. */
interface Entries {
  readonly currentContext: { readonly name: string; readonly fields: Fields } | null;
  readonly contexts: ReadonlyMap<string, Fields>;
  readonly clusters: ReadonlyMap<string, Fields>;
  readonly users: ReadonlyMap<string, Fields>;
}

/**
 * The cluster and user of the selected context. Of several files the first that has an entry or current-context wins; then files may be
 * empty. Throws INVALID_KUBECONFIG, never anything else, whatever the bytes.
 */
export function parseKubeconfig(
  texts: readonly KubeconfigText[],
  selection: KubeconfigSelection,
): KubeconfigChoice {
  const entries = texts.map((text) => readEntries(text, texts.length === 1)).filter((each) => each !== null);
  return choose(texts, mergeEntries(entries), selection);
}

function readEntries(text: KubeconfigText, mustHaveContent: boolean): Entries | null {
  const document = readDocument(text);
  const { value } = document;
  if (value === null || value === undefined) {
    if (!mustHaveContent) return null;
    throw wholeFile(text.file, 'the file is empty', 'see whether it was written to its end');
  }
  if (typeof value !== 'object' || Array.isArray(value))
    throw wholeFile(
      text.file,
      `it is ${kindOf(value)}, not a kubeconfig`,
      'see whether it is the right file',
    );
  const root = new Fields(text.file, document, [], '', { ...value });
  const kind = root.text('kind') ?? 'Config';
  if (kind !== 'Config')
    throw root.error('kind', `it is ${printable(kind)}, not Config`, 'see whether it is the right file');
  const apiVersion = root.text('apiVersion') ?? 'v1';
  if (apiVersion !== 'v1')
    throw root.error(
      'apiVersion',
      `it is ${printable(apiVersion)}, not v1`,
      'see whether it is the right file',
    );
  const currentContext = root.text('current-context');
  return {
    currentContext: currentContext === null ? null : { name: currentContext, fields: root },
    contexts: root.named('contexts'),
    clusters: root.named('clusters'),
    users: root.named('users'),
  };
}

/** JSON when it looks like it: the engine reads that a hundred times faster, and tells mistakes better. */
function readDocument({ file, bytes }: KubeconfigText): TextDocument {
  try {
    if (bytes.length > MAX_KUBECONFIG_BYTES)
      throw wholeFile(
        file,
        `it has more than ${MAX_KUBECONFIG_BYTES} bytes`,
        'see whether it is the right file',
      );
    const text = decodeText(bytes);
    if (!text.trimStart().startsWith('{')) return onlyDocument(file, text);
    try {
      return jsonDocument(text, LIMITS);
    } catch (error) {
      // {clusters: [...]} is YAML.
      try {
        return onlyDocument(file, text);
      } catch {
        throw error;
      }
    }
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error;
    const { line, column } = error.position;
    const remedy = error.remedy === 'split the file' ? 'see whether it is the right file' : error.remedy;
    throw credentialError(
      'INVALID_KUBECONFIG',
      kubeconfigOrigin(file, line, column, ''),
      textMistake(error),
      remedy,
    );
  }
}

/** A kubeconfig is one document; "---" around it is harmless. */
function onlyDocument(file: string, text: string): TextDocument {
  const documents = [...yamlDocuments(text, LIMITS)];
  const [first, second] = documents.filter(({ value }) => value !== null && value !== undefined);
  if (second !== undefined) {
    const { line, column } = second.locate([]);
    const origin = kubeconfigOrigin(file, line, column, '');
    throw credentialError(
      'INVALID_KUBECONFIG',
      origin,
      'a second document begins here',
      'give files of one document, several as KUBECONFIG=a:b',
    );
  }
  return first ?? { value: null, locate: () => ({ line: 0, column: 0 }), isCheapToLocate: true };
}

function mergeEntries(all: readonly Entries[]): Entries {
  const [first] = all;
  if (all.length === 1 && first !== undefined) return first;
  const merge = (name: 'contexts' | 'clusters' | 'users'): ReadonlyMap<string, Fields> =>
    // The last to set a key of a map wins: so the first file comes last.
    new Map(all.toReversed().flatMap((each) => [...each[name]]));
  return {
    currentContext: all.find((each) => each.currentContext !== null)?.currentContext ?? null,
    contexts: merge('contexts'),
    clusters: merge('clusters'),
    users: merge('users'),
  };
}

function choose(
  texts: readonly KubeconfigText[],
  entries: Entries,
  { context, master }: KubeconfigSelection,
): KubeconfigChoice {
  const files = texts.map(({ file }) => file).join(':');
  const name = context ?? entries.currentContext?.name ?? null;
  if (name === null) {
    // So does client-go: without a context, --master alone is enough.
    if (master !== null) return { contextName: '', ...serverOnly(master) };
    throw wholeFile(files, 'current-context is missing', `set it to ${offer(entries.contexts)}`);
  }
  const entry = entries.contexts.get(name);
  if (entry === undefined) {
    const message = `there is no context ${quoted(name)}`;
    const remedy = `use ${offer(entries.contexts, name)}`;
    if (context !== null || entries.currentContext === null) throw wholeFile(files, message, remedy);
    throw entries.currentContext.fields.error('current-context', message, remedy);
  }
  const fields = entry.object('context');
  if (fields === null) throw entry.wholeError('context is missing', 'add context with cluster and user');
  const userFields = named(fields, 'user', entries.users)?.object('user') ?? null;
  const user = userFields === null ? ANONYMOUS : readUser(userFields);
  const clusterEntry = named(fields, 'cluster', entries.clusters);
  if (clusterEntry === null) {
    if (master === null)
      throw fields.wholeError('cluster is missing', `set it to ${offer(entries.clusters)}`);
    return { contextName: name, cluster: serverOnly(master).cluster, user };
  }
  const clusterFields = clusterEntry.object('cluster');
  if (clusterFields === null) throw clusterEntry.wholeError('cluster is missing', 'add cluster with server');
  return { contextName: name, cluster: readCluster(clusterFields, master, user.client !== null), user };
}

/** The entry that a context names; null when it names none. */
function named(
  context: Fields,
  name: 'user' | 'cluster',
  entries: ReadonlyMap<string, Fields>,
): Fields | null {
  const key = context.text(name);
  if (key === null) return null;
  const entry = entries.get(key);
  if (entry !== undefined) return entry;
  throw context.error(name, `there is no ${name} ${quoted(key)}`, `use ${offer(entries, key)}`);
}

/** What --master alone comes to: no credentials, and the authorities that this Node.js trusts. Throws INVALID_KUBECONFIG. */
export function serverOnly(master: string): { readonly cluster: ClusterEntry; readonly user: UserEntry } {
  const server = parseServer(master, { assumeTls: false });
  if (!(server instanceof URL))
    throw credentialError(
      'INVALID_KUBECONFIG',
      { where: '--master', context: { field: '--master' } },
      server.message,
      server.remedy,
    );
  return {
    cluster: {
      server,
      ca: null,
      insecureSkipVerify: false,
      serverName: null,
      proxy: null,
      execConfig: undefined,
    },
    user: ANONYMOUS,
  };
}

function wholeFile(file: string, message: string, remedy: string): PointsmanError {
  return credentialError('INVALID_KUBECONFIG', kubeconfigOrigin(file, 0, 0, ''), message, remedy);
}

/** 'one of "a", "b"', or the one that `wanted` may have meant. */
function offer(entries: ReadonlyMap<string, Fields>, wanted = ''): string {
  const names = [...entries.keys()].filter((name) => name !== '');
  const near = wanted === '' ? null : nearestWord(wanted, names);
  if (near !== null) return quoted(near);
  if (names.length === 0) return 'a name that the file has (it has none)';
  const shown = names.slice(0, MAX_SHOWN_NAMES).map(quoted).join(', ');
  if (names.length === 1) return shown;
  return `one of ${shown}${names.length > MAX_SHOWN_NAMES ? ', ...' : ''}`;
}
