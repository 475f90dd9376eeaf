// What is asked of an API server, kind by kind, with the filters that the server applies, and what an object is called in its answers.
// Decides nothing about what objects mean: whatever has a name is passed on, and src/model says what is wrong with it.
// Source: kube-proxy's informers (cmd/kube-proxy/app/server.go): the same paths and selectors, so the same rights are enough.

import { LABEL_HEADLESS, LABEL_PROXY_NAME } from '../model/names.ts';
import { member } from '../model/fields.ts';
import type { ClusterEvent, ClusterObject } from '../model/objects.ts';

/** One collection of an API server. */
export interface ApiKind {
  readonly kind: ClusterObject['kind'];
  /** The collection over all namespaces. */
  readonly path: string;
  /** labelSelector and fieldSelector. */
  readonly query: Readonly<Record<string, string>>;
}

/** Services but headless ones and those that another proxy serves. */
export const SERVICES: ApiKind = {
  kind: 'Service',
  path: '/api/v1/services',
  query: { labelSelector: `!${LABEL_PROXY_NAME}`, fieldSelector: 'spec.clusterIP!=None' },
};

/** EndpointSlices but those of headless Services. */
export const ENDPOINT_SLICES: ApiKind = {
  kind: 'EndpointSlice',
  path: '/apis/discovery.k8s.io/v1/endpointslices',
  query: { labelSelector: `!${LABEL_HEADLESS}` },
};

/** The Node of this name alone: a watch of all Nodes would bring the heartbeats of all. */
export function nodeNamed(name: string): ApiKind {
  // As fields.EscapeValue: a name is asked for, whatever it is.
  const value = name.replaceAll(/[\\,=]/g, String.raw`\$&`);
  return { kind: 'Node', path: '/api/v1/nodes', query: { fieldSelector: `metadata.name=${value}` } };
}

/** What an object is called and which version it is. */
export interface ObjectIdentity {
  /** "namespace/name", with nothing before the slash for a Node. Flat: it keeps no text alive that it was cut from. */
  readonly key: string;
  /** '' when it has none. */
  readonly resourceVersion: string;
}

/** Names are shorter; whatever is longer is nobody's. */
const MAX_NAME_LENGTH = 253;

/** Identity of an object in an answer about `kind`; a text that says why not when it has none. */
export function identityOf(kind: ApiKind, object: unknown): ObjectIdentity | string {
  const itsKind = member(object, 'kind');
  if (itsKind !== undefined && itsKind !== kind.kind) return `it is no ${kind.kind}`;
  const metadata = member(object, 'metadata');
  const name = member(metadata, 'name');
  if (typeof name !== 'string' || name === '') return 'it has no metadata.name';
  const namespace = kind.kind === 'Node' ? '' : (member(metadata, 'namespace') ?? '');
  if (!isPart(name) || !isPart(namespace)) return 'its name or namespace cannot be one';
  const version = member(metadata, 'resourceVersion');
  return {
    key: [namespace, name].join('/'),
    resourceVersion: typeof version === 'string' ? version : '',
  };
}

function isPart(value: unknown): value is string {
  return typeof value === 'string' && value.length <= MAX_NAME_LENGTH && !value.includes('/');
}

/** The fact that an object is as it is. Takes the object over: items of lists say no kind, so it is set. */
export function applyEvent(kind: ApiKind, object: unknown): ClusterEvent {
  const claimed = object as { kind?: string };
  claimed.kind = kind.kind;
  return { type: 'apply', object: claimed as ClusterObject };
}

/** The fact that the object called `key` is gone. */
export function deleteEvent(kind: ApiKind, key: string): ClusterEvent {
  const slash = key.indexOf('/');
  return { type: 'delete', kind: kind.kind, namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
