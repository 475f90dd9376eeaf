// Which file speaks for which object, and what changed: files in, events out. Of several files that declare one object the first by name
// wins; when it gives the object up, the next one takes over. Pure; a change costs what its own file holds.

import { isSameData } from '../model/equal.ts';
import { compareText } from '../model/ip.ts';
import type { ClusterEvent } from '../model/objects.ts';
import type { ManifestObject } from './manifest-parse.ts';
import { manifestProblem, type ManifestProblem } from './manifest-problem.ts';

interface Declaration {
  readonly file: string;
  readonly declared: ManifestObject;
}

/** What all files together declare. */
export class ManifestIndex {
  private readonly files = new Map<string, ReadonlyMap<string, ManifestObject>>();
  /** By object id; sorted by file name, never empty. */
  private readonly declarations = new Map<string, readonly Declaration[]>();
  /** Ids that more than one file declares. */
  private readonly contested = new Set<string>();

  /** The objects of a file as it was last replaced, by id. */
  objectsOf(file: string): ReadonlyMap<string, ManifestObject> {
    return this.files.get(file) ?? new Map();
  }

  /** Takes in what a file declares by now (nothing, for a file that is gone); the events of objects that changed by it. */
  replace(file: string, objects: readonly ManifestObject[]): ClusterEvent[] {
    const before = this.objectsOf(file);
    const after = new Map(objects.map((object) => [object.id, object]));
    const events: ClusterEvent[] = [];
    for (const [id, declared] of after) {
      // An equal object stays the one it was: what holds on to it needs no second copy.
      const earlier = before.get(id);
      const isSame = earlier !== undefined && isSameData(earlier.object, declared.object);
      const kept = isSame ? { ...declared, object: earlier.object } : declared;
      after.set(id, kept);
      this.assign(id, file, kept, events);
    }
    for (const id of before.keys()) if (!after.has(id)) this.assign(id, file, null, events);
    if (after.size === 0) this.files.delete(file);
    else this.files.set(file, after);
    return events;
  }

  /** Objects that a later file declares again. Sorted by file and object. */
  duplicates(): ManifestProblem[] {
    const problems: ManifestProblem[] = [];
    for (const id of this.contested) {
      const [winner, ...others] = this.declarations.get(id) ?? [];
      for (const { file, declared } of others) {
        const message = `${winner?.file} declares the same object and comes first: this one is left out`;
        problems.push(manifestProblem(file, declared.place, id, [], message, 'remove one of them'));
      }
    }
    return problems.sort((a, b) => compareText(a.file, b.file) || compareText(a.object, b.object));
  }

  private assign(id: string, file: string, declared: ManifestObject | null, events: ClusterEvent[]): void {
    const before = this.declarations.get(id) ?? [];
    const after = before.filter((one) => one.file !== file);
    if (declared !== null) after.push({ file, declared });
    after.sort((a, b) => compareText(a.file, b.file));
    if (after.length === 0) this.declarations.delete(id);
    else this.declarations.set(id, after);
    if (after.length > 1) this.contested.add(id);
    else this.contested.delete(id);

    const was = before[0]?.declared;
    const is = after[0]?.declared;
    if (is === undefined) {
      if (was !== undefined)
        events.push({ type: 'delete', kind: was.kind, namespace: was.namespace, name: was.name });
    } else if (was === undefined || !isSameData(was.object, is.object)) {
      events.push({ type: 'apply', object: is.object });
    }
  }
}
