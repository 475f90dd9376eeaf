// The take-over from a kube-proxy in mode iptables or nftables that is stopped: what it left goes on translating new connections until our own
// state is in the kernel and a comparison of all of it found nothing wrong; then its rules go, in one transaction for each family and flavour.
// Guarantees:
//  1. Nothing of mode ipvs is removed: that is ours by now. Nothing is done while a kube-proxy runs.
//  2. The rules that were read at the opening anyway say whether there is anything; where there is not, nothing is read ever after.
//  3. What fails is told, and tried again with a pause that doubles.

import { renderSetAside } from '../backends/iptables/set-aside.ts';
import type { IpvsKernelPort } from '../backends/ipvs/port.ts';
import { kernelSetName } from '../backends/ipvs/sets.ts';
import type { Repairs } from '../backends/ipvs/repairs.ts';
import { toolName, type Removal } from '../backends/removal.ts';
import { errorLine, PointsmanError } from '../model/errors.ts';
import type { Family } from '../model/ip.ts';
import { mayBeLeft, planTakeOver, type RuleInventory } from './cleanup-plan.ts';
import { carryOut, type CleanupPort } from './cleanup-run.ts';
import { DueLoop } from './due-loop.ts';
import type { Log } from './log.ts';
import type { Timers } from './sync-loop.ts';
import type { VerifierWork } from './verify-loop.ts';

/** After a failure, doubled with each in a row; also the pause while something is in the way. */
const RETRY_INITIAL_MS = 1000;
const RETRY_MAX_MS = 30_000;
/** Slices of the comparison take no more than half a core. */
const PAUSE_PER_WORK = 1;

export interface TakeOverStatus {
  /**
   * none: no kube-proxy of another mode left anything, or nobody has looked yet; waiting: its rules are there and translate; failed: they could
   * not be removed and that is tried again; done: they are gone.
   */
  readonly state: 'none' | 'waiting' | 'failed' | 'done';
  /** What is to go, or is gone: "iptables-legacy: 12 jumps, 24 chains", "table ip kube-proxy". */
  readonly what: readonly string[];
  /** Why it is not gone, for a person; '' otherwise. */
  readonly reason: string;
}

/** Reads what is left and removes it. */
export interface LeftoversPort extends CleanupPort {
  readRules(): Promise<RuleInventory>;
  close(): void;
}

export interface TakeOverParts {
  readonly families: readonly Family[];
  /** The iptables that our rules are in. */
  readonly kernel: Pick<IpvsKernelPort, 'rules' | 'createSet' | 'restoreRules'>;
  /** By family, whether rules that may be leftovers were seen in any iptables; missing where none were read yet. */
  readonly suspects: ReadonlyMap<Family, boolean>;
  /** The families that have kube-proxy's table in nf_tables. */
  readonly tables: () => readonly Family[];
  /** Every iptables and nf_tables; opened only when something is left. */
  readonly openLeftovers: () => Promise<LeftoversPort>;
  readonly verifier: Pick<VerifierWork, 'status' | 'checkSlice'> & {
    readonly repairs: Pick<Repairs, 'total'>;
  };
  /** What of our own state could not be written, '' when all that was tried could. */
  readonly obstacle: () => string;
  /** The kube-proxy that runs here, in words, or null. */
  readonly rival: () => Promise<string | null>;
  /** Runs work of the verifier apart from syncs. May leave it out. */
  readonly beside: (work: () => Promise<void>) => Promise<void>;
  /** Called after a removal: flows that the rules made are to be looked for. */
  readonly onRemoved: () => void;
  readonly log: Log;
  readonly timers: Timers;
}

export class TakeOver {
  private readonly parts: TakeOverParts;
  private readonly loop: DueLoop;
  private current: TakeOverStatus = { state: 'none', what: [], reason: '' };
  private isSetAside = false;
  /** True when it is known what there is. */
  private hasLooked = false;
  /** When there is something to do. */
  private dueMs = 0;
  private retryMs = RETRY_INITIAL_MS;
  private readonly waiters: ((reason: string) => void)[] = [];
  /** What there was when the comparison that goes on began. */
  private baseline: { readonly cycles: number; readonly repairs: number } | null = null;

  constructor(parts: TakeOverParts) {
    this.parts = parts;
    this.loop = new DueLoop({
      dueMs: () => (this.isOver ? null : this.dueMs),
      work: () => this.step(),
      pausePerWork: PAUSE_PER_WORK,
      // Each step takes its turn beside the syncs for what needs it.
      beside: (work) => work(),
      timers: parts.timers,
    });
  }

  get status(): TakeOverStatus {
    return this.current;
  }

  private get isOver(): boolean {
    return this.hasLooked && (this.current.state === 'none' || this.current.state === 'done');
  }

  /**
   * To be awaited before each sync; does something before the first one: where the rules of another mode are in the chains that ours will be in,
   * copies of them go on translating. A failure is logged; new connections may fail then, until the sync is done.
   */
  async beforeSync(): Promise<void> {
    if (this.isSetAside) return;
    this.isSetAside = true;
    const { families, tables } = this.parts;
    const suspects = await Promise.all(families.map((family) => this.setAside(family)));
    this.hasLooked = !suspects.includes(true) && tables().length === 0;
  }

