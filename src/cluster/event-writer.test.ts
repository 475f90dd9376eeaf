// Events on their way: to a real HTTP server that misbehaves, and, where minutes count, through a transport that answers as it is told on
// time that stands still.

import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeCertificates, probeOpenssl, serverTls } from '../../test/cluster/certificates.ts';
import { FakeApiServer } from '../../test/cluster/fake-api-server.ts';
import type { Fault } from '../../test/cluster/faults.ts';
import { ScaledTimers } from '../../test/cluster/scaled-timers.ts';
import { FakeTimers, settled } from '../../test/fake-timers.ts';
import { PointsmanError } from '../model/errors.ts';
import type { ApiAccess } from './api-access.ts';
import { ApiClient } from './api-client.ts';
import { ApiStatusError } from './api-client-status.ts';
import type { ApiAnswer, ApiRequest, ApiTransport } from './api-client-transport.ts';
import type { ApiEvent } from './api-event.ts';
import type { ApiTimers } from './api-timers.ts';
import { EventWriter } from './event-writer.ts';

function eventOf(name: string, changed: Partial<ApiEvent> = {}): ApiEvent {
  return {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name: `${name}.18e9f7c5b1b0d94c`, namespace: 'default' },
    eventTime: '2026-11-21T05:19:14.945507Z',
    reportingController: 'kube-proxy',
    reportingInstance: 'kube-proxy-node1',
    action: 'StartKubeProxy',
    reason: 'Starting',
    regarding: { kind: 'Node', name, apiVersion: 'v1' },
    type: 'Normal',
    ...changed,
  };
}

/** A writer that sends to a real server by a real client, and what became of its requests. */
class Sender {
  readonly server: FakeApiServer;
  readonly problems: string[] = [];
  /** Requests that failed; a slow machine may add some, for the client's patience is short here. */
  failures = 0;
  /** Those that the server refused. */
  refusals = 0;
  readonly client: ApiClient;
  readonly writer: EventWriter;

  constructor(server: FakeApiServer, timers: ApiTimers, access: Partial<ApiAccess> = {}) {
    this.server = server;
    const whole = {
      server: new URL(server.url),
      proxy: null,
      tls: { ca: null, serverName: null, insecureSkipVerify: false, client: null },
      authorization: null,
      headers: {},
      ...access,
    };
    const credentials = { description: 'a test', access: () => Promise.resolve(whole), reject: () => {} };
    this.client = new ApiClient({ credentials, userAgent: 'pointsman/test', timers });
    this.writer = new EventWriter({
      timers,
      transport: { open: (request, signal) => this.open(request, signal) },
      onProblem: (line) => this.problems.push(line),
      random: () => 0,
    });
  }

  /** Objects that the server has events of. */
  get names(): string[] {
    return this.server.store.entries('events').map(({ name }) => name.split('.')[0] ?? '');
  }

  async close(): Promise<void> {
    await this.writer.close();
    this.client.close();
    await this.server.close();
  }

  private async open(request: ApiRequest, signal: AbortSignal): Promise<ApiAnswer> {
    try {
      return await this.client.open(request, signal);
    } catch (error) {
      this.failures++;
      if (error instanceof ApiStatusError) this.refusals++;
      throw error;
    }
  }
}

