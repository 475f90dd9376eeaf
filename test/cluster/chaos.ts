// Faults of all kinds, one after the other, drawn from a seed: for soaks. Each is over by itself, or when the client gives up waiting; a
// server that is left alone afterwards serves as if nothing had been. Timers are injected; `step` can be called instead.

import type { Timers } from '../../src/daemon/sync-loop.ts';
import type { ResourceName } from './api-resources.ts';
import type { WatchStream } from './api-watch.ts';
import type { FakeApiServer } from './fake-api-server.ts';
import type { CutManner, Fault, RequestMatch } from './faults.ts';
import { Random } from './random.ts';

export interface ChaosOptions {
  readonly seed: number;
  /** Time from fault to fault. */
  readonly everyMs: number;
  readonly timers: Timers;
  /** The longest that the server is away, or refuses everybody. Default 2,000. */
  readonly awayMs?: number;
  /** Hears what is done. */
  readonly onFault?: (name: string) => void;
}

type Act = (random: Random) => void | Promise<void>;

const YOUNGER = 1_000_000;
const RESOURCES: readonly ResourceName[] = ['services', 'endpointslices', 'nodes'];
const MANNERS: readonly CutManner[] = ['FIN', 'RST'];

/** See above. */
export class Chaos {
  /** How often each fault was done. */
  readonly done = new Map<string, number>();
  private readonly server: FakeApiServer;
  private readonly options: ChaosOptions;
  private readonly random: Random;
  private readonly acts: readonly (readonly [string, Act])[];
  /** Shuffled: each fault comes once before any comes again. */
  private bag: (readonly [string, Act])[] = [];
  private timer: unknown = null;
  private readonly ends = new Set<() => Promise<void> | void>();
  private running: Promise<void> = Promise.resolve();
  private isStopped = false;

  constructor(server: FakeApiServer, options: ChaosOptions) {
    this.server = server;
    this.options = options;
    this.random = new Random(options.seed);
    this.acts = Object.entries(this.table());
  }

  /** Names of all faults. */
  get names(): string[] {
    return this.acts.map(([name]) => name);
  }

  start(): void {
    this.timer = this.options.timers.set(() => {
      void this.step();
      this.start();
    }, this.options.everyMs);
  }

  /** One fault. One after the other, also when called at once. */
  step(): Promise<void> {
    if (this.bag.length === 0) this.bag = this.shuffled();
    const next = this.bag.pop();
    if (next === undefined || this.isStopped) return Promise.resolve();
    const [name, act] = next;
    this.running = this.act(name, act, this.running);
    return this.running;
  }

  private async act(name: string, act: Act, before: Promise<void>): Promise<void> {
    await before;
    this.done.set(name, (this.done.get(name) ?? 0) + 1);
    this.options.onFault?.(name);
    await act(this.random);
  }