  /** True when something may be left. */
  private async setAside(family: Family): Promise<boolean> {
    const { kernel, log, rival, suspects } = this.parts;
    if (suspects.get(family) === false) return false;
    try {
      const rules = await kernel.rules(family);
      const text = renderSetAside(rules, kernelSetName('KUBE-IPVS-IPS', family));
      if (text === '')
        return (
          suspects.get(family) ?? mayBeLeft([...rules.values()].flatMap((each) => [...each.keys()]).join(' '))
        );
      if ((await rival()) !== null) return true;
      await kernel.createSet('KUBE-IPVS-IPS', family);
      await kernel.restoreRules(family, text);
      log.info('Rules of a kube-proxy in mode iptables go on translating until ours are verified', {
        family,
      });
    } catch (error) {
      if (!(error instanceof PointsmanError)) throw error;
      log.error("Cannot set aside a kube-proxy's rules; new connections may fail during the first sync", {
        family,
        err: errorLine(error),
      });
    }
    return true;
  }

  /** Call it at the end of every sync. Cheap. */
  afterSync(): void {
    if (this.isSetAside) this.loop.afterSync();
  }

  /** Resolves when nothing is left to be done, with '', or at the first thing in its way, with that. */
  settled(): Promise<string> {
    if (this.isOver || this.current.reason !== '') return Promise.resolve(this.current.reason);
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  /** Starts nothing more; resolves when what runs has ended. */
  stop(): Promise<void> {
    return this.loop.stop();
  }

  private async step(): Promise<void> {
    try {
      if (this.hasLooked) await this.verifyAndRemove();
      else await this.look();
    } catch (error) {
      this.pause('failed', errorLine(error));
    }
    const { reason } = this.current;
    if (this.isOver || reason !== '') for (const wake of this.waiters.splice(0)) wake(reason);
  }

  private async look(): Promise<void> {
    const { removals } = await this.withLeftovers(async (port) => planTakeOver(await port.readRules()));
    this.hasLooked = true;
    if (removals.length === 0) return;
    this.current = { state: 'waiting', what: removals.map(describe), reason: '' };
    this.parts.log.info(
      'A kube-proxy of another mode left rules that still translate; they go once ours are verified',
      {
        what: this.current.what.join('; '),
      },
    );
  }

  private async verifyAndRemove(): Promise<void> {
    const { beside, obstacle, rival, timers } = this.parts;
    // Looking for a kube-proxy takes up to half a second: before a comparison and before the removal, not before each slice.
    const why = obstacle() || (this.baseline === null ? await rival() : null) || '';
    if (why !== '') {
      this.baseline = null;
      this.pause('waiting', why);
      return;
    }
    // Where it is left out.
    this.dueMs = timers.now() + RETRY_INITIAL_MS;
    await beside(async () => {
      this.dueMs = 0;
      try {
        if (!(await this.compareSlice())) return;
        const running = await rival();
        if (running === null) await this.remove();
        else this.pause('waiting', running);
      } catch (error) {
        this.pause('failed', errorLine(error));
      }
    });
  }

  /** True when a comparison of the whole table came to its end, began after the first sync, and found nothing wrong. */
  private async compareSlice(): Promise<boolean> {
    const { obstacle, verifier } = this.parts;
    // Others may drive it, too: only a comparison that was seen to begin counts.
    if (verifier.status.slice === 0)
      this.baseline = { cycles: verifier.status.cycles, repairs: verifier.repairs.total };
    const isLast = await verifier.checkSlice();
    if (!isLast || this.baseline === null) return false;
    const { cycles, repairs } = this.baseline;
    this.baseline = null;
    return verifier.status.cycles === cycles + 1 && verifier.repairs.total === repairs && obstacle() === '';
  }

  private async remove(): Promise<void> {
    const { log, onRemoved } = this.parts;
    const { what } = this.current;
    const [plan, { failed, removed }, unread] = await this.withLeftovers(async (port) => {
      // Read anew: somebody may have changed something since.
      const left = await port.readRules();
      const fresh = planTakeOver(left);
      return [fresh, await carryOut(fresh, port), left.unread] as const;
    });
    // What translated may have made flows until now.
    if (removed.length > 0) onRemoved();
    const [first] = failed;
    // An iptables that this kernel does not have cannot be read, either; one that had something must be.
    const hidden = unread.find(({ object }) => what.some((each) => each.startsWith(`${object}:`)));
    if (first !== undefined || hidden !== undefined) {
      const reason =
        first === undefined ? `${hidden?.object} ${hidden?.reason}` : `${first.object}: ${first.error}`;
      this.pause('failed', reason);
      return;
    }
    this.current = { state: 'done', what, reason: '' };
    log.info('Removed the rules of the kube-proxy before us', {
      what: plan.removals.map(describe).join('; '),
    });
  }

  /** Tries again later; told once for each reason. */
  private pause(state: 'waiting' | 'failed', reason: string): void {
    const { log, timers } = this.parts;
    if (reason !== this.current.reason)
      log.warn("A kube-proxy's rules are not removed yet; it is tried again", { state, reason });
    this.current = { ...this.current, state, reason };
    this.dueMs = timers.now() + this.retryMs;
    this.retryMs = state === 'failed' ? Math.min(this.retryMs * 2, RETRY_MAX_MS) : RETRY_INITIAL_MS;
  }

  private async withLeftovers<T>(work: (port: LeftoversPort) => Promise<T>): Promise<T> {
    const port = await this.parts.openLeftovers();
    try {
      return await work(port);
    } finally {
      port.close();
    }
  }
}

function describe(removal: Removal): string {
  if (removal.kind === 'rules')
    return `${toolName(removal)}: ${removal.jumps.length} jumps, ${removal.chains.length} chains`;
  return removal.kind === 'table'
    ? `table ${removal.family === 'IPv4' ? 'ip' : 'ip6'} ${removal.name}`
    : removal.kind;
}