describe('to a server', () => {
  let sender: Sender;
  let server: FakeApiServer;
  let writer: EventWriter;
  beforeEach(async () => {
    const timers = new ScaledTimers(40);
    server = await FakeApiServer.start({ timers });
    sender = new Sender(server, timers);
    ({ writer } = sender);
  });
  afterEach(() => sender.close());

  it('they come whole, and each once', async () => {
    const one = eventOf('one', { note: 'what is said' });
    writer.write(one);
    writer.write(one);
    for (const name of ['two', 'three', 'four', 'five']) writer.write(eventOf(name));
    await server.until(() => writer.counts.written === 5);
    const { apiVersion: _apiVersion, kind: _kind, ...rest } = one;
    expect(server.store.objectsOf('events').get('default/one.18e9f7c5b1b0d94c')).toMatchObject(rest);
    expect(sender.names).toEqual(['five', 'four', 'one', 'three', 'two']);
    expect(writer.counts).toEqual({ written: 5, dropped: 0, failed: 0, repeated: 1, waiting: 0 });
    expect(new Set(server.log.requests.map(({ method, path }) => `${method} ${path}`))).toEqual(
      new Set(['POST /apis/events.k8s.io/v1/namespaces/default/events']),
    );
    // Answers are read to their end, so that one connection does for many.
    expect(server.acceptedConnections).toBeLessThan(5);
    expect(sender.problems).toEqual([]);
  });

  it.each([
    ['429', { kind: 'refuse', code: 429, retryAfter: 1 }],
    ['503 of something in between', { kind: 'refuse', code: 503, body: 'html' }],
    ['401', { kind: 'refuse', code: 401 }],
    ['a cut', { kind: 'cut', manner: 'RST', at: 'request' }],
    ['no answer', { kind: 'stall', at: 'request' }],
    ['a page of HTML', { kind: 'body', body: '<html>', contentType: 'text/html' }],
  ] as const)('that are met by %s are tried again', async (_what, fault) => {
    const rule = server.misbehave({ resource: 'events', times: 2 }, fault);
    writer.write(eventOf('one'));
    await server.until(() => writer.counts.written === 1);
    expect(sender.names).toEqual(['one']);
    expect(rule.hits).toBe(2);
    expect(sender.problems).toEqual([]);
  });

  it.each<[string, Fault]>([
    ['is torn', { kind: 'cut', manner: 'RST', at: { bytes: 10 } }],
    ['stalls', { kind: 'stall', at: { bytes: 10 } }],
    ['has no end', { kind: 'endless', first: '{', again: ' ', bytes: 1 << 24 }],
  ])('whose answer %s after its head were written', async (_what, fault) => {
    server.misbehave({ resource: 'events' }, fault);
    writer.write(eventOf('one'));
    writer.write(eventOf('two'));
    await server.until(() => writer.counts.written === 2);
    expect(sender.names).toContain('two');
  });

  it('whose answer is lost whole are found to be there', async () => {
    server.store.put('events', eventOf('one') as never);
    server.misbehave({ resource: 'events' }, { kind: 'cut', manner: 'RST', at: 'headers' });
    writer.write(eventOf('one'));
    await server.until(() => writer.counts.written === 1);
    expect(sender.refusals).toBe(1);
    expect(writer.counts.failed).toBe(0);
  });

  it('that is away come when it is back', async () => {
    await server.goAway();
    writer.write(eventOf('one'));
    writer.write(eventOf('two'));
    await server.until(() => sender.failures >= 2);
    expect(writer.counts).toMatchObject({ written: 0, failed: 0, waiting: 2 });
    await server.comeBack();
    await server.until(() => writer.counts.written === 2);
    expect(sender.names).toEqual(['one', 'two']);
  });

  it.each([
    [403, /403 Forbidden: events\.events\.k8s\.io is forbidden.*system:node-proxier/],
    [404, /404/],
  ] as const)(
    'that gives no right to them, or has no such API (%i), are dropped: said once',
    async (code, said) => {
      server.denied.set('events', code);
      writer.write(eventOf('one'));
      writer.write(eventOf('two'));
      await server.until(() => writer.counts.failed === 2);
      expect(sender.refusals).toBe(2);
      expect(sender.problems).toEqual([expect.stringMatching(said)]);
      server.denied.clear();
      writer.write(eventOf('three'));
      await server.until(() => writer.counts.written === 1);
      server.denied.set('events', code);
      writer.write(eventOf('four'));
      await server.until(() => writer.counts.failed === 3);
      expect(sender.problems).toHaveLength(2);
      expect(sender.names).toEqual(['three']);
    },
  );

  it('that are not valid are not tried twice', async () => {
    writer.write(eventOf('one', { note: 'x'.repeat(1025) }));
    await server.until(() => writer.counts.failed === 1);
    expect(sender.refusals).toBe(1);
    expect(sender.problems).toEqual([expect.stringContaining('422 Invalid')]);
  });

  it('that does not answer does not hold up its end', async () => {
    server.misbehave({ resource: 'events', times: 100 }, { kind: 'stall', at: 'request' });
    writer.write(eventOf('one'));
    writer.write(eventOf('two'));
    await server.until(() => server.count('other', 'events') >= 1);
    await writer.close();
    expect(writer.counts).toMatchObject({ written: 0, dropped: 2, waiting: 0 });
  });
});

describe('to a server, by a writer that closes at once', () => {
  it('they are written, where it answers', async () => {
    // Time stands still: the second that closing may take does not end.
    const sender = new Sender(await FakeApiServer.start(), new FakeTimers());
    sender.writer.write(eventOf('one'));
    sender.writer.write(eventOf('two'));
    await sender.writer.close();
    expect(sender.names).toEqual(['one', 'two']);
    sender.writer.write(eventOf('three'));
    expect(sender.writer.counts).toMatchObject({ written: 2, dropped: 1, waiting: 0 });
    await sender.close();
  });

  it.skipIf(probeOpenssl() !== null)('over TLS, with a token', async () => {
    const certificates = makeCertificates();
    const server = await FakeApiServer.start({ tls: serverTls(certificates), tokens: ['right'] });
    const tls = { ca: certificates.ca, serverName: null, insecureSkipVerify: false, client: null };
    const sender = new Sender(server, new FakeTimers(), { tls, authorization: 'Bearer right' });
    sender.writer.write(eventOf('one'));
    await sender.writer.close();
    expect(sender.names).toEqual(['one']);
    await sender.close();
    certificates.remove();
  });
});

