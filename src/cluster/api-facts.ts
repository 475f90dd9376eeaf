// An API server as a source of facts for the agent: ApiSource in the shape that every source has, with what there is to log of it.

import { ApiSource, type ApiSourceOptions, type ApiSourceStatus } from './api-source.ts';
import type { FactListener, FactReport, FactSource } from './fact-source.ts';

/** How it reads, and whom it tells. */
export interface ApiFactsOptions extends Omit<ApiSourceOptions, 'onEvents' | 'onState'> {
  readonly onFacts: FactListener;
  /** Hears, once for each new text, why a kind of object cannot be read; '' when all can be read again. What was told before holds. */
  readonly onTrouble?: (trouble: string) => void;
}

/** See above. */
export class ApiFacts implements FactSource {
  private readonly source: ApiSource;
  private readonly onTrouble: (trouble: string) => void;
  private trouble = '';

  constructor(options: ApiFactsOptions) {
    const { onFacts, onTrouble, ...rest } = options;
    this.onTrouble = onTrouble ?? (() => {});
    this.source = new ApiSource({
      ...rest,
      onEvents: (events, more) => onFacts(events, [], [], more),
      onState: () => this.noteState(),
    });
  }

  get status(): ApiSourceStatus {
    return this.source.status;
  }

  /** Why a kind of object cannot be read at present, in one line; '' when all can. */
  get currentTrouble(): string {
    const errors = Object.entries(this.source.status).flatMap(([kind, { lastError }]) =>
      lastError === '' ? [] : [{ kind, lastError }],
    );
    const [first] = errors;
    if (first === undefined) return '';
    const isSame = errors.every(({ lastError }) => lastError === first.lastError);
    return isSame ? first.lastError : errors.map(({ kind, lastError }) => `${kind}: ${lastError}`).join('; ');
  }

  /** Tells everything to the listener, then resolves with an empty report. Waits for a server that is away as long as it takes. */
  async readAll(): Promise<FactReport> {
    this.source.start();
    await this.source.complete();
    return { events: [], problems: [], warnings: [] };
  }

  /** Nothing to begin: it follows from the first list on. */
  watch(): void {}

  async close(): Promise<void> {
    await this.source.close();
  }

  private noteState(): void {
    const trouble = this.currentTrouble;
    if (trouble === this.trouble) return;
    this.trouble = trouble;
    this.onTrouble(trouble);
  }
}
