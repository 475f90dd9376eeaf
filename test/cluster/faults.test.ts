// Each fault of the fake API server does what its name says, seen from a plain client; rules apply to what they name and no more.

import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeTimers } from '../fake-timers.ts';
import { FakeApiServer } from './fake-api-server.ts';
import type { Fault, RequestMatch } from './faults.ts';
import { fillStore, makeService } from './make-objects.ts';
import { get, PlainStream } from './plain-client.ts';

const SERVICES = '/api/v1/services';
const timers = new FakeTimers();
let server: FakeApiServer;
beforeEach(async () => {
  server = await FakeApiServer.start({ timers });
  fillStore(server.store, { count: 20 });
});
afterEach(() => server.close());

const list = (headers = {}): ReturnType<typeof get> => get(`${server.url}${SERVICES}`, { headers });
const HTML = expect.stringContaining('<html>') as unknown;

describe('rules', () => {
  const refuse: Fault = { kind: 'refuse', code: 503 };
  const ask = async (...paths: readonly string[]): Promise<number[]> => {
    const codes: number[] = [];
    for (const path of paths) codes.push((await get(`${server.url}${path}`)).code);
    return codes;
  };
  const NODES = '/api/v1/nodes';

  it.each<[string, RequestMatch, number[]]>([
    ['the next of any', {}, [503, 200, 200, 200]],
    ['the next of one resource', { resource: 'nodes' }, [200, 503, 200, 200]],
    ['the next of one object', { verb: 'get' }, [200, 200, 200, 503]],
    ['the second', { skip: 1 }, [200, 503, 200, 200]],
    ['the second and third', { skip: 1, times: 2 }, [200, 503, 503, 200]],
    ['all', { times: Number.POSITIVE_INFINITY }, [503, 503, 503, 503]],
    ['none', { verb: 'watch' }, [200, 200, 200, 200]],
  ])('%s', async (_name, match, expected) => {
    const rule = server.misbehave(match, refuse);
    expect(await ask(SERVICES, NODES, NODES, `${NODES}/node-0`)).toEqual(expected);
    expect(rule.hits).toBe(expected.filter((code) => code === 503).length);
  });

  it('follow each other, and go', async () => {
    server.misbehave({}, refuse);
    server.misbehave({}, { kind: 'refuse', code: 500 });
    server.misbehave({}, { kind: 'refuse', code: 502 });
    expect(await ask(NODES, NODES)).toEqual([503, 500]);
    server.behave();
    expect(await ask(NODES)).toEqual([200]);
  });

  it('know pages', async () => {
    server.misbehave({ page: 'later' }, refuse);
    const first = await get(`${server.url}${SERVICES}?limit=5`);
    const { metadata } = JSON.parse(first.text);
    expect(await ask(SERVICES, `${SERVICES}?continue=${metadata.continue}`)).toEqual([200, 503]);
    server.misbehave({ page: 'first' }, refuse);
    expect(await ask(`${SERVICES}?continue=${metadata.continue}`, SERVICES)).toEqual([200, 503]);
  });
});

describe('refusals', () => {
  it.each([
    [
      { code: 503 },
      'application/json',
      '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"made to fail with 503","reason":"ServiceUnavailable","code":503}\n',
    ],
    [
      { code: 500, reason: 'Odd', message: 'm' },
      'application/json',
      '{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"m","reason":"Odd","code":500}\n',
    ],
    [{ code: 502, body: 'html' }, 'text/html', HTML],
    [
      { code: 429, body: 'text', message: 'Too many requests, please try again later.' },
      'text/plain; charset=utf-8',
      'Too many requests, please try again later.\n',
    ],
    [{ code: 504, body: 'empty' }, 'text/plain', ''],
  ] as const)('%j', async (fault, contentType, expected) => {
    server.misbehave({}, { kind: 'refuse', ...fault });
    const { code, headers, text } = await list();
    expect([code, headers['content-type'], headers['retry-after'], text]).toEqual([
      fault.code,
      contentType,
      undefined,
      expected,
    ]);
  });

  it.each([7, 'Wed, 21 Oct 2026 07:28:00 GMT', 'soon'])('say when to come back: %s', async (retryAfter) => {
    server.misbehave({}, { kind: 'refuse', code: 429, retryAfter });
    expect((await list()).headers['retry-after']).toBe(String(retryAfter));
  });

  it('410: of a list over HTTP, of a watch as an event or over HTTP', async () => {
    server.misbehave({ times: 2 }, { kind: 'expired' });
    expect((await list()).code).toBe(410);
    const event = await get(`${server.url}${SERVICES}?watch=true`);
    expect([event.code, JSON.parse(event.text)]).toMatchObject([
      200,
      { type: 'ERROR', object: { code: 410 } },
    ]);
    server.misbehave({}, { kind: 'expired', as: 'http' });
    expect((await get(`${server.url}${SERVICES}?watch=true`)).code).toBe(410);
  });
});

