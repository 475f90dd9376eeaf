// The watches of the fake API server are what a kube-apiserver's are: events, selections, bookmarks, streaming lists, ends. Plain HTTP.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeTimers } from '../fake-timers.ts';
import { FakeApiServer } from './fake-api-server.ts';
import { get, PlainStream } from './plain-client.ts';

const SERVICES = '/api/v1/services';
const STREAM = 'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';

let server: FakeApiServer;
const timers = new FakeTimers();
const streams: PlainStream[] = [];
beforeEach(async () => {
  server = await FakeApiServer.start({ timers });
});
afterEach(async () => {
  for (const stream of streams.splice(0)) stream.close();
  await server.close();
});

const put = (name: string, labels: Record<string, string> = {}): number =>
  server.store.put('services', { metadata: { name, labels }, spec: { clusterIP: '10.96.0.1' } });

/** Resolves when the server has it. */
async function watch(query: string, path = SERVICES): Promise<PlainStream> {
  const before = server.watches().length;
  const stream = new PlainStream(`${server.url}${path}?watch=true&${query}`);
  streams.push(stream);
  await server.until(() => server.watches().length > before || stream.isEnded, 'the watch');
  return stream;
}

async function until(stream: PlainStream, count: number): Promise<string[]> {
  await server.until(() => stream.seen().length >= count || stream.isEnded, `${count} events`);
  return stream.seen();
}

describe('a watch', () => {
  it('tells what changes, in order, with kinds', async () => {
    put('a');
    const stream = await watch('resourceVersion=1001');
    put('b');
    put('a');
    server.store.delete('services', 'default/b');
    server.store.put('nodes', { metadata: { name: 'n' } });
    put('c');
    expect(await until(stream, 4)).toEqual([
      'ADDED default/b 1002',
      'MODIFIED default/a 1003',
      // The last state of what is deleted, with the version of the deletion.
      'DELETED default/b 1004',
      'ADDED default/c 1006',
    ]);
    const [{ object }] = stream.events();
    expect(object).toMatchObject({ kind: 'Service', apiVersion: 'v1', spec: { clusterIP: '10.96.0.1' } });
    expect(stream.response?.headers).toMatchObject({
      'content-type': 'application/json',
      'transfer-encoding': 'chunked',
    });
  });

  it('begins after its version', async () => {
    for (const name of ['a', 'b', 'c']) put(name);
    expect(await until(await watch('resourceVersion=1001'), 2)).toEqual([
      'ADDED default/b 1002',
      'ADDED default/c 1003',
    ]);
  });

  it.each(['', 'resourceVersion=0'])('without a version (%s) begins with what there is', async (query) => {
    for (const name of ['a', 'b']) put(name);
    const stream = await watch(query);
    put('c');
    expect(await until(stream, 3)).toEqual([
      'ADDED default/a 1001',
      'ADDED default/b 1002',
      'ADDED default/c 1003',
    ]);
  });

  it('sees objects enter and leave its selection', async () => {
    put('a');
    const stream = await watch('resourceVersion=1001&labelSelector=!x');
    put('a', { x: '' });
    put('a', { x: '1' });
    put('a');
    put('a');
    put('b', { x: '' });
    server.store.delete('services', 'default/b');
    put('end');
    expect(await until(stream, 4)).toEqual([
      'DELETED default/a 1002',
      'ADDED default/a 1004',
      'MODIFIED default/a 1005',
      'ADDED default/end 1008',
    ]);
    // The state as it was before it left.
    expect(stream.events()[0].object.metadata.labels).toEqual({});
  });

  it.each([
    ['/api/v1/nodes', 'fieldSelector=metadata.name%3Dn2'],
    ['/api/v1/nodes/n2', ''],
  ])('of one object at %s %s sees no other', async (path, query) => {
    const stream = await watch(`resourceVersion=1000&${query}`, path);
    for (const name of ['n1', 'n2', 'n3']) server.store.put('nodes', { metadata: { name } });
    server.store.put('nodes', { metadata: { name: 'n2' } });
    expect(await until(stream, 2)).toEqual(['ADDED n2 1002', 'MODIFIED n2 1004']);
  });

  // The watch cache answers with an event once the request is valid (cacher.go, newErrWatcher); etcd behind it may answer 410.
  it('from before the window gets an event 410, or HTTP 410', async () => {
    put('a');
    server.store.compact();
    const stream = await watch('resourceVersion=1000');
    await stream.ended;
    expect(stream.answer()).toMatchObject({ code: 200, error: null });
    expect(stream.seen()).toEqual(['ERROR 410 Expired']);
    server.expiredWatch = 'http';
    const { code, text } = await get(`${server.url}${SERVICES}?watch=true&resourceVersion=1000`);
    expect([code, JSON.parse(text).reason]).toEqual([410, 'Expired']);
  });

  it('loses the window when more changes than it holds have been', async () => {
    await server.close();
    server = await FakeApiServer.start({ historySize: 10 });
    for (let count = 0; count < 40; count++) put('a');
    const { oldest, version } = server.store;
    expect(version - oldest).toBeGreaterThanOrEqual(10);
    expect(version - oldest).toBeLessThanOrEqual(20);
    expect(await until(await watch(`resourceVersion=${oldest - 1}`), 1)).toEqual(['ERROR 410 Expired']);
  });

  // cache_watcher.go, process: "only send events newer than resourceVersion".
  it('from the future is silent until the future is there, unless told otherwise', async () => {
    const stream = await watch('resourceVersion=1002&allowWatchBookmarks=true');
    put('a');
    server.sendBookmarks();
    put('b');
    put('c');
    expect(await until(stream, 1)).toEqual(['ADDED default/c 1003']);
    server.futureWatch = 'event';
    expect(await until(await watch('resourceVersion=2000'), 1)).toEqual(['ERROR 504 Timeout']);
    server.futureWatch = 'http';
    expect((await get(`${server.url}${SERVICES}?watch=true&resourceVersion=2000`)).code).toBe(504);
  });

  it('ends cleanly when its time is over, with a last bookmark', async () => {
    const stream = await watch('resourceVersion=1000&timeoutSeconds=7&allowWatchBookmarks=true');
    await timers.advance(6999);
    expect(stream.isEnded).toBe(false);
    server.store.skipVersions(5);
    await timers.advance(1);
    await stream.ended;
    expect([stream.error, stream.seen()]).toEqual([null, ['BOOKMARK 1005']]);
    expect(timers.delaysMs).toEqual([]);
  });

  it('leaves no timer when the client goes', async () => {
    const stream = await watch('resourceVersion=1000&timeoutSeconds=7');
    stream.close();
    await server.until(() => timers.delaysMs.length === 0 && server.watches().length === 0);
  });
});

