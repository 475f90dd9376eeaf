// An ApiSource that listens to a fake API server over real sockets, and what it told so far: whether that is what the server has, at the
// end of whatever a test does to both. The clock of both runs faster.

import { isDeepStrictEqual } from 'node:util';
import { ApiSource, type ApiSourceOptions } from '../../src/cluster/api-source.ts';
import type { ApiAccess, CredentialSource } from '../../src/cluster/api-access.ts';
import type { ClusterEvent } from '../../src/model/objects.ts';
import { API_RESOURCES, type ResourceName } from './api-resources.ts';
import { parseSelectors } from './api-selectors.ts';
import { FakeApiServer, type FakeApiOptions } from './fake-api-server.ts';
import { fillStore, makeService } from './make-objects.ts';
import { Random } from './random.ts';
import { ScaledTimers } from './scaled-timers.ts';

export const NODE_NAME = 'node-1';

export interface WorldOptions {
  /** How much faster the clock runs; default 40. */
  readonly factor?: number;
  /** Services at the start, each with one slice. Default 20. */
  readonly count?: number;
  readonly server?: FakeApiOptions;
  readonly source?: Partial<ApiSourceOptions>;
  /** Before the source starts. */
  readonly prepare?: (server: FakeApiServer) => void;
  readonly access?: Partial<ApiAccess>;
}

/** What a service proxy is told of: the selectors of kube-proxy (service-model 1.1). */
export const SELECTIONS: readonly (readonly [ResourceName, labels: string, fields: string])[] = [
  ['services', '!service.kubernetes.io/service-proxy-name', 'spec.clusterIP!=None'],
  ['endpointslices', '!service.kubernetes.io/headless', ''],
  ['nodes', '', `metadata.name=${NODE_NAME}`],
];

const STEADY = [5, 6, 7].flatMap((index) => [
  `Service team-${index}/web-${index}`,
  `EndpointSlice team-${index}/web-${index}-0`,
]);

/** Keys of facts: `Service default/web`. */
type Facts = Map<string, unknown>;

/** What the server has of what is selected; objects without a name are nobody's. */
export function expectedFacts(server: FakeApiServer): Facts {
  const facts: Facts = new Map();
  for (const [name, labels, fields] of SELECTIONS) {
    const resource = API_RESOURCES[name];
    const select = parseSelectors(resource, labels, fields);
    for (const entry of server.store.entries(name)) {
      const object = JSON.parse(entry.json.toString()) as { metadata?: { name?: unknown } } | null;
      if (select(entry) && typeof object?.metadata?.name === 'string')
        facts.set(`${resource.kind} ${entry.key}`, object);
    }
  }
  return facts;
}

/** See above. */
export class ApiWorld {
  readonly server: FakeApiServer;
  readonly source: ApiSource;
  readonly facts: Facts = new Map();
  /** What was told as gone. */
  readonly deleted = new Set<string>();
  readonly access: CredentialSource & { current: ApiAccess; rejected: number };
  /** Of both. */
  readonly timers: ScaledTimers;
  private marks = 0;

  private constructor(server: FakeApiServer, timers: ScaledTimers, options: WorldOptions) {
    this.server = server;
    this.timers = timers;
    this.access = constantAccess(server.url, options.access ?? {});
    const random = new Random(1);
    this.source = new ApiSource({
      credentials: this.access,
      nodeName: NODE_NAME,
      userAgent: 'pointsman/test',
      qps: 50,
      burst: 100,
      onEvents: (events) => this.take(events),
      timers,
      random: () => random.next(),
      ...options.source,
    });
  }

  /** Has the source started, not what it reads. */
  static async start(options: WorldOptions = {}): Promise<ApiWorld> {
    const timers = new ScaledTimers(options.factor ?? 40);
    const server = await FakeApiServer.start({ timers, gzipBytes: 1000, ...options.server });
    fillStore(server.store, { count: options.count ?? 20 });
    options.prepare?.(server);
    const world = new ApiWorld(server, timers, options);
    world.source.start();
    return world;
  }

  /** Resolves when what was told is what the server has. */
  async untilEqual(): Promise<void> {
    const isEqual = (): boolean => {
      const expected = expectedFacts(this.server);
      if (expected.size !== this.facts.size) return false;
      for (const [key, object] of expected) if (!isDeepStrictEqual(this.facts.get(key), object)) return false;
      return true;
    };
    await this.server.until(
      isEqual,
      `what was told to be what there is (${this.source.status.Service.lastError})`,
    );
  }

  /** Changes all that is watched, so that what is told afterwards was learnt afterwards; and again when that is there. */
  async untilFollowing(): Promise<void> {
    for (let round = 0; round < 2; round++) {
      this.mark();
      await this.untilEqual();
    }
  }

  /** A change of each kind, with one object that is new and one that goes. */
  mark(): void {
    const { store } = this.server;
    const mark = ++this.marks;
    store.put('services', makeService(5000 + mark));
    store.delete('services', `team-${(5000 + mark - 1) % 50}/web-${5000 + mark - 1}`);
    store.patch(
      'endpointslices',
      'team-0/web-0-0',
      (slice) => void (slice.endpoints = slice.endpoints.slice(mark % 3)),
    );
    store.patch('nodes', NODE_NAME, (node) => void (node.metadata.labels.mark = String(mark)));
  }

  /** Objects that no test touches, and that were told as gone: should be none. */
  lostSteady(): string[] {
    return STEADY.filter((key) => this.deleted.has(key));
  }

  async close(): Promise<void> {
    await this.source.close();
    await this.server.close();
  }

  private take(events: readonly ClusterEvent[]): void {
    for (const event of events) {
      if (event.type === 'delete') {
        const key = `${event.kind} ${event.namespace === '' ? '' : `${event.namespace}/`}${event.name}`;
        this.facts.delete(key);
        this.deleted.add(key);
        continue;
      }
      const { kind, apiVersion: _apiVersion, ...object } = event.object;
      const { name, namespace } = object.metadata ?? {};
      this.facts.set(`${kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`, object);
    }
  }
}

const opened = new Set<ApiWorld>();

/** As `ApiWorld.start`; `closeWorlds` closes it. */
export async function openWorld(options: WorldOptions = {}): Promise<ApiWorld> {
  const world = await ApiWorld.start(options);
  opened.add(world);
  return world;
}

/** For afterEach. */
export async function closeWorlds(): Promise<void> {
  const all = [...opened];
  opened.clear();
  await Promise.all(all.map((world) => world.close()));
}

/** Credentials that a test may change: `current`. */
function constantAccess(url: string, access: Partial<ApiAccess>): ApiWorld['access'] {
  return {
    description: 'the test',
    rejected: 0,
    current: {
      server: new URL(url),
      proxy: null,
      tls: { ca: null, serverName: null, insecureSkipVerify: false, client: null },
      authorization: null,
      headers: {},
      ...access,
    },
    access() {
      return Promise.resolve(this.current);
    },
    reject() {
      this.rejected++;
    },
  };
}
