// What the fake API server knows: objects as serialized JSON, one resourceVersion for all of them, and a window of history. As etcd with
// the watch cache before it, without any HTTP. Objects are kept as bytes, so that great lists cost no encoding.

import { API_RESOURCES, type ApiResource, type ResourceName } from './api-resources.ts';
import type { Selectable } from './api-selectors.ts';

/** An object at one version; never changed, only replaced. */
export interface Entry extends Selectable {
  /** `namespace/name`, or `name`. */
  readonly key: string;
  readonly namespace: string;
  readonly name: string;
  readonly version: number;
  /** As it stands among the items of a list: without kind and apiVersion. */
  readonly json: Buffer;
}

/** One change; both sides are null never at once. */
export interface Change {
  readonly version: number;
  readonly resource: ResourceName;
  readonly previous: Entry | null;
  readonly current: Entry | null;
}

/** The whole state, to go back to. */
export interface StoreSnapshot {
  readonly version: number;
  readonly objects: ReadonlyMap<ResourceName, ReadonlyMap<string, Entry>>;
}

/** What tests give: an object of the API's shape; what the server fills may be absent. */
export interface ApiObject {
  readonly metadata?: {
    readonly name?: string;
    readonly namespace?: string;
    readonly [field: string]: unknown;
  };
  readonly [field: string]: unknown;
}

type Listener = (change: Change) => void;

const EPOCH_MS = Date.UTC(2026, 0, 1);

export class ApiStore {
  /** resourceVersion of the last change. */
  version: number;
  /** Watches from a version below this are too old. */
  oldest: number;
  private objects = emptyObjects();
  private history: Change[] = [];
  private readonly historySize: number;
  private readonly sorted = new Map<ResourceName, Entry[]>();
  private readonly listeners = new Set<Listener>();
  private uids = 0;

  /** History holds at most `historySize` changes; twice that for a moment. */
  constructor({ version = 1000, historySize = 10_000 }: { version?: number; historySize?: number } = {}) {
    this.version = version;
    this.oldest = version;
    this.historySize = historySize;
  }

  /** Creates or replaces; fills uid, resourceVersion, creationTimestamp and namespace as a server does. Returns the new version. */
  put(name: ResourceName, object: ApiObject): number {
    const resource = API_RESOURCES[name];
    const { kind: _kind, apiVersion: _apiVersion, metadata = {}, ...rest } = object;
    const namespace = resource.isNamespaced ? (metadata.namespace ?? 'default') : '';
    const key = keyOf(namespace, metadata.name ?? '');
    const previous = this.objects[name].get(key);
    const born = previous === undefined ? {} : bornOf(previous);
    const version = this.version + 1;
    const filled = {
      name: metadata.name,
      ...(namespace === '' ? {} : { namespace }),
      uid: uidOf(++this.uids),
      resourceVersion: String(version),
      creationTimestamp: new Date(EPOCH_MS + this.uids * 1000).toISOString().replace('.000Z', 'Z'),
      ...born,
      ...omit(metadata, ['name', 'namespace', 'uid', 'resourceVersion', 'creationTimestamp']),
    };
    return this.putText(name, key, JSON.stringify({ metadata: filled, ...rest }));
  }

  /** Keeps `json` as it is, whatever it is: for objects that no server would have. `key` is `namespace/name`, or `name`. */
  putText(name: ResourceName, key: string, json: string): number {
    const current = toEntry(API_RESOURCES[name], key, ++this.version, json);
    const previous = this.objects[name].get(key) ?? null;
    this.objects[name].set(key, current);
    if (previous === null) this.sorted.delete(name);
    else this.replaceSorted(name, current);
    this.record({ version: this.version, resource: name, previous, current });
    return this.version;
  }

  /** Replaces an object by what `change` makes of a copy of it; throws when there is none. */
  patch(name: ResourceName, key: string, change: (object: any) => object | void): number {
    const entry = this.objects[name].get(key);
    if (entry === undefined) throw new Error(`no ${key} among ${name}`);
    const copy = JSON.parse(entry.json.toString()) as ApiObject;
    return this.put(name, (change(copy) as ApiObject | undefined) ?? copy);
  }

  /** False when there was none. */
  delete(name: ResourceName, key: string): boolean {
    const previous = this.objects[name].get(key);
    if (previous === undefined) return false;
    this.objects[name].delete(key);
    this.sorted.delete(name);
    this.record({ version: ++this.version, resource: name, previous, current: null });
    return true;
  }

  /** The resourceVersion goes up by `count` and nothing shows why, as when objects of other kinds change. */
  skipVersions(count: number): void {
    this.version += count;
  }

  /** Forgets history: all older versions and continue tokens expire. */
  compact(): void {
    this.history = [];
    this.oldest = this.version;
  }

  snapshot(): StoreSnapshot {
    const objects = Object.entries(this.objects).map(
      ([name, map]) => [name as ResourceName, new Map(map)] as const,
    );
    return { version: this.version, objects: new Map(objects) };
  }

