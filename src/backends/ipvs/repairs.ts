// What verification found changed behind our back and put right: counted by kind, and told once for each object.

export const REPAIR_KINDS = [
  'virtualServer',
  'realServers',
  'member',
  'set',
  'address',
  'link',
  'rules',
  'switch',
] as const;
export type RepairKind = (typeof REPAIR_KINDS)[number];

export interface Repair {
  readonly kind: RepairKind;
  /** "TCP 10.96.0.1:443", "KUBE-CLUSTER-IP 10.96.0.1,tcp:443", "rules IPv4", "kube-ipvs0". */
  readonly object: string;
  /** What was wrong: "was missing", "had scheduler wlc". */
  readonly what: string;
}

/** Objects that are remembered as told, and repairs that are kept to be shown. */
const MAX_TOLD = 1000;
const MAX_SHOWN = 20;

export class Repairs {
  private readonly counts = new Map<RepairKind, number>();
  private readonly told = new Set<string>();
  private readonly shown: Repair[] = [];
  private readonly onNew: (repair: Repair) => void;

  /** `onNew` hears of each object once, however often somebody breaks it again. */
  constructor(onNew: (repair: Repair) => void) {
    this.onNew = onNew;
  }

  note(repair: Repair): void {
    this.counts.set(repair.kind, this.count(repair.kind) + 1);
    this.shown.push(repair);
    if (this.shown.length > MAX_SHOWN) this.shown.shift();
    const id = `${repair.kind} ${repair.object}`;
    if (this.told.has(id)) return;
    if (this.told.size >= MAX_TOLD) this.told.clear();
    this.told.add(id);
    this.onNew(repair);
  }

  count(kind: RepairKind): number {
    return this.counts.get(kind) ?? 0;
  }

  get total(): number {
    return [...this.counts.values()].reduce((sum, count) => sum + count, 0);
  }

  /** The last ones, oldest first. */
  last(): readonly Repair[] {
    return this.shown;
  }
}
