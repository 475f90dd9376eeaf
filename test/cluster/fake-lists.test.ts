// The lists of the fake API server are what a kube-apiserver's are: shapes, selectors, pages, versions, refusals. Asked with plain HTTP.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeApiServer } from './fake-api-server.ts';
import { fillStore, makeService } from './make-objects.ts';
import { get, getJson } from './plain-client.ts';

const SERVICES = '/api/v1/services';
const SLICES = '/apis/discovery.k8s.io/v1/endpointslices';

let server: FakeApiServer;
beforeEach(async () => {
  server = await FakeApiServer.start();
});
afterEach(() => server.close());

const put = (name: string, rest: object = {}, labels: Record<string, string> = {}): number =>
  server.store.put('services', { metadata: { name, labels }, spec: { clusterIP: '10.96.0.1' }, ...rest });
const list = (query = '', path = SERVICES): Promise<any> => getJson(`${server.url}${path}?${query}`);
const names = ({ items }: { items: any[] }): string[] => items.map(({ metadata }) => metadata.name as string);

describe('a list', () => {
  it('has its kind, and its items have none', async () => {
    put('web', { kind: 'Service', apiVersion: 'v1' });
    expect(await list()).toEqual({
      kind: 'ServiceList',
      apiVersion: 'v1',
      metadata: { resourceVersion: '1001' },
      items: [
        {
          metadata: {
            name: 'web',
            namespace: 'default',
            uid: expect.stringMatching(/^[0-9a-f-]{36}$/) as unknown,
            resourceVersion: '1001',
            creationTimestamp: expect.stringMatching(/^2026-01-01T\d\d:\d\d:\d\dZ$/) as unknown,
            labels: {},
          },
          spec: { clusterIP: '10.96.0.1' },
        },
      ],
    });
    expect(await list('', SLICES)).toEqual({
      kind: 'EndpointSliceList',
      apiVersion: 'discovery.k8s.io/v1',
      metadata: { resourceVersion: '1001' },
      items: [],
    });
  });

  it('keeps uid and creationTimestamp of an object that is replaced, and raises its version', async () => {
    put('web');
    const [first] = (await list()).items;
    put('web', { spec: { clusterIP: '10.96.0.9' } });
    const [second] = (await list()).items;
    expect(second.metadata).toEqual({ ...first.metadata, resourceVersion: '1002' });
    server.store.delete('services', 'default/web');
    put('web');
    expect((await list()).items[0].metadata.uid).not.toBe(first.metadata.uid);
  });

  it('is sorted by namespace and name', async () => {
    for (const name of ['b', 'c', 'a']) put(name);
    put('z', { metadata: { name: 'z', namespace: 'another' } });
    expect(names(await list())).toEqual(['z', 'a', 'b', 'c']);
    put('b');
    expect(names(await list())).toEqual(['z', 'a', 'b', 'c']);
  });

  it.each([
    ['labelSelector=!x', ['plain']],
    ['labelSelector=x', ['empty', 'one', 'two']],
    ['labelSelector=x%3Done', ['one']],
    ['labelSelector=x!%3Done', ['empty', 'plain', 'two']],
    ['labelSelector=x%20in%20(one,two)', ['one', 'two']],
    ['labelSelector=x%20notin%20(one,two),!y', ['empty', 'plain']],
    ['fieldSelector=metadata.name%3Done', ['one']],
    ['fieldSelector=spec.clusterIP!%3DNone', ['one', 'plain', 'two']],
    ['fieldSelector=spec.clusterIP!%3DNone&labelSelector=x', ['one', 'two']],
  ])('selects by %s', async (query, expected) => {
    put('plain');
    put('one', {}, { x: 'one' });
    put('two', {}, { x: 'two' });
    put('empty', { spec: { clusterIP: 'None' } }, { x: '' });
    expect(names(await list(query))).toEqual(expected);
  });

  it.each([
    ['labelSelector=a%20b', 'unable to parse requirement: a b'],
    ['fieldSelector=spec.port%3D1', 'field label not supported: spec.port'],
    ['resourceVersion=abc', 'invalid resource version "abc"'],
    ['continue=nonsense', 'continue key is not valid: illegal base64 or JSON'],
  ])('refuses %s', async (query, message) => {
    const { code, text } = await get(`${server.url}${SERVICES}?${query}`);
    expect(code).toBe(400);
    expect(JSON.parse(text)).toMatchObject({ kind: 'Status', reason: 'BadRequest', code: 400, message });
  });

  // Validation of ListOptions gives 422 (metainternalversionvalidation).
  it.each([
    'resourceVersionMatch=Exact',
    'resourceVersionMatch=Exact&resourceVersion=0',
    'resourceVersionMatch=Newest&resourceVersion=1',
    'sendInitialEvents=true',
  ])('refuses %s as invalid', async (query) => {
    const { code, text } = await get(`${server.url}${SERVICES}?${query}`);
    expect(code).toBe(422);
    expect(JSON.parse(text)).toMatchObject({ reason: 'Invalid', details: { kind: 'ListOptions' } });
  });
});