  /** Everything is as it was, versions too; history begins anew, as after a restart. */
  restore(snapshot: StoreSnapshot): void {
    this.version = snapshot.version;
    this.objects = emptyObjects();
    for (const [name, map] of snapshot.objects) this.objects[name] = new Map(map);
    this.sorted.clear();
    this.compact();
  }

  get(name: ResourceName, key: string): Entry | undefined {
    return this.objects[name].get(key);
  }

  /** All objects, parsed, by key: what a client must come to know. */
  objectsOf(name: ResourceName): Map<string, any> {
    return new Map(this.entries(name).map(({ key, json }) => [key, JSON.parse(json.toString()) as unknown]));
  }

  /** Sorted by key, as etcd keeps them. */
  entries(name: ResourceName): readonly Entry[] {
    let entries = this.sorted.get(name);
    if (entries === undefined) {
      entries = [...this.objects[name].values()].sort(byKey);
      this.sorted.set(name, entries);
    }
    return entries;
  }

  /** The entries at an older version, sorted; null when history does not reach so far. */
  entriesAt(name: ResourceName, version: number): readonly Entry[] | null {
    if (version < this.oldest) return null;
    const hasChanged = this.history.some((change) => change.resource === name && change.version > version);
    if (!hasChanged) return this.entries(name);
    const objects = new Map(this.objects[name]);
    for (let index = this.history.length - 1; index >= 0; index--) {
      const change = this.history[index];
      if (change === undefined || change.version <= version) break;
      if (change.resource !== name) continue;
      if (change.previous !== null) objects.set(change.previous.key, change.previous);
      else if (change.current !== null) objects.delete(change.current.key);
    }
    return [...objects.values()].sort(byKey);
  }

  /** What changed after `version`, oldest first; null when history does not reach so far. */
  changesSince(name: ResourceName, version: number): Change[] | null {
    if (version < this.oldest) return null;
    return this.history.filter((change) => change.resource === name && change.version > version);
  }

  /** Hears of each change; returns what ends that. */
  onChange(listener: Listener): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  private record(change: Change): void {
    this.history.push(change);
    if (this.history.length > 2 * this.historySize) {
      const dropped = this.history.splice(0, this.history.length - this.historySize);
      this.oldest = dropped.at(-1)?.version ?? this.oldest;
    }
    for (const listener of this.listeners) listener(change);
  }

  private replaceSorted(name: ResourceName, entry: Entry): void {
    const entries = this.sorted.get(name);
    if (entries === undefined) return;
    let [low, high] = [0, entries.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((entries[middle]?.key ?? '') < entry.key) low = middle + 1;
      else high = middle;
    }
    // Lists that are being sent hold the array: it is replaced and not changed.
    this.sorted.set(name, entries.with(low, entry));
  }
}

/** The last version of a deleted object, with the resourceVersion of the deletion: what watches get (cacher.go, setCachingObjects). */
export function tombstone({ previous, version }: Change): Buffer {
  if (previous === null) return Buffer.from('null');
  const object = JSON.parse(previous.json.toString()) as { metadata?: Record<string, unknown> } | null;
  if (typeof object?.metadata !== 'object' || object.metadata === null) return previous.json;
  object.metadata['resourceVersion'] = String(version);
  return Buffer.from(JSON.stringify(object));
}

/** `namespace/name`, or `name` of what has no namespace. */
export function keyOf(namespace: string, name: string): string {
  return namespace === '' ? name : `${namespace}/${name}`;
}

function emptyObjects(): Record<ResourceName, Map<string, Entry>> {
  return {
    services: new Map(),
    endpointslices: new Map(),
    nodes: new Map(),
    servicecidrs: new Map(),
    namespaces: new Map(),
    events: new Map(),
  };
}

function byKey(a: Entry, b: Entry): number {
  return a.key < b.key ? -1 : a.key > b.key ? 1 : 0;
}

function toEntry(resource: ApiResource, key: string, version: number, json: string): Entry {
  const [namespace, name] = key.includes('/') ? (key.split('/', 2) as [string, string]) : ['', key];
  const object = JSON.parse(json) as Record<string, any> | null;
  const fields: Record<string, string> = { 'metadata.name': name, 'metadata.namespace': namespace };
  for (const [path, unset] of Object.entries(resource.fields)) {
    const value = object?.['spec']?.[path.replace('spec.', '')] as unknown;
    fields[path] = typeof value === 'string' || typeof value === 'boolean' ? String(value) : unset;
  }
  const labels = object?.['metadata']?.labels as unknown;
  return {
    key,
    namespace,
    name,
    version,
    json: Buffer.from(json),
    labels: typeof labels === 'object' && labels !== null ? (labels as Record<string, string>) : {},
    fields,
  };
}

function bornOf({ json }: Entry): object {
  const object = JSON.parse(json.toString()) as ApiObject | null;
  const { uid, creationTimestamp } = (object?.metadata ?? {}) as Record<string, unknown>;
  return uid === undefined ? {} : { uid, creationTimestamp };
}

function uidOf(count: number): string {
  return `00000000-0000-4000-8000-${count.toString(16).padStart(12, '0')}`;
}

function omit(object: object, names: readonly string[]): object {
  return Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
}
