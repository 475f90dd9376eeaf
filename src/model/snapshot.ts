// The cluster as known by now: projected Services, EndpointSlices and Nodes, fed by events. In memory only, no input or output.
// Guarantees: the state depends only on the last event of each object, not on the order between objects; an event costs what its own
// Service costs, never what the table costs; an event that changes no record reports no change (re-lists and status updates are free).

import { projectEndpointSlice, sliceIdentity, type SliceRecord } from './endpoint-slice.ts';
import { isSameData } from './equal.ts';
import { Interner, packed } from './interner.ts';
import { compareText } from './ip.ts';
import { isAbsent, member } from './fields.ts';
import { isDnsLabel, serviceKey, type ServiceKey } from './names.ts';
import { projectNode, type NodeRecord } from './node.ts';
import type { ClusterEvent, ClusterObject } from './objects.ts';
import type { Problem } from './problem.ts';
import { namespaceOf, projectService, type ServiceRecord } from './service.ts';

/** What an event changed. */
export interface SnapshotChange {
  /** Services whose record or slices changed, came or went; without repetition. */
  readonly services: readonly ServiceKey[];
  /** True when the record of a Node changed, came or went. */
  readonly isNodeChanged: boolean;
}

/** A Service that yields entries, and its slices. */
export interface SnapshotEntry {
  readonly service: ServiceRecord;
  /** Sorted by name. */
  readonly slices: readonly SliceRecord[];
}

/** What is kept under a key: slices may come before their Service and stay behind it. */
interface Slot {
  readonly service: ServiceRecord | null;
  readonly slices: readonly SliceRecord[];
}

const NO_CHANGE: SnapshotChange = { services: [], isNodeChanged: false };
const NO_SLICES: readonly SliceRecord[] = [];
/** Characters of a name used to tell objects apart; valid names are shorter. */
const MAX_ID_LENGTH = 256;

export class Snapshot {
  private readonly slots = new Map<ServiceKey, Slot>();
  /** The Service of each slice, by "namespace/name" of the slice: a slice may be labelled anew. */
  private readonly serviceOfSlice = new Map<string, ServiceKey>();
  private readonly nodeRecords = new Map<string, NodeRecord>();
  /** Only of objects that have some, by "kind namespace/name". */
  private readonly problemsOf = new Map<string, readonly Problem[]>();
  private readonly interner = new Interner();

  /** Takes in one event. Never throws on an object's content. */
  apply(event: ClusterEvent): SnapshotChange {
    if (event.type === 'delete') return this.remove(event.kind, event.namespace, event.name);
    switch (event.object.kind) {
      case 'Service':
        return this.applyService(event.object);
      case 'EndpointSlice':
        return this.applySlice(event.object);
      case 'Node':
        return this.applyNode(event.object);
      default:
        return NO_CHANGE; // other kinds are not ours; whoever feeds us may pass them on
    }
  }

  /** Keys of the Services that yield entries, in no particular order. */
  *services(): IterableIterator<ServiceKey> {
    for (const [key, slot] of this.slots) if (slot.service !== null) yield key;
  }

  /** A Service with its slices; undefined when there is no such Service or it yields no entries. */
  get(key: ServiceKey): SnapshotEntry | undefined {
    const slot = this.slots.get(key);
    return slot === undefined || slot.service === null
      ? undefined
      : { service: slot.service, slices: slot.slices };
  }

  node(name: string): NodeRecord | undefined {
    return this.nodeRecords.get(name);
  }

  nodes(): IterableIterator<NodeRecord> {
    return this.nodeRecords.values();
  }

  /** What is wrong with the objects at present, sorted by object. */
  problems(): Problem[] {
    return [...this.problemsOf.values()].flat().sort((a, b) => compareText(a.object, b.object));
  }

  private applyService(object: ClusterObject): SnapshotChange {
    const { record, problems } = projectService(object);
    this.setProblems(object, problems);
    const namespace = namespaceOf(object);
    const name = member(member(object, 'metadata'), 'name');
    // An object without a valid name is nobody's new version.
    if (namespace === null || typeof name !== 'string' || !isDnsLabel(name)) return NO_CHANGE;
    return this.setService(record?.key ?? serviceKey(namespace, name), record);
  }

