// Events on their way to a real HTTP server that misbehaves. Where minutes count, see event-writer-time.test.ts.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeCertificates, probeOpenssl, serverTls } from '../../test/cluster/certificates.ts';
import { FakeApiServer } from '../../test/cluster/fake-api-server.ts';
import type { Fault } from '../../test/cluster/faults.ts';
import { eventOf } from '../../test/cluster/make-event.ts';
import { ScaledTimers } from '../../test/cluster/scaled-timers.ts';
import { FakeTimers } from '../../test/fake-timers.ts';
import type { ApiAccess } from './api-access.ts';
import { ApiClient } from './api-client.ts';
import { ApiStatusError } from './api-client-status.ts';
import type { ApiAnswer, ApiRequest } from './api-client-transport.ts';
import type { ApiTimers } from './api-timers.ts';
import { EventWriter } from './event-writer.ts';

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