describe('pages', () => {
  beforeEach(() => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) put(name);
  });

  it('are of one version, whatever changes meanwhile', async () => {
    const first = await list('limit=2');
    expect(first.metadata).toMatchObject({ resourceVersion: '1005', remainingItemCount: 3 });
    put('aa');
    server.store.delete('services', 'default/d');
    put('e', { spec: { clusterIP: '10.96.0.77' } });
    const second = await list(`limit=2&continue=${first.metadata.continue}`);
    expect(second.metadata).toMatchObject({ resourceVersion: '1005', remainingItemCount: 1 });
    const third = await list(`limit=2&continue=${second.metadata.continue}`);
    expect(third.metadata).toEqual({ resourceVersion: '1005' });
    expect([first, second, third].flatMap(names)).toEqual(['a', 'b', 'c', 'd', 'e']);
    expect(third.items[0].spec.clusterIP).toBe('10.96.0.1');
  });

  it('do not count what is left under a selector', async () => {
    const { metadata } = await list('limit=2&labelSelector=!x');
    expect(metadata).toEqual({ resourceVersion: '1005', continue: expect.any(String) as unknown });
  });

  it('are not made of a list at version 0, which comes from the watch cache, unless told otherwise', async () => {
    expect(names(await list('limit=2&resourceVersion=0'))).toHaveLength(5);
    server.pagesAtZero = true;
    const first = await list('limit=2&resourceVersion=0');
    expect(names(first)).toHaveLength(2);
    expect(names(await list(`limit=5&continue=${first.metadata.continue}`))).toHaveLength(3);
  });

  it('expire with 410 and a token that goes on without consistency', async () => {
    const first = await list('limit=2');
    put('bb');
    server.store.compact();
    const { code, text } = await get(`${server.url}${SERVICES}?limit=2&continue=${first.metadata.continue}`);
    expect(code).toBe(410);
    const status = JSON.parse(text);
    expect(status).toMatchObject({ kind: 'Status', reason: 'Expired', code: 410 });
    const rest = await list(`continue=${status.metadata.continue}`);
    expect(rest.metadata.resourceVersion).toBe('1006');
    expect(names(rest)).toEqual(['bb', 'c', 'd', 'e']);
  });

  it('take no version beside a token', async () => {
    const { metadata } = await list('limit=2');
    const { code } = await get(`${server.url}${SERVICES}?resourceVersion=7&continue=${metadata.continue}`);
    expect(code).toBe(400);
  });
});

describe('a version', () => {
  beforeEach(() => {
    for (const name of ['a', 'b', 'c']) put(name);
  });

  it.each([
    ['', '1003'],
    ['resourceVersion=0', '1003'],
    ['resourceVersion=1002', '1003'],
    ['resourceVersion=1002&resourceVersionMatch=NotOlderThan', '1003'],
    ['resourceVersion=1002&resourceVersionMatch=Exact', '1002'],
    // Not older than, without a limit; with one it is exact (API concepts, "Resource versions").
    ['resourceVersion=1002&limit=10', '1002'],
  ])('%s gives %s', async (query, expected) => {
    const { metadata, items } = await list(query);
    expect(metadata.resourceVersion).toBe(expected);
    expect(items).toHaveLength(Number(expected) - 1000);
  });

  it('from the future times out', async () => {
    const { code, text, headers } = await get(`${server.url}${SERVICES}?resourceVersion=2000`);
    expect([code, headers['retry-after']]).toEqual([504, '1']);
    expect(JSON.parse(text)).toMatchObject({
      reason: 'Timeout',
      message: 'Timeout: Too large resource version: 2000, current: 1003',
      details: { causes: [{ reason: 'ResourceVersionTooLarge' }], retryAfterSeconds: 1 },
    });
  });

  it('that was forgotten is gone', async () => {
    server.store.compact();
    const { code } = await get(`${server.url}${SERVICES}?resourceVersion=1002&resourceVersionMatch=Exact`);
    expect(code).toBe(410);
  });

  it('has gaps on command, and goes back with a backup', async () => {
    const snapshot = server.snapshot();
    server.store.skipVersions(500);
    put('d');
    expect((await list()).metadata.resourceVersion).toBe('1504');
    server.restore(snapshot);
    const { metadata, items } = await list();
    expect([metadata.resourceVersion, items.length]).toEqual(['1003', 3]);
  });
});

