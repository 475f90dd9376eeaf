// The facts of a running agent: its source, whichever it is, the recording of what it tells, and how both fare, for status and log.

import { ApiFacts } from '../cluster/api-facts.ts';
import type { ApiObserver } from '../cluster/api-observer.ts';
import type { ApiSourceStatus } from '../cluster/api-source.ts';
import type { CredentialSource } from '../cluster/api-access.ts';
import type { FactListener, FactSource } from '../cluster/fact-source.ts';
import { ManifestSource } from '../cluster/manifests.ts';
import { Recorder, type RecordingStatus } from '../cluster/recording.ts';
import { ReplaySource } from '../cluster/replay.ts';
import type { Config } from '../config/config.ts';
import { VERSION } from '../files/version.ts';
import type { ChosenSource } from './facts-origin.ts';
import type { Log } from './log.ts';
import type { Timers } from './sync-loop.ts';

/** Where facts come from, and how that goes: part of `pointsman status -o json`; keys are added to, never renamed. */
export interface FactsStatus {
  /** 'manifests /etc/x', 'recording /tmp/x', 'kubeconfig /etc/kubernetes/x', ... */
  readonly from: string;
  /** Everything was told once; nothing is written to the kernel before. */
  readonly isComplete: boolean;
  /** Why they cannot be followed at present, in one line; '' when all is well. What was told before holds. */
  readonly trouble: string;
  /** Null unless they come from an API server. */
  readonly kinds: ApiSourceStatus | null;
  readonly recording: RecordingStatus | null;
}

export interface FactsOptions {
  readonly source: ChosenSource;
  readonly config: Config;
  readonly nodeName: string;
  /** Where they are recorded; undefined: nowhere. */
  readonly record: string | undefined;
  readonly log: Log;
  readonly timers: Timers;
  readonly onFacts: FactListener;
  /** Hears of each request to an API server. */
  readonly apiObserver?: ApiObserver;
}

/** See above. */
export class Facts {
  private readonly options: FactsOptions;
  private readonly source: FactSource;
  /** The source, when it is an API server. */
  private readonly api: ApiFacts | null;
  private recorder: Recorder | null = null;
  private isComplete = false;

  constructor(options: FactsOptions) {
    this.options = options;
    const { source } = options;
    if (source.kind === 'api') {
      this.api = this.openApi(source.credentials);
      this.source = this.api;
    } else {
      this.api = null;
      this.source = this.openFile(source);
    }
  }

  /** True where the first complete snapshot may take as long as a server is away. */
  get isFromServer(): boolean {
    return this.api !== null;
  }

  /** Begins the recording, if there is to be one. Throws USAGE when it cannot. */
  async open(): Promise<void> {
    const { record, nodeName, timers, log } = this.options;
    if (record === undefined) return;
    this.recorder = await Recorder.open(record, {
      ...{ pointsmanVersion: VERSION, nodeName, timers },
      onStopped: (reason) => log.warn(reason),
    });
  }

  /** The first complete snapshot; see FactSource.readAll. All of it was told to `onFacts` when this resolves. */
  async readAll(): Promise<void> {
    const { events, problems, warnings } = await this.source.readAll();
    if (events.length + problems.length + warnings.length > 0) this.tell(events, problems, warnings);
    this.recorder?.complete();
    this.isComplete = true;
  }

  watch(): void {
    this.source.watch();
  }

  /** Ends source and recording. */
  async close(): Promise<void> {
    await this.source.close();
    await this.recorder?.close();
  }

  get status(): FactsStatus {
    return {
      from: this.description,
      isComplete: this.isComplete,
      trouble: this.api?.currentTrouble ?? '',
      kinds: this.api?.status ?? null,
      recording: this.recorder?.status ?? null,
    };
  }

  /** That of credentials may change: the context is known once the kubeconfig was read. */
  private get description(): string {
    const { source } = this.options;
    switch (source.kind) {
      case 'manifests':
        return `manifests ${source.folder}`;
      case 'replay':
        return `recording ${source.path}`;
      case 'api':
        return source.credentials.description;
    }
  }

  private openFile(source: Exclude<ChosenSource, { kind: 'api' }>): FactSource {
    const { log, timers } = this.options;
    if (source.kind === 'manifests')
      return new ManifestSource(source.folder, { onEvents: (...facts) => this.tell(...facts) });
    return new ReplaySource(source.path, {
      ...{ timers, speed: source.speed, firstSnapshot: 'listener' },
      onEvents: (...facts) => this.tell(...facts),
      onEnd: ({ how, message }) => (how === 'invalid' ? log.error(message) : log.info(message)),
    });
  }

  private openApi(credentials: CredentialSource): ApiFacts {
    const { config, nodeName, log, timers, apiObserver } = this.options;
    const { qps, burst } = config.clientConnection;
    return new ApiFacts({
      ...{ credentials, nodeName, qps, burst, timers, userAgent: `pointsman/${VERSION}` },
      ...(apiObserver === undefined ? {} : { observer: apiObserver }),
      onFacts: (...facts) => this.tell(...facts),
      onTrouble: (trouble) => {
        if (trouble === '') log.info('The API server answers; its objects are followed');
        else
          log.warn('Cannot follow the API server; what is known stays in force, and it is tried again', {
            err: trouble,
          });
      },
      onSkipped: (problem) => log.warn(problem),
    });
  }

  private tell(...facts: Parameters<FactListener>): void {
    this.recorder?.note(facts[0]);
    this.options.onFacts(...facts);
  }
}
