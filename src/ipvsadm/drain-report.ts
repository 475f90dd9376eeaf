// What `drain` says while it works: lines of text, on a terminal with one line at the end that is rewritten, or JSON objects. Everything
// written is numbers and addresses, never text of the kernel's. It decides nothing but the exit code.

import { remainingOf, type DrainTarget, type DrainOutcome } from './drain-target.ts';
import type { IpvsadmIo } from './io.ts';
import { formatJsonLine, roundForJson } from './json.ts';
import { EXIT } from './refusal.ts';

const CLEAR = '\r\x1b[K';

export class DrainReport {
  private readonly io: IpvsadmIo;
  private readonly isJson: boolean;
  private readonly undoLine: string;
  private lastProgress = '';
  private hasLine = false;

  /** `undoLine` is the command that gives the servers their weights back. */
  constructor(io: IpvsadmIo, isJson: boolean, undoLine: string) {
    this.io = io;
    this.isJson = isJson;
    this.undoLine = undoLine;
  }

  /** The weight was set to 0, or was already. */
  weight(target: DrainTarget): void {
    const { weight } = target;
    this.say(target, weight === 0 ? 'weight is 0 already' : `weight ${weight} -> 0`, {
      event: 'weight',
      before: weight,
      weight: 0,
    });
  }

  /** It has ended for this server. */
  outcome(target: DrainTarget): void {
    const { outcome, counts, newWeight, reason } = target;
    if (outcome === null) return;
    const more =
      outcome === 'weightChanged' ? { weight: newWeight } : outcome === 'unreadable' ? { reason } : {};
    this.say(target, outcomeText(target, outcome), { event: outcome, ...connections(counts), ...more });
  }

  /** Where the wait stands. `leftSeconds` null = no deadline. */
  progress(targets: readonly DrainTarget[], seconds: number, leftSeconds: number | null): void {
    const pending = targets.filter(({ outcome }) => outcome === null);
    if (pending.length === 0) return;
    const counts = sumCounts(pending);
    const [only] = targets;
    const who =
      targets.length === 1 && only !== undefined
        ? nameOf(only)
        : `${targets.length - pending.length} of ${targets.length} servers drained`;
    const text = `${who}: ${countsText(counts)} left`;
    const isChange = text !== this.lastProgress;
    this.lastProgress = text;
    if (this.isJson) {
      if (isChange)
        this.io.out(
          formatJsonLine({
            event: 'waiting',
            seconds: roundForJson(seconds),
            servers: pending.length,
            ...connections(counts),
            deadlineSeconds: leftSeconds === null ? null : roundForJson(leftSeconds),
          }),
        );
      return;
    }
    const terminal = this.io.terminal();
    if (terminal === null) {
      if (isChange) this.io.out(`${text}\n`);
      return;
    }
    const time =
      leftSeconds === null ? `after ${spell(seconds)}` : `${spell(leftSeconds)} until the deadline`;
    this.io.out(`${CLEAR}${`${text}; ${time}`.slice(0, Math.max(terminal.columns - 1, 0))}`);
    this.hasLine = true;
  }

  /** Takes the rewritten line away. */
  clear(): void {
    if (this.hasLine) this.io.out(CLEAR);
    this.hasLine = false;
  }

  /** The last word; gives the exit code. */
  end(targets: readonly DrainTarget[], waits: boolean): number {
    this.clear();
    const isGood = targets.every(({ outcome }) =>
      waits ? outcome === 'drained' || outcome === 'removed' : outcome === null,
    );
    const exitCode = isGood ? EXIT.GOOD : EXIT.FAILED_LIST;
    const canUndo = targets.some(
      ({ outcome }) =>
        outcome !== 'removed' &&
        outcome !== 'deleted' &&
        outcome !== 'weightChanged' &&
        outcome !== 'refused',
    );
    if (this.isJson) this.io.out(formatJsonLine({ event: 'end', exitCode }));
    else if (canUndo) this.io.out(`to undo: ${this.undoLine}\n`);
    return exitCode;
  }

  private say(target: DrainTarget, text: string, event: Record<string, unknown>): void {
    this.clear();
    const { event: name, ...rest } = event;
    this.io.out(
      this.isJson ? formatJsonLine({ event: name, ...target.id, ...rest }) : `${nameOf(target)}: ${text}\n`,
    );
  }
}

function outcomeText(target: DrainTarget, outcome: DrainOutcome): string {
  const left = `${countsText(target.counts)} left`;
  switch (outcome) {
    case 'drained':
      return 'drained';
    case 'removed':
      return 'removed';
    case 'refused':
      return 'the kernel refused';
    case 'weightChanged':
      return `somebody else has set weight ${target.newWeight}: no longer drained, ${left}`;
    case 'deleted':
      return `somebody else has deleted it; when last seen ${left}`;
    case 'deadline':
      return `the deadline has passed with ${countOf(remainingOf(target))} to wait for (${left}); weight 0 stays`;
    case 'interrupted':
      return `interrupted, ${left}; weight 0 stays`;
    case 'unreadable':
      return `the table cannot be read (${target.reason}); weight 0 stays`;
  }
}

function nameOf({ id }: DrainTarget): string {
  return `${id.service} -> ${id.server}`;
}

type Counts = DrainTarget['counts'];

function sumCounts(targets: readonly DrainTarget[]): Counts {
  const sums = { active: 0, inactive: 0, persistent: 0 };
  for (const { counts } of targets) {
    sums.active += counts.active;
    sums.inactive += counts.inactive;
    sums.persistent += counts.persistent;
  }
  return sums;
}

function countsText({ active, inactive, persistent }: Counts): string {
  return `${active} active, ${inactive} inactive, ${persistent} persistent`;
}

function connections({ active, inactive, persistent }: Counts): Record<string, number> {
  return { activeConnections: active, inactiveConnections: inactive, persistentConnections: persistent };
}

/** "1h02m", "14m05s" or "7s". */
function spell(seconds: number): string {
  const whole = Math.max(0, Math.ceil(seconds));
  const two = (value: number): string => String(value).padStart(2, '0');
  if (whole >= 3600) return `${Math.floor(whole / 3600)}h${two(Math.floor(whole / 60) % 60)}m`;
  return whole >= 60 ? `${Math.floor(whole / 60)}m${two(whole % 60)}s` : `${whole}s`;
}

function countOf(connections: number): string {
  return connections === 1 ? '1 connection' : `${connections} connections`;
}