  private setService(key: ServiceKey, record: ServiceRecord | null): SnapshotChange {
    const slot = this.slots.get(key);
    if (isSameData(slot?.service ?? null, record)) return NO_CHANGE;
    this.setSlot(key, { service: record, slices: slot?.slices ?? NO_SLICES });
    return { services: [key], isNodeChanged: false };
  }

  private applySlice(object: ClusterObject): SnapshotChange {
    const { record, problems } = projectEndpointSlice(object, this.interner);
    const id = sliceIdentity(object);
    this.setProblems(object, problems);
    return id === null ? NO_CHANGE : this.setSlice(id, record);
  }

  /** Replaces a slice, or removes it for null. */
  private setSlice(id: string, record: SliceRecord | null): SnapshotChange {
    const changed: ServiceKey[] = [];
    const before = this.serviceOfSlice.get(id);
    if (before !== undefined && before !== record?.serviceKey) {
      this.setSlices(before, id.slice(id.indexOf('/') + 1), null);
      this.serviceOfSlice.delete(id);
      if (this.isServed(before)) changed.push(before);
    }
    if (record !== null) {
      const key = this.setSlices(record.serviceKey, record.name, record);
      if (key !== null) this.serviceOfSlice.set(id, key);
      if (key !== null && this.isServed(key)) changed.push(key);
    }
    return { services: changed, isNodeChanged: false };
  }

  /** Replaces or removes one slice of a Service in the list sorted by name. Returns the key as it is stored, null when nothing changes. */
  private setSlices(key: ServiceKey, name: string, record: SliceRecord | null): ServiceKey | null {
    const slot = this.slots.get(key);
    const slices = slot?.slices ?? NO_SLICES;
    const before = slices.find((slice) => slice.name === name);
    // The trigger time decides nothing. A slice that comes or goes is told from nothing by its other members.
    if (isSameData({ ...before, triggeredAtMs: 0 }, { ...record, triggeredAtMs: 0 })) return null;
    const others = slices.filter((slice) => slice !== before);
    // One copy of the key for the Service and all of its slices.
    const sharedKey = slot?.service?.key ?? slices[0]?.serviceKey ?? key;
    if (record !== null) others.push({ ...record, serviceKey: sharedKey });
    others.sort((a, b) => compareText(a.name, b.name));
    this.setSlot(key, { service: slot?.service ?? null, slices: packed(others) });
    return sharedKey;
  }

  private applyNode(object: ClusterObject): SnapshotChange {
    const { record, problems } = projectNode(object);
    this.setProblems(object, problems);
    if (record === null || isSameData(this.nodeRecords.get(record.name), record)) return NO_CHANGE;
    this.nodeRecords.set(record.name, record);
    return { services: [], isNodeChanged: true };
  }

  private remove(kind: ClusterObject['kind'], namespace: string, name: string): SnapshotChange {
    const object = { kind, metadata: { namespace, name } } as ClusterObject;
    this.problemsOf.delete(objectId(object));
    if (kind === 'Node')
      return this.nodeRecords.delete(name) ? { services: [], isNodeChanged: true } : NO_CHANGE;
    const inNamespace = namespaceOf(object);
    if (inNamespace === null) return NO_CHANGE;
    if (kind === 'Service') return this.setService(serviceKey(inNamespace, name), null);
    return kind === 'EndpointSlice' ? this.setSlice(`${inNamespace}/${name}`, null) : NO_CHANGE;
  }

  private isServed(key: ServiceKey): boolean {
    return (this.slots.get(key)?.service ?? null) !== null;
  }

  private setSlot(key: ServiceKey, slot: Slot): void {
    if (slot.service === null && slot.slices.length === 0) this.slots.delete(key);
    else this.slots.set(key, slot);
  }

  private setProblems(object: ClusterObject, problems: readonly Problem[]): void {
    if (problems.length > 0) this.problemsOf.set(objectId(object), problems);
    else if (this.problemsOf.size > 0) this.problemsOf.delete(objectId(object));
  }
}

/** Names an object, valid or not, so that the problems of its next version replace those of this one. */
function objectId(object: ClusterObject): string {
  const metadata = member(object, 'metadata');
  const namespace = member(metadata, 'namespace');
  const text = (value: unknown): string => (typeof value === 'string' ? value.slice(0, MAX_ID_LENGTH) : '?');
  return `${object.kind} ${isAbsent(namespace) ? 'default' : text(namespace)}/${text(member(metadata, 'name'))}`;
}
