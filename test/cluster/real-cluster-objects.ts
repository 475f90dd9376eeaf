// The objects that a test of a real cluster makes: one namespace with a name of chance, and what is in it. Every write goes into that
// namespace, and only a namespace of this run's name, label and uid is ever removed.

import { ApiStatusError } from '../../src/cluster/api-client-status.ts';
import type { ApiRequest, ApiTransport } from '../../src/cluster/api-client-transport.ts';
import { pause, type ApiTimers } from '../../src/cluster/api-timers.ts';
import { hasCode } from '../../src/model/errors.ts';

/** An object as JSON has it. */
export type Fields = Record<string, any>;

/** What can be made, and where it is served inside of a namespace. */
const COLLECTIONS = {
  Service: { apiVersion: 'v1', root: '/api/v1', plural: 'services' },
  EndpointSlice: {
    apiVersion: 'discovery.k8s.io/v1',
    root: '/apis/discovery.k8s.io/v1',
    plural: 'endpointslices',
  },
} as const;

export type OwnKind = keyof typeof COLLECTIONS;

const NAMESPACES = '/api/v1/namespaces';
const RUN_LABEL = 'pointsman-test-run';
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
/** Somebody else may write to an object of ours (a controller), but not without end. */
const MAX_CONFLICTS = 5;
const MAX_FAILED_REMOVALS = 5;
const POLL_MS = 250;

class NotOurs extends Error {}

/** One small answer, parsed. Rejects as the transport does, or with a plain Error when it is too large or no JSON. */
export async function askJson(
  transport: ApiTransport,
  request: Partial<ApiRequest> & { readonly path: string },
  signal: AbortSignal,
): Promise<Fields> {
  const answer = await transport.open({ query: {}, acceptsGzip: false, ...request }, signal);
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of answer) {
    parts.push(part);
    bytes += part.length;
    if (bytes > MAX_ANSWER_BYTES) throw new Error(`${request.path}: the answer is too large for a test`);
  }
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8')) as Fields;
  } catch {
    throw new Error(`${request.path}: the answer is no JSON`);
  }
}

/** See above. */
export class OwnNamespace {
  readonly name: string;
  private readonly transport: ApiTransport;
  private readonly timers: ApiTimers;
  private readonly run: string;
  private uid = '';
  private isTried = false;

  /** `run`: a few lower-case letters and digits of chance. */
  constructor(run: string, transport: ApiTransport, timers: ApiTimers) {
    this.name = `pointsman-test-${run}`;
    this.run = run;
    this.transport = transport;
    this.timers = timers;
  }

  /** Makes the namespace; 409 when there is one of this name. */
  async make(signal: AbortSignal): Promise<void> {
    const metadata = { name: this.name, labels: { [RUN_LABEL]: this.run } };
    const body = { apiVersion: 'v1', kind: 'Namespace', metadata };
    this.isTried = true;
    try {
      const made = await askJson(this.transport, { path: NAMESPACES, method: 'POST', body }, signal);
      this.uid = String(made['metadata']?.uid);
    } catch (error) {
      // Refused: surely not made. Anything else may come after it was.
      if (error instanceof ApiStatusError) this.isTried = false;
      throw error;
    }
  }

  async create(kind: OwnKind, name: string, object: Fields, signal: AbortSignal): Promise<Fields> {
    const { apiVersion } = COLLECTIONS[kind];
    const metadata = { ...(object['metadata'] as Fields | undefined), name, namespace: this.name };
    const body = { apiVersion, kind, ...object, metadata };
    return await askJson(this.transport, { path: this.pathOf(kind), method: 'POST', body }, signal);
  }

  async read(kind: OwnKind, name: string, signal: AbortSignal): Promise<Fields> {
    return await askJson(this.transport, { path: `${this.pathOf(kind)}/${name}` }, signal);
  }

  /** Reads, changes and writes; again when somebody else was faster. */
  async change(
    kind: OwnKind,
    name: string,
    change: (object: Fields) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const path = `${this.pathOf(kind)}/${name}`;
    for (let conflicts = 0; ; conflicts++) {
      const body = await this.read(kind, name, signal);
      change(body);
      try {
        await askJson(this.transport, { path, method: 'PUT', body }, signal);
        return;
      } catch (error) {
        const isConflict = error instanceof ApiStatusError && error.status === 409;
        if (!isConflict || conflicts >= MAX_CONFLICTS) throw error;
      }
    }
  }

  async remove(kind: OwnKind, name: string, signal: AbortSignal): Promise<void> {
    await askJson(this.transport, { path: `${this.pathOf(kind)}/${name}`, method: 'DELETE' }, signal);
  }

  /** Removes the namespace with all that is in it and waits until it is gone. Resolves with what became of it; rejects when it may be there. */
  async removeAll(signal: AbortSignal): Promise<string> {
    if (!this.isTried) return 'none was made';
    for (let failures = 0; ;) {
      try {
        const outcome = await this.pushRemoval(signal);
        if (outcome !== null) return outcome;
      } catch (error) {
        const isHopeless = error instanceof NotOurs || hasCode(error, 'INVALID_KUBECONFIG');
        if (signal.aborted || isHopeless || ++failures >= MAX_FAILED_REMOVALS) throw error;
      }
      await pause(this.timers, POLL_MS, signal);
      signal.throwIfAborted();
    }
  }

  /** One look at it, and the request to remove it unless that is under way. null: look again. */
  private async pushRemoval(signal: AbortSignal): Promise<string | null> {
    const found = await this.find(signal);
    if (found === null) return this.uid === '' ? 'none was made' : 'it is gone';
    const { uid, labels, deletionTimestamp } = found['metadata'] as Fields;
    if (labels?.[RUN_LABEL] !== this.run || (this.uid !== '' && uid !== this.uid))
      throw new NotOurs(`a namespace ${this.name} is there that is not of this run; it is left as it is`);
    this.uid = String(uid);
    if (deletionTimestamp !== undefined) return null;
    const path = `${NAMESPACES}/${this.name}`;
    const body = { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid: this.uid } };
    await askJson(this.transport, { path, method: 'DELETE', body }, signal);
    return null;
  }

  private async find(signal: AbortSignal): Promise<Fields | null> {
    try {
      return await askJson(this.transport, { path: `${NAMESPACES}/${this.name}` }, signal);
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  }

  private pathOf(kind: OwnKind): string {
    const { root, plural } = COLLECTIONS[kind];
    return `${root}/namespaces/${this.name}/${plural}`;
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof ApiStatusError && error.status === 404;
}
