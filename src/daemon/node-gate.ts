// Holds the first sync until this node is known well enough (see `awaits`). Opens once and stays open. What is programmed stays meanwhile.

import type { Log } from './log.ts';

export class NodeGate {
  /** Resolves when nothing is awaited any more. */
  readonly opened: Promise<void>;
  private readonly open: () => void;
  private readonly log: Log;
  private isOpen = false;
  private text = '';

  constructor(log: Log) {
    this.log = log;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.opened = promise;
    this.open = resolve;
  }

  /** What is awaited at present, '' for nothing: for status, and for the reason why `--once` did nothing. */
  get awaited(): string {
    return this.text;
  }

  /** Takes what `awaits` says now; each new answer is logged once. Nothing after the gate is open. */
  update(awaited: string): void {
    if (this.isOpen) return;
    if (awaited !== '' && awaited !== this.text)
      this.log.warn('Nothing is programmed before this node is known; what is in the kernel stays', {
        awaited,
      });
    this.text = awaited;
    if (awaited !== '') return;
    this.isOpen = true;
    this.open();
  }
}