describe('bookmarks', () => {
  it('come each minute to who allows them', async () => {
    const deaf = await watch('resourceVersion=1000');
    const stream = await watch('resourceVersion=1000&allowWatchBookmarks=true');
    await timers.advance(60_000);
    server.store.skipVersions(7);
    await timers.advance(60_000);
    expect(await until(stream, 2)).toEqual(['BOOKMARK 1000', 'BOOKMARK 1007']);
    expect(stream.events()[0]).toEqual({
      type: 'BOOKMARK',
      object: {
        kind: 'Service',
        apiVersion: 'v1',
        metadata: { resourceVersion: '1000', creationTimestamp: null },
        spec: {},
        status: { loadBalancer: {} },
      },
    });
    put('a');
    expect(await until(deaf, 1)).toEqual(['ADDED default/a 1008']);
  });

  it.each([
    ['none', []],
    ['duplicated', ['BOOKMARK 1005', 'BOOKMARK 1005']],
    ['reordered', ['BOOKMARK 1005', 'BOOKMARK 1000']],
  ] as const)('are %s on command', async (habit, expected) => {
    server.habits.bookmarks = habit;
    const stream = await watch('resourceVersion=1000&allowWatchBookmarks=true');
    server.store.skipVersions(5);
    server.sendBookmarks('services');
    put('end');
    expect(await until(stream, expected.length + 1)).toEqual([...expected, 'ADDED default/end 1006']);
  });
});