describe('other answers', () => {
  it('one object has its kind', async () => {
    put('web');
    expect(await getJson(`${server.url}/api/v1/namespaces/default/services/web`)).toMatchObject({
      kind: 'Service',
      apiVersion: 'v1',
      metadata: { name: 'web' },
    });
    const { code, text } = await get(`${server.url}/api/v1/nodes/none`);
    expect(code).toBe(404);
    expect(JSON.parse(text)).toMatchObject({ reason: 'NotFound', message: 'nodes "none" not found' });
  });

  it('a namespace has its own list', async () => {
    put('web');
    put('x', { metadata: { name: 'x', namespace: 'other' } });
    expect(names(await list('', '/api/v1/namespaces/other/services'))).toEqual(['x']);
  });

  it('what is not served is no Status', async () => {
    server.denied.set('servicecidrs', 404);
    for (const path of ['/api/v1/pods', '/apis/networking.k8s.io/v1/servicecidrs', '/apis/x/v1/services']) {
      const { code, text, headers } = await get(`${server.url}${path}`);
      expect([code, text, headers['content-type']]).toEqual([
        404,
        '404 page not found\n',
        'text/plain; charset=utf-8',
      ]);
    }
  });

  it('what is forbidden says for whom', async () => {
    server.denied.set('endpointslices', 403);
    const { code, text } = await get(`${server.url}${SLICES}?watch=true`);
    expect(code).toBe(403);
    expect(JSON.parse(text)).toMatchObject({
      reason: 'Forbidden',
      message: expect.stringContaining(
        'cannot watch resource "endpointslices" in API group "discovery.k8s.io"',
      ) as unknown,
    });
  });

  it('nothing can be written', async () => {
    expect((await get(`${server.url}${SERVICES}`, { method: 'POST' })).code).toBe(405);
  });

  it.each([
    ['Bearer good', 200],
    ['bearer good', 200],
    ['Bearer bad', 401],
    ['Basic good', 401],
    ['', 401],
  ])('authorization "%s" gives %i', async (authorization, expected) => {
    server.tokens.add('good');
    const { code, text } = await get(`${server.url}${SERVICES}`, { headers: { authorization } });
    expect(code).toBe(expected);
    if (code === 401)
      expect(JSON.parse(text)).toMatchObject({ reason: 'Unauthorized', message: 'Unauthorized' });
  });
});

describe('compression', () => {
  const headers = { 'accept-encoding': 'gzip' };

  it('comes to great lists when it is asked for', async () => {
    fillStore(server.store, { count: 300 });
    const packed = await get(`${server.url}${SLICES}`, { headers });
    const plain = await get(`${server.url}${SLICES}`);
    expect([packed.headers['content-encoding'], plain.headers['content-encoding']]).toEqual([
      'gzip',
      undefined,
    ]);
    expect(packed.text).toBe(plain.text);
    expect(packed.bytes.length).toBeLessThan(plain.bytes.length / 5);
    expect(JSON.parse(plain.text).items).toHaveLength(300);
  });

  it('does not come to small ones', async () => {
    put('web');
    expect((await get(`${server.url}${SERVICES}`, { headers })).headers['content-encoding']).toBe(undefined);
  });
});

describe('the record', () => {
  it('holds what came', async () => {
    await get(`${server.url}${SERVICES}?limit=5`, {
      headers: { 'user-agent': 'tester', 'accept-encoding': 'gzip' },
    });
    await get(`${server.url}/api/v1/pods`);
    expect(server.log.requests[0]).toMatchObject({
      method: 'GET',
      path: SERVICES,
      verb: 'list',
      resource: 'services',
      userAgent: 'tester',
      acceptEncoding: 'gzip',
      connection: 1,
      code: 200,
    });
    expect(server.log.requests[0]?.query.get('limit')).toBe('5');
    expect(server.log.requests[1]).toMatchObject({ verb: 'other', resource: null, connection: 2, code: 404 });
    expect([
      server.count(),
      server.count('list'),
      server.count('list', 'nodes'),
      server.count('watch'),
    ]).toEqual([2, 1, 0, 0]);
  });

  it('knows the busiest time', () => {
    server.log.requests = [0, 10, 20, 1000, 1001].map((atMs) => ({ atMs }) as never);
    expect([10, 11, 21, 5000].map((windowMs) => server.log.busiest(windowMs))).toEqual([2, 2, 3, 5]);
  });
});

it('objects that no server would have are served as they are', async () => {
  for (const json of ['null', '{}', '7', '{"metadata":null}'])
    server.store.putText('services', `x/${json}`, json);
  expect((await list()).items).toEqual([7, null, { metadata: null }, {}]);
});

it('huge objects are served whole', async () => {
  server.store.put('services', makeService(1, { annotations: { huge: 'ü'.repeat(1 << 20) } }));
  expect((await list()).items[0].metadata.annotations.huge).toHaveLength(1 << 20);
});