  /** Ends it, and what is going on: the server is there and serves. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.options.timers.clear(this.timer);
    await this.running;
    for (const end of [...this.ends]) await end();
    this.server.behave();
  }

  private shuffled(): (readonly [string, Act])[] {
    const bag = [...this.acts];
    for (let index = bag.length - 1; index > 0; index--) {
      const other = this.random.below(index + 1);
      [bag[index], bag[other]] = [bag[other], bag[index]] as [(typeof bag)[0], (typeof bag)[0]];
    }
    return bag;
  }

  private table(): Readonly<Record<string, Act>> {
    const { server } = this;
    const some = (random: Random, act: (watch: WatchStream) => void): void => {
      const resource = random.below(3) === 0 ? undefined : random.pick(RESOURCES);
      for (const watch of server.watches(resource)) act(watch);
    };
    const next = (fault: Fault, match: RequestMatch = {}): void => {
      server.misbehave(match, fault);
      // Without a request there would be no fault.
      server.cutAll();
    };
    const refuse = (random: Random, codes: readonly number[], retryAfter?: number): void => {
      const body = random.pick(['Status', 'html', 'text', 'empty'] as const);
      const code = random.pick(codes);
      next(
        { kind: 'refuse', code, body, ...(retryAfter === undefined ? {} : { retryAfter }) },
        { times: 1 + random.below(4) },
      );
    };
    return {
      'expired in mid-watch': (random) => some(random, (watch) => watch.error()),
      'history forgotten': () => {
        server.store.compact();
        server.cutAll();
      },
      'expired over HTTP': () => next({ kind: 'expired', as: 'http' }, { times: 2 }),
      'broken down in mid-watch': (random) => some(random, (watch) => watch.breakDown()),
      'watches cut': (random) => some(random, (watch) => watch.cut(random.pick(MANNERS))),
      'watches cut in mid-line': (random) =>
        some(random, (watch) => watch.cutInMidLine(random.pick([...MANNERS, 'clean' as const]))),
      'watches end': (random) => some(random, (watch) => watch.end()),
      'watches half-open': (random) => some(random, (watch) => watch.stall()),
      'everything cut': () => server.cutAll(),
      'cut in the header': (random) =>
        next({ kind: 'cut', manner: random.pick(MANNERS), at: 'headers' }, { times: 2 }),
      'cut in the list': (random) => {
        server.store.compact();
        next(
          { kind: 'cut', manner: random.pick(MANNERS), at: { bytes: random.below(50_000) } },
          { verb: 'list' },
        );
      },
      'list truncated': (random) => {
        server.store.compact();
        next({ kind: 'truncate', at: random.below(50_000) }, { verb: 'list' });
      },
      'no answer': () => next({ kind: 'stall', at: 'request' }),
      'half an answer': (random) => next({ kind: 'stall', at: { bytes: random.below(5000) } }),
      slow: () => next({ kind: 'slow', delayMs: 300, bytes: 16_384, everyMs: 1 }, { times: 3 }),
      'split characters': () => next({ kind: 'split', bytes: 1013 }, { times: 3 }),
      'too many requests': (random) => refuse(random, [429], 1),
      'server errors': (random) => refuse(random, [500, 502, 503, 504]),
      'garbage lines': (random) => some(random, (watch) => watch.raw('<html>proxy error</html>\n{"type":\n')),
      'events twice': () => {
        server.habits.duplicateEvents = !server.habits.duplicateEvents;
      },
      'events again': (random) => some(random, (watch) => watch.replay(20)),
      'bookmarks in disorder': (random) => {
        server.habits.bookmarks = random.pick(['normal', 'none', 'duplicated', 'reordered'] as const);
      },
      'streaming lists change': (random) => {
        server.streamingLists = random.pick(['on', 'refused', 'badRequest', 'ignored'] as const);
        server.store.compact();
        server.cutAll();
      },
      'wrong content type': () => next({ kind: 'contentType', value: 'text/html' }),
      away: (random) =>
        this.during(
          random,
          () => server.goAway(),
          () => server.comeBack(),
        ),
      'connections torn': (random) => this.unwelcome(random, 'RST'),
      'connections not answered': (random) => this.unwelcome(random, 'stall'),
      'restored from a backup': (random) => {
        const snapshot = server.snapshot();
        // What is younger than the backup goes far, as it does in the hours that one is old; and nobody can tell a watch that begins at a
        // version that the server has had twice.
        const begin = (): void => {
          server.store.skipVersions(YOUNGER);
          for (let count = 0; count < 20; count++) this.touch(random);
        };
        return this.during(random, begin, () => server.restore(snapshot));
      },
    };
  }

  /** A change that a backup does not know. */
  private touch(random: Random): void {
    const entries = this.server.store.entries('services');
    if (entries.length > 0) this.server.store.delete('services', random.pick(entries).key);
  }

  private unwelcome(random: Random, welcome: 'RST' | 'stall'): void {
    const begin = (): void => {
      this.server.welcome = welcome;
      this.server.cutAll();
    };
    const end = (): void => {
      this.server.welcome = 'serve';
      // Those that were not answered would never be.
      this.server.cutAll();
    };
    void this.during(random, begin, end);
  }

  private async during(
    random: Random,
    begin: () => Promise<void> | void,
    end: () => Promise<void> | void,
  ): Promise<void> {
    const { timers, awayMs = 2000 } = this.options;
    let timer: unknown = null;
    const finish = async (): Promise<void> => {
      timers.clear(timer);
      if (this.ends.delete(finish)) await end();
    };
    this.ends.add(finish);
    await begin();
    timer = timers.set(() => void finish(), 1 + random.below(awayMs));
  }
}