// KEP-3157
describe('a streaming list', () => {
  it('is the state, a bookmark that ends it, and then the changes', async () => {
    for (const name of ['b', 'a']) put(name);
    const stream = await watch(STREAM);
    put('c');
    expect(await until(stream, 4)).toEqual([
      'ADDED default/a 1002',
      'ADDED default/b 1001',
      'BOOKMARK 1002',
      'ADDED default/c 1003',
    ]);
    expect(stream.events()[2].object.metadata.annotations).toEqual({ 'k8s.io/initial-events-end': 'true' });
  });

  it('has no end for who wants no bookmarks', async () => {
    const stream = await watch(STREAM.replace('&allowWatchBookmarks=true', ''));
    put('a');
    expect(await until(stream, 1)).toEqual(['ADDED default/a 1001']);
  });

  it('without initial events begins at its version', async () => {
    put('a');
    const stream = await watch(
      'sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=1001',
    );
    put('b');
    expect(await until(stream, 1)).toEqual(['ADDED default/b 1002']);
  });

  it('from the future times out, as an event', async () => {
    expect(await until(await watch(`${STREAM}&resourceVersion=2000`), 1)).toEqual(['ERROR 504 Timeout']);
  });

  it.each([
    ['refused', STREAM, 422, 'Invalid'],
    ['badRequest', STREAM, 400, 'BadRequest'],
    ['on', 'sendInitialEvents=true', 422, 'Invalid'],
    ['on', 'resourceVersionMatch=NotOlderThan', 422, 'Invalid'],
  ] as const)('is %s: %s gives %i', async (mode, query, expected, reason) => {
    server.streamingLists = mode;
    const { code, text } = await get(`${server.url}${SERVICES}?watch=true&${query}`);
    expect([code, JSON.parse(text).reason]).toEqual([expected, reason]);
  });

  it('is ignored: a watch that begins with the state and never says where that ends', async () => {
    server.streamingLists = 'ignored';
    put('a');
    const stream = await watch(STREAM);
    put('b');
    expect(await until(stream, 2)).toEqual(['ADDED default/a 1001', 'ADDED default/b 1002']);
  });
});

describe('on command, a watch', () => {
  const opened = (): ReturnType<typeof server.watches>[number] => {
    const [stream] = server.watches();
    if (stream === undefined) throw new Error('no watch');
    return stream;
  };

  it.each([
    ['expires', () => opened().error(), ['ERROR 410 Expired'], null],
    ['breaks down', () => opened().breakDown(), ['ERROR 500 InternalError'], null],
    ['ends', () => opened().end(), [], null],
    ['is cut', () => opened().cut('FIN'), [], 'ECONNRESET'],
    ['is torn', () => opened().cut('RST'), [], 'ECONNRESET'],
    ['is cut in mid-line', () => opened().cutInMidLine('FIN'), [], 'ECONNRESET'],
    ['ends in mid-line', () => opened().cutInMidLine('clean'), [], null],
  ])('%s', async (_name, act, expected, error) => {
    const stream = await watch('resourceVersion=1000');
    put('a');
    await until(stream, 1);
    act();
    await stream.ended;
    expect([stream.seen(), stream.error]).toEqual([['ADDED default/a 1001', ...expected], error]);
  });

  it('has half a line when it is cut there', async () => {
    const stream = await watch('resourceVersion=1000');
    put('a');
    await until(stream, 1);
    opened().cutInMidLine('clean');
    await stream.ended;
    const [, half = ''] = stream.answer().text.split('\n');
    expect(half.startsWith('{"type":"ADDED"')).toBe(true);
    expect(() => JSON.parse(half) as unknown).toThrow(SyntaxError);
  });

  it('is half-open: nothing more comes, and it stays', async () => {
    const stream = await watch('resourceVersion=1000');
    const other = await watch('resourceVersion=1000');
    opened().stall();
    put('a');
    opened().end();
    await until(other, 1);
    expect([stream.seen(), stream.isEnded]).toEqual([[], false]);
    expect(server.openConnections).toBe(2);
  });

  it('says things again, twice, and what is no event', async () => {
    const stream = await watch('resourceVersion=1000');
    put('a');
    put('b');
    opened().replay(2);
    server.habits.duplicateEvents = true;
    put('c');
    expect(await until(stream, 6)).toEqual(
      ['a 1001', 'b 1002', 'a 1001', 'b 1002', 'c 1003', 'c 1003'].map((each) => `ADDED default/${each}`),
    );
    opened().raw('garbage\n');
    opened().end();
    await stream.ended;
    expect(stream.answer().text.endsWith('}\ngarbage\n')).toBe(true);
  });

  it.each(['null', '{}', '7', '{"metadata":null}'])('tells of an object that is %s', async (json) => {
    const stream = await watch('resourceVersion=1000');
    server.store.putText('services', 'default/odd', json);
    server.store.delete('services', 'default/odd');
    await server.until(() => stream.events().length === 2);
    const kind = json.startsWith('{') ? { kind: 'Service', apiVersion: 'v1' } : null;
    const object = kind === null ? JSON.parse(json) : { ...kind, ...JSON.parse(json) };
    expect(stream.events()).toEqual([
      { type: 'ADDED', object },
      { type: 'DELETED', object },
    ]);
  });
});