describe('bytes', () => {
  it.each(['FIN', 'RST'] as const)('are cut by %s before, in the header, and in the body', async (manner) => {
    server.misbehave({}, { kind: 'cut', manner, at: 'request' });
    expect(await list()).toMatchObject({ code: 0, error: 'ECONNRESET' });
    server.misbehave({}, { kind: 'cut', manner, at: 'headers' });
    expect(await list()).toMatchObject({ code: 0, error: expect.any(String) as unknown });
    server.misbehave({}, { kind: 'cut', manner, at: { bytes: 1000 } });
    const { code, error, bytes } = await list();
    expect([code, error]).toEqual([200, 'ECONNRESET']);
    // After RST the other side may throw away what it has not read.
    if (manner === 'FIN') expect(bytes.length).toBe(1000);
    expect(await list()).toMatchObject({ code: 200, error: null });
  });

  it('end too early and cleanly', async () => {
    server.misbehave({}, { kind: 'truncate', at: 1000 });
    const { error, bytes } = await list();
    expect([error, bytes.length]).toEqual([null, 1000]);
  });

  it('are cut in the middle of gzip', async () => {
    fillStore(server.store, { count: 400 });
    const headers = { 'accept-encoding': 'gzip' };
    const whole = await list(headers);
    expect(JSON.parse(whole.text).items).toHaveLength(400);
    server.misbehave({}, { kind: 'truncate', at: whole.bytes.length >> 1 });
    const stream = new PlainStream(`${server.url}${SERVICES}`, { headers });
    await stream.ended;
    const bytes = Buffer.concat(stream.pieces);
    expect([stream.response?.headers['content-encoding'], stream.error]).toEqual(['gzip', null]);
    expect(bytes.length).toBe(whole.bytes.length >> 1);
    expect(() => gunzipSync(bytes)).toThrow(/unexpected end/);
  });

  it('stop: before, in the header, in the body; and the connection stays', async () => {
    const moments = ['request', 'headers', { bytes: 500 }] as const;
    for (const at of moments) server.misbehave({}, { kind: 'stall', at });
    const streams: PlainStream[] = [];
    for (const [index] of moments.entries()) {
      streams.push(new PlainStream(`${server.url}${SERVICES}`));
      await server.until(() => server.count() === index + 1);
    }
    await server.until(() => streams[2]?.answer().bytes.length === 500);
    expect((await list()).code).toBe(200);
    expect(streams.map(({ response, isEnded }) => [response?.statusCode, isEnded])).toEqual([
      [undefined, false],
      [undefined, false],
      [200, false],
    ]);
    expect(server.openConnections).toBeGreaterThanOrEqual(3);
    for (const stream of streams) stream.close();
  });

  it('come late and in drops', async () => {
    server.misbehave({}, { kind: 'slow', delayMs: 5000, bytes: 4096, everyMs: 100 });
    const stream = new PlainStream(`${server.url}${SERVICES}`);
    await server.until(() => timers.delaysMs.length === 1);
    expect(timers.delaysMs).toEqual([5000]);
    expect(stream.response).toBe(null);
    await timers.advance(5000);
    await server.until(() => timers.delaysMs.length === 1);
    await server.until(() => stream.answer().bytes.length === 4096);
    while (!stream.isEnded) await timers.advance(100);
    expect(JSON.parse(stream.answer().text).items).toHaveLength(20);
  });

  it('come in pieces, inside of characters', async () => {
    server.store.put('services', makeService(0, { annotations: { text: 'äöü€𝄞'.repeat(50) } }));
    server.misbehave({}, { kind: 'split', bytes: 1 });
    const { text, error } = await get(`${server.url}/api/v1/services?fieldSelector=metadata.name%3Dweb-0`);
    expect(error).toBe(null);
    expect(JSON.parse(text).items[0].metadata.annotations.text).toBe('äöü€𝄞'.repeat(50));
  });

  it('are not what was asked for', async () => {
    server.misbehave({}, { kind: 'body', body: '<p>Sign in</p>', contentType: 'text/html' });
    expect(await list()).toMatchObject({ code: 200, text: '<p>Sign in</p>', error: null });
    server.misbehave({}, { kind: 'contentType', value: 'text/html' });
    const { headers, text } = await list();
    expect([headers['content-type'], JSON.parse(text).kind]).toEqual(['text/html', 'ServiceList']);
  });

  it('never end, up to a limit, and stop when the client goes', async () => {
    server.misbehave(
      {},
      { kind: 'endless', first: '{"type":"ADDED","object":{"x":"', again: 'aaaa', bytes: 300_000 },
    );
    const { text, error } = await list();
    expect(error).toBe(null);
    expect(text).toMatch(/^\{"type":"ADDED","object":\{"x":"a{300000,}$/);
    server.misbehave({}, { kind: 'endless', first: '', again: 'a', bytes: 1e12 });
    const stream = new PlainStream(`${server.url}${SERVICES}`);
    await server.until(() => stream.pieces.length > 3);
    stream.close();
    await server.until(() => server.openConnections === 0);
  });

  it('of a watch count over all of its events', async () => {
    server.misbehave({ verb: 'watch' }, { kind: 'cut', manner: 'FIN', at: { bytes: 1500 } });
    const stream = new PlainStream(
      `${server.url}${SERVICES}?watch=true&resourceVersion=${server.store.version}`,
    );
    await server.until(() => server.watches().length === 1);
    for (let index = 0; index < 5; index++) server.store.put('services', makeService(index));
    await stream.ended;
    expect([stream.error, stream.answer().bytes.length]).toEqual(['ECONNRESET', 1500]);
    expect(server.watches()).toEqual([]);
  });
});
