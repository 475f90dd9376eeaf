// What the fake API server makes of writes: POST, PUT and DELETE of Namespaces, Services and EndpointSlices, POST and DELETE of Events, as far
// as tests need them, with the refusals of the real one. Knows no HTTP but methods and codes.
// Source: the Kubernetes API concepts page; pkg/registry/core/namespace, apimachinery pkg/api/errors.

import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import type { Timers } from '../../src/daemon/sync-loop.ts';
import type { ApiResource, ApiTarget, ResourceName } from './api-resources.ts';
import { ServiceAllocation } from './api-allocation.ts';
import { completeEvent } from './api-events.ts';
import { invalid, makeStatus, notFound, Refusal } from './api-status.ts';
import { keyOf, type ApiObject, type ApiStore } from './api-store.ts';

/** What is answered; `text` is JSON. */
export interface WriteAnswer {
  readonly code: 200 | 201;
  readonly text: string;
}

type Fields = Record<string, any>;

/** As the real one's limit of a request. */
const MAX_BODY_BYTES = 3 * 1024 * 1024;
const WRITABLE: readonly ResourceName[] = ['namespaces', 'services', 'endpointslices', 'events'];
/** There without anybody's doing. */
const GIVEN_NAMESPACES = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];
/** How long a namespace takes to go. */
const TERMINATION_MS = 50;
const VERBS: Readonly<Record<string, string>> = { POST: 'create', PUT: 'update', DELETE: 'delete' };

/** See above. */
export class ApiWrites {
  private readonly store: ApiStore;
  private readonly timers: Timers;
  private readonly services: ServiceAllocation;

  constructor(store: ApiStore, timers: Timers) {
    this.store = store;
    this.timers = timers;
    this.services = new ServiceAllocation(store);
  }

  /** Does it, or throws Refusal. */
  write(method: string, target: ApiTarget, body: string): WriteAnswer {
    const { resource, namespace, name } = target;
    const isCollection = name === null;
    const isPlaced = !resource.isNamespaced || namespace !== null;
    const isKnown = WRITABLE.includes(resource.name) && isPlaced && isCollection === (method === 'POST');
    const isLeftOut = resource.name === 'events' && method === 'PUT';
    if (!isKnown || isLeftOut || VERBS[method] === undefined)
      throw new Refusal(makeStatus(405, 'the server does not allow this method on the requested resource'));
    const given = parse(body);
    if (method === 'DELETE') return this.remove(target, given);
    if (given['kind'] !== resource.kind || given['apiVersion'] !== resource.apiVersion) {
      const what = `${String(given['apiVersion'])}, Kind=${String(given['kind'])}`;
      const message = `no kind or version matches: the object provided is ${what}, not ${resource.apiVersion}, Kind=${resource.kind}`;
      throw new Refusal(makeStatus(400, message));
    }
    const inside = given['metadata']?.namespace as unknown;
    if (inside !== undefined && inside !== (namespace ?? ''))
      throw new Refusal(
        makeStatus(
          400,
          'the namespace of the provided object does not match the namespace sent on the request',
        ),
      );
    return method === 'POST' ? this.create(target, given) : this.replace(target, given);
  }

  private create({ resource, namespace }: ApiTarget, given: Fields): WriteAnswer {
    const name = given['metadata']?.name as unknown;
    if (typeof name !== 'string' || name === '')
      throw invalid(resource, '', 'metadata.name: Required value: name or generateName is required');
    if (!/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/.test(name))
      throw invalid(
        resource,
        name,
        `metadata.name: Invalid value: ${JSON.stringify(name)}: a lowercase RFC 1123 name`,
      );
    if (namespace !== null) this.checkNamespace(resource, namespace, name);
    const key = keyOf(namespace ?? '', name);
    if (this.store.get(resource.name, key) !== undefined) {
      const details = { name, kind: resource.name };
      const message = `${resource.name} "${name}" already exists`;
      throw new Refusal(makeStatus(409, message, { reason: 'AlreadyExists', details }));
    }
    const placed = resource.name === 'events' ? completeEvent(resource, namespace ?? '', name, given) : given;
    return this.keep(resource, namespace, key, this.completed(resource, name, placed, null), 201);
  }

  private replace({ resource, namespace, name }: ApiTarget, given: Fields): WriteAnswer {
    const key = keyOf(namespace ?? '', name ?? '');
    const before = this.parsed(resource, key, name ?? '');
    if (given['metadata']?.name !== name)
      throw new Refusal(
        makeStatus(
          400,
          `the name of the object (${String(given['metadata']?.name)}) does not match the name on the URL (${name})`,
        ),
      );
    const version = given['metadata']?.resourceVersion as unknown;
    if (version !== undefined && version !== before['metadata'].resourceVersion) {
      const message = `Operation cannot be fulfilled on ${resource.name} "${name}": the object has been modified; please apply your changes to the latest version and try again`;
      throw new Refusal(makeStatus(409, message, { reason: 'Conflict' }));
    }
    return this.keep(resource, namespace, key, this.completed(resource, name, given, before), 200);
  }

