// Follows the configuration file: a changed one takes effect without a restart; one that cannot be used is reported, and the running one
// stays.

import type { Config } from '../config/config.ts';
import type { GivenFlags } from '../config/given-flags.ts';
import { watchConfig, type ConfigChange, type LoadedConfig } from '../config/load.ts';
import { restartNeeded } from '../config/restart.ts';
import { errorLine, PointsmanError } from '../model/errors.ts';
import type { Log } from './log.ts';

export interface ConfigFollowerOptions {
  readonly log: Log;
  /** Of the command line: what they say stays in force whatever the file says. */
  readonly flags?: GivenFlags | undefined;
  /** Rejects with what this machine lacks for it. */
  readonly check: (config: Config) => Promise<void>;
  /** Makes it the running one. */
  readonly onConfig: (loaded: LoadedConfig) => void;
  /** Hears why a changed file is not taken; it is logged already. */
  readonly onRefused?: (error: PointsmanError) => void;
}

export class ConfigFollower {
  private readonly options: ConfigFollowerOptions;
  private watcher: { close(): Promise<void> } | null = null;
  private running: Config | null = null;
  private turn = 0;

  constructor(options: ConfigFollowerOptions) {
    this.options = options;
  }

  /** `running`: what the caller runs on, with the text that it was read from; default: what the file holds now. */
  follow(path: string, running?: Pick<LoadedConfig, 'config' | 'text'>): void {
    this.running = running?.config ?? null;
    this.watcher = watchConfig(path, (change) => void this.take(change), {
      ...{ since: running?.text, flags: this.options.flags },
      onUnsettled: (error) =>
        this.options.log.verbose(
          2,
          'The configuration file cannot be used as it is now; waiting whether it stays',
          {
            err: error.message,
          },
        ),
    });
  }

  close(): void {
    void this.watcher?.close();
    // What is being checked is not taken any more.
    this.turn++;
  }

  private async take(change: ConfigChange): Promise<void> {
    const { log, check, onConfig } = this.options;
    const turn = ++this.turn;
    if ('error' in change) return this.refuse('is not valid', change.error);
    try {
      await check(change.config);
    } catch (error) {
      // Another one may have come while this one was checked.
      if (turn !== this.turn) return;
      return this.refuse(
        'cannot be used',
        error instanceof PointsmanError ? error : new PointsmanError('INVALID_CONFIG', errorLine(error)),
      );
    }
    if (turn !== this.turn) return;
    for (const warning of change.warnings) log.warn(warning);
    const waiting = this.running === null ? [] : restartNeeded(this.running, change.config);
    if (waiting.length > 0)
      log.warn('Some of the changed settings take effect when the agent starts again', {
        fields: waiting.join(', '),
      });
    // What waits for a restart goes on waiting after the next change.
    this.running ??= change.config;
    onConfig(change);
    log.info('Configuration changed', { scheduler: change.config.ipvs.scheduler });
  }

  private refuse(why: string, error: PointsmanError): void {
    const { mistakes } = error.context;
    const more = Array.isArray(mistakes) && mistakes.length > 1 ? { mistakes: mistakes.join('\n') } : {};
    this.options.log.error(`The changed configuration ${why}; the running one stays`, {
      err: error.message,
      ...more,
    });
    this.options.onRefused?.(error);
  }
}