/** Answers each request with what `next` says: nothing, or what it is refused with. */
class ToldTransport implements ApiTransport {
  readonly atMs: number[] = [];
  readonly names: string[] = [];
  next: (tries: number) => Error | null | 'never' = () => null;
  private readonly timers: FakeTimers;

  constructor(timers: FakeTimers) {
    this.timers = timers;
  }

  async open({ body }: ApiRequest, signal: AbortSignal): Promise<ApiAnswer> {
    this.atMs.push(this.timers.now());
    this.names.push((body as ApiEvent).regarding.name);
    const said = this.next(this.atMs.length);
    if (said === 'never')
      return new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      });
    if (said !== null) throw said;
    return (async function* () {
      yield Buffer.from('{}');
    })();
  }
}

describe('in time', () => {
  const AWAY = new PointsmanError('API_UNREACHABLE', 'nobody is there');
  const many = (count: number, from = 0): ApiEvent[] =>
    Array.from({ length: count }, (_, index) => eventOf(`n${from + index}`));
  const open = (): {
    timers: FakeTimers;
    transport: ToldTransport;
    writer: EventWriter;
    problems: string[];
  } => {
    const timers = new FakeTimers();
    const transport = new ToldTransport(timers);
    const problems: string[] = [];
    const writer = new EventWriter({
      transport,
      timers,
      onProblem: (line) => problems.push(line),
      random: () => 0,
    });
    return { timers, transport, writer, problems };
  };

  it('a burst goes at once, then one each five seconds', async () => {
    const { timers, transport, writer } = open();
    for (const event of many(13)) writer.write(event);
    await timers.advance(60_000);
    expect(transport.atMs).toEqual([...Array.from({ length: 10 }, () => 0), 5000, 10_000, 15_000]);
    expect(transport.names).toEqual(many(13).map(({ regarding }) => regarding.name));
  });

  it('a full queue drops the oldest, not the one that is being written', async () => {
    const { timers, transport, writer } = open();
    transport.next = () => 'never';
    writer.write(eventOf('first'));
    await settled();
    for (const event of many(150)) writer.write(event);
    expect(writer.counts).toEqual({ written: 0, dropped: 50, failed: 0, repeated: 0, waiting: 101 });
    transport.next = () => null;
    await timers.advance(3_600_000);
    expect(writer.counts).toMatchObject({ written: 101, waiting: 0 });
    expect([...new Set(transport.names)]).toEqual([
      'first',
      ...many(100, 50).map(({ regarding }) => regarding.name),
    ]);
    expect(timers.delaysMs).toEqual([]);
  });

  it('an outage is met with ever longer pauses, and an Event is given up after ten minutes', async () => {
    const { timers, transport, writer, problems } = open();
    transport.next = () => AWAY;
    writer.write(eventOf('one'));
    await timers.advance(660_000);
    expect(writer.counts).toMatchObject({ failed: 1, waiting: 0 });
    expect(problems).toEqual(['Events were given up after 10 minutes: nobody is there']);
    const gaps = transport.atMs.slice(1).map((atMs, index) => atMs - (transport.atMs[index] ?? 0));
    expect(gaps.slice(0, 6)).toEqual([800, 1600, 3200, 6400, 12_800, 15_000]);
    expect(new Set(gaps.slice(5))).toEqual(new Set([15_000]));
    expect(transport.atMs.at(-1)).toBeLessThanOrEqual(600_000);
    expect(transport.atMs.at(-1)).toBeGreaterThan(580_000);
    // All that waited as long goes with it, and it is not said again.
    writer.write(eventOf('two'));
    await timers.advance(660_000);
    expect(writer.counts).toMatchObject({ failed: 2 });
    expect(problems).toHaveLength(1);
  });

  it('a server that asks for time gets it', async () => {
    const { timers, transport, writer } = open();
    transport.next = (tries) =>
      tries === 1 ? new ApiStatusError('POST', 429, {}, { retryAfterMs: 20_000 }) : null;
    writer.write(eventOf('one'));
    await timers.advance(60_000);
    expect(transport.atMs).toEqual([0, 20_000]);
    expect(writer.counts.written).toBe(1);
  });

  it('the same comes again after five minutes', async () => {
    const { timers, transport, writer } = open();
    const { namespace } = { namespace: 'mine' };
    const same = eventOf('one', { note: 'same' });
    writer.write(same);
    await timers.advance(299_000);
    writer.write({ ...same, metadata: { name: 'one.2', namespace: 'default' } });
    // Other words, another object, another reason: not the same.
    writer.write({ ...same, note: 'other' });
    writer.write({ ...same, reason: 'Other' });
    writer.write({ ...same, regarding: { ...same.regarding, namespace } });
    await timers.advance(1000);
    expect(writer.counts).toMatchObject({ written: 4, repeated: 1 });
    writer.write(same);
    await timers.advance(0);
    expect(transport.atMs).toEqual([0, 299_000, 299_000, 299_000, 300_000]);
  });

  it('an answer that does not come is given up after half a minute', async () => {
    const { timers, transport, writer } = open();
    transport.next = (tries) => (tries === 1 ? 'never' : null);
    writer.write(eventOf('one'));
    await timers.advance(60_000);
    expect(transport.atMs).toEqual([0, 30_800]);
    expect(writer.counts.written).toBe(1);
  });

  it('one that comes as the last is done is written, too', async () => {
    for (let turns = 0; turns < 40; turns++) {
      const { timers, writer } = open();
      writer.write(eventOf('first'));
      for (let turn = 0; turn < turns; turn++) await Promise.resolve();
      writer.write(eventOf('second'));
      await timers.advance(0);
      expect(writer.counts, `after ${turns} turns`).toMatchObject({ written: 2, waiting: 0 });
    }
  });

  it('a mistake of ours is told and tried no more', async () => {
    const { timers, transport, writer, problems } = open();
    transport.next = () => new TypeError('of ours');
    writer.write(eventOf('one'));
    await timers.advance(60_000);
    expect(transport.atMs).toEqual([0]);
    expect(problems).toEqual(['Events are not written: of ours']);
  });

  it('a name that is taken at the first try is a failure', async () => {
    const { timers, transport, writer } = open();
    transport.next = () => new ApiStatusError('POST', 409, { reason: 'AlreadyExists' });
    writer.write(eventOf('one'));
    await timers.advance(60_000);
    expect(writer.counts).toMatchObject({ written: 0, failed: 1 });
  });

  it('closing ends a pause, tries once more, and takes a second at most', async () => {
    const { timers, transport, writer } = open();
    transport.next = (tries) => (tries < 3 ? AWAY : null);
    for (const event of many(3)) writer.write(event);
    await timers.advance(800);
    expect(transport.atMs).toEqual([0, 800]);
    const closed = writer.close();
    await timers.advance(0);
    await closed;
    expect(transport.atMs).toEqual([0, 800, 800, 800, 800]);
    expect(writer.counts).toMatchObject({ written: 3, dropped: 0 });
    expect(timers.delaysMs).toEqual([]);
  });

  it.each<[string, Error | 'never']>([
    ['does not answer', 'never'],
    ['is away', AWAY],
  ])('closing gives up on a server that %s, and leaves no timer', async (_what, said) => {
    const { timers, transport, writer } = open();
    transport.next = () => said;
    for (const event of many(12)) writer.write(event);
    await settled();
    const closed = writer.close();
    await timers.advance(1000);
    await closed;
    expect(writer.counts).toEqual({ written: 0, dropped: 12, failed: 0, repeated: 0, waiting: 0 });
    expect(timers.delaysMs).toEqual([]);
  });

  it('every Event has one end, and the rate is kept, whatever the server does and when it closes', async () => {
    const answer = fc.constantFrom<() => Error | null | 'never'>(
      () => null,
      () => AWAY,
      () => 'never',
      () => new ApiStatusError('POST', 403, {}),
      () => new ApiStatusError('POST', 409, { reason: 'AlreadyExists' }),
      () => new ApiStatusError('POST', 429, {}, { retryAfterMs: 7000 }),
    );
    const step = fc.record({ count: fc.nat(60), from: fc.nat(40), afterMs: fc.nat(120_000) });
    await fc.assert(
      fc.asyncProperty(
        fc.array(answer, { minLength: 1 }),
        fc.array(step, { maxLength: 5 }),
        async (answers, steps) => {
          const { timers, transport, writer } = open();
          transport.next = (tries) => (answers[tries % answers.length] as (typeof answers)[number])();
          let asked = 0;
          const sum = (): number => {
            const { written, dropped, failed, repeated, waiting } = writer.counts;
            return written + dropped + failed + repeated + waiting;
          };
          for (const { count, from, afterMs } of steps) {
            for (const event of many(count, from)) writer.write(event);
            asked += count;
            await timers.advance(afterMs);
            expect(sum()).toBe(asked);
            expect(writer.counts.waiting).toBeLessThanOrEqual(101);
          }
          const closed = writer.close();
          await timers.advance(1000);
          await closed;
          expect(sum()).toBe(asked);
          expect(writer.counts.waiting).toBe(0);
          expect(timers.delaysMs).toEqual([]);
          for (const [index, atMs] of transport.atMs.entries())
            expect(index).toBeLessThan(10 + Math.floor(atMs / 5000));
        },
      ),
      { numRuns: 30 },
    );
  });
});
