// Follows the configuration file: a changed one takes effect without a restart; one that cannot be used is reported, and the running one
// stays.

import type { Config } from '../config/config.ts';
import { watchConfig } from '../config/load.ts';
import { errorLine, type PointsmanError } from '../model/errors.ts';
import type { Log } from './log.ts';

type Loaded = { readonly config: Config; readonly warnings: readonly string[] };

export interface ConfigFollowerOptions {
  readonly log: Log;
  /** Rejects with what this machine lacks for it. */
  readonly check: (config: Config) => Promise<void>;
  /** Makes it the running one. */
  readonly onConfig: (config: Config) => void;
}

export class ConfigFollower {
  private readonly options: ConfigFollowerOptions;
  private watcher: { close(): void } | null = null;
  private turn = 0;

  constructor(options: ConfigFollowerOptions) {
    this.options = options;
  }

  follow(path: string): void {
    this.watcher = watchConfig(path, (result) => void this.take(result));
  }

  close(): void {
    this.watcher?.close();
    // What is being checked is not taken any more.
    this.turn++;
  }

  private async take(result: Loaded | { readonly error: PointsmanError }): Promise<void> {
    const { log, check, onConfig } = this.options;
    const turn = ++this.turn;
    if ('error' in result) {
      log.error('The changed configuration is not valid; the running one stays', {
        err: result.error.message,
      });
      return;
    }
    try {
      await check(result.config);
    } catch (error) {
      log.error('The changed configuration cannot be used; the running one stays', {
        err: errorLine(error),
      });
      return;
    }
    // Another one may have come while this one was checked.
    if (turn !== this.turn) return;
    for (const warning of result.warnings) log.warn(warning);
    onConfig(result.config);
    log.info('Configuration changed', { scheduler: result.config.ipvs.scheduler });
  }
}