  private remove({ resource, namespace, name }: ApiTarget, options: Fields): WriteAnswer {
    const key = keyOf(namespace ?? '', name ?? '');
    const { uid } = this.parsed(resource, key, name ?? '')['metadata'];
    const wanted = options['preconditions']?.uid as string | undefined;
    if (wanted !== undefined && wanted !== uid) {
      const message = `Operation cannot be fulfilled on ${resource.name} "${name}": Precondition failed: UID in precondition: ${wanted}, UID in object meta: ${uid}`;
      throw new Refusal(makeStatus(409, message, { reason: 'Conflict' }));
    }
    if (resource.name === 'namespaces') return this.terminate(resource, key);
    this.store.delete(resource.name, key);
    const details = { name, kind: resource.name, uid };
    const status = { kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Success', details };
    return { code: 200, text: JSON.stringify(status) };
  }

  /** What is in a namespace goes after the answer, and the namespace last. */
  private terminate(resource: ApiResource, name: string): WriteAnswer {
    const { metadata, ...rest } = this.parsed(resource, name, name);
    if (metadata.deletionTimestamp !== undefined) {
      const message = `Operation cannot be fulfilled on namespaces "${name}": The system is ensuring all content is removed from this namespace. Upon completion, this namespace will automatically be purged by the system.`;
      throw new Refusal(makeStatus(409, message, { reason: 'Conflict' }));
    }
    const { creationTimestamp: deletionTimestamp } = metadata as Fields;
    const terminating = {
      ...rest,
      metadata: { ...metadata, deletionTimestamp },
      status: { phase: 'Terminating' },
    };
    const answer = this.keep(resource, null, name, terminating, 200);
    this.timers.set(() => {
      for (const inner of ['endpointslices', 'services', 'events'] as const)
        for (const entry of this.store.entries(inner))
          if (entry.namespace === name) this.store.delete(inner, entry.key);
      if (this.store.get('namespaces', name)?.json.includes(metadata.uid) === true)
        this.store.delete('namespaces', name);
    }, TERMINATION_MS);
    return answer;
  }

  private completed(
    resource: ApiResource,
    name: string | null,
    given: Fields,
    before: Fields | null,
  ): Fields {
    if (resource.name === 'services') return this.services.complete(resource, name ?? '', given, before);
    if (resource.name === 'endpointslices') checkSlice(resource, name ?? '', given, before);
    return resource.name === 'namespaces' ? { ...given, status: { phase: 'Active' } } : given;
  }

  private keep(
    resource: ApiResource,
    namespace: string | null,
    key: string,
    object: Fields,
    code: 200 | 201,
  ): WriteAnswer {
    const metadata = { ...(object['metadata'] as Fields), ...(namespace === null ? {} : { namespace }) };
    this.store.put(resource.name, { ...object, metadata } as ApiObject);
    const json = this.store.get(resource.name, key)?.json.toString() ?? '{}';
    const head = `{"kind":"${resource.kind}","apiVersion":"${resource.apiVersion}",`;
    return { code, text: `${head}${json.slice(1)}\n` };
  }

  private parsed(resource: ApiResource, key: string, name: string): Fields {
    const entry = this.store.get(resource.name, key);
    if (entry === undefined) throw notFound(resource.name, name);
    return JSON.parse(entry.json.toString()) as Fields;
  }

  private checkNamespace({ name: resource }: ApiResource, namespace: string, name: string): void {
    if (GIVEN_NAMESPACES.includes(namespace)) return;
    const entry = this.store.get('namespaces', namespace);
    if (entry === undefined) throw notFound('namespaces', namespace);
    if (!entry.json.includes('"deletionTimestamp"')) return;
    const message = `${resource} "${name}" is forbidden: unable to create new content in namespace ${namespace} because it is being terminated`;
    throw new Refusal(makeStatus(403, message));
  }
}

/** What RBAC calls it. */
export function writeVerb(method: string): string {
  return VERBS[method] ?? 'patch';
}

/** The body of a request; must be called before anything is awaited. What is beyond the limit is cut, and then is no JSON. */
export async function readRequestBody(incoming: IncomingMessage): Promise<string> {
  const parts: Buffer[] = [];
  let bytes = 0;
  return await new Promise((resolve) => {
    incoming.on('data', (part: Buffer) => {
      if (bytes <= MAX_BODY_BYTES) parts.push(part);
      bytes += part.length;
    });
    // Ended or torn: always the last event.
    incoming.once('close', () => resolve(Buffer.concat(parts).toString('utf8')));
    incoming.once('end', () => resolve(Buffer.concat(parts).toString('utf8')));
  });
}

function parse(body: string): Fields {
  if (body === '') return {};
  try {
    const object: unknown = JSON.parse(body);
    if (typeof object === 'object' && object !== null && !Array.isArray(object)) return object;
  } catch {
    // As any other text that is no object.
  }
  throw new Refusal(makeStatus(400, 'the object provided is unrecognized: it is no JSON object'));
}

function checkSlice(resource: ApiResource, name: string, given: Fields, before: Fields | null): void {
  const type = given['addressType'] as unknown;
  if (type !== 'IPv4' && type !== 'IPv6') throw invalid(resource, name, 'addressType: Required value');
  if (before !== null && before['addressType'] !== type)
    throw invalid(resource, name, `addressType: Invalid value: "${type}": field is immutable`);
  for (const [index, endpoint] of ((given['endpoints'] ?? []) as Fields[]).entries())
    for (const address of (endpoint['addresses'] ?? []) as string[])
      if (isIP(address) !== (type === 'IPv4' ? 4 : 6))
        throw invalid(
          resource,
          name,
          `endpoints[${index}].addresses[0]: Invalid value: "${address}": must be an ${type} address`,
        );
}
