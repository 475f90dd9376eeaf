// What every source of credentials has in common: callers share one look, the same object is given as long as nothing changed, and what
// worked is given on while something newer cannot be had, unless it has expired or was rejected. Knows nothing of files and programs.

import { PointsmanError } from '../model/errors.ts';
import type { ApiAccess, CredentialSource } from './api-access.ts';
import type { CredentialClock } from './token-file.ts';

/** One look at everything. */
export interface MadeAccess {
  readonly access: ApiAccess;
  /** Since 1970; Infinity: not known. Milliseconds. */
  readonly expiresAtMs: number;
  /** Why a part of it is older than it should be; null: no part is. */
  readonly kept: PointsmanError | null;
}

/** Looks at files and runs programs; see in-cluster.ts and kubeconfig.ts. */
export interface AccessMaker {
  readonly description: string;
  /** Not called twice at once. Rejects with PointsmanError, or with the reason of `signal`. */
  make(signal: AbortSignal): Promise<MadeAccess>;
  /** The next `make` reads everything anew. */
  renew(): void;
}

/** Whom a source tells, and its clock. */
export interface SourceOptions {
  readonly clock: CredentialClock;
  /**
   * Told when credentials that worked are used on because what replaces them cannot be used, once for each text; null: all is well again.
   */
  readonly onKept?: (problem: PointsmanError | null) => void;
}

interface Run {
  readonly promise: Promise<ApiAccess>;
  readonly controller: AbortController;
  waiting: number;
}

/** A CredentialSource out of a maker. */
export class RenewedSource implements CredentialSource {
  private readonly maker: AccessMaker;
  private readonly options: SourceOptions;
  private last: { readonly made: MadeAccess; readonly print: string } | null = null;
  private isRejected = false;
  /** Something was rejected since the run that goes on began. */
  private isRunStale = false;
  private run: Run | null = null;
  private told = '';

  constructor(maker: AccessMaker, options: SourceOptions) {
    this.maker = maker;
    this.options = options;
  }

  get description(): string {
    return this.maker.description;
  }

  async access(signal: AbortSignal): Promise<ApiAccess> {
    signal.throwIfAborted();
    while (this.run !== null && (this.isRunStale || this.run.controller.signal.aborted))
      await orAborted(this.run.promise.then(ignore, ignore), signal);
    this.run ??= this.start();
    const { run } = this;
    run.waiting++;
    try {
      return await orAborted(run.promise, signal);
    } finally {
      run.waiting--;
      // A program that nobody waits for any more must not run on.
      if (run.waiting === 0) run.controller.abort();
    }
  }

  reject(access: ApiAccess): void {
    // Several requests may have been under way with it; whoever comes late must not throw away what is newer.
    if (access !== this.last?.made.access) return;
    this.isRejected = true;
    this.isRunStale = this.run !== null;
    this.maker.renew();
  }

  private start(): Run {
    const controller = new AbortController();
    this.isRunStale = false;
    const promise = this.look(controller.signal).finally(() => (this.run = null));
    // Everybody who waited may have been aborted.
    promise.catch(ignore);
    return { promise, controller, waiting: 0 };
  }

  private async look(signal: AbortSignal): Promise<ApiAccess> {
    const wasRejected = this.isRejected;
    try {
      const made = await this.maker.make(signal);
      const print = JSON.stringify(made.access);
      const isSame = print === this.last?.print;
      // The server wants another one, and a part of this one could not be renewed: that is what must be mended.
      if (isSame && wasRejected && made.kept !== null) throw made.kept;
      this.last = {
        made: isSame && this.last !== null ? { ...made, access: this.last.made.access } : made,
        print,
      };
      this.isRejected &&= this.isRunStale;
      this.tell(made.kept);
      return this.last.made.access;
    } catch (error) {
      signal.throwIfAborted();
      // Told once; then what worked before is tried again, since a server may refuse for other reasons.
      this.isRejected &&= this.isRunStale;
      if (this.last === null || wasRejected || this.options.clock.dateMs() >= this.last.made.expiresAtMs)
        throw error;
      if (!(error instanceof PointsmanError)) throw error;
      this.tell(error);
      return this.last.made.access;
    }
  }

  private tell(problem: PointsmanError | null): void {
    const text = problem?.message ?? '';
    if (text === this.told) return;
    this.told = text;
    this.options.onKept?.(problem);
  }
}

/** The promise, or the reason of the signal if that comes first. */
async function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const abort = (): void => aborted.reject(signal.reason);
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { once: true });
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener('abort', abort);
  }
}

function ignore(): void {
  // On purpose.
}
