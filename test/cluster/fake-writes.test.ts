// What the fake API server makes of writes: what is given, what is kept, what is refused and how, as a client of the real one knows it.

import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FakeApiServer } from './fake-api-server.ts';

const NAMESPACES = '/api/v1/namespaces';
const SERVICES = `${NAMESPACES}/mine/services`;
const SLICES = '/apis/discovery.k8s.io/v1/namespaces/mine/endpointslices';
const PORTS = [{ port: 80 }];

let server: FakeApiServer;
beforeEach(async () => {
  server = await FakeApiServer.start();
  await send('POST', NAMESPACES, namespaceOf('mine'));
});
afterEach(() => server.close());

async function send(method: string, path: string, body?: unknown): Promise<{ code: number; object: any }> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const init = body === undefined ? { method } : { method, body: text };
  const answer = await fetch(`${server.url}${path}`, init);
  const said = await answer.text();
  return { code: answer.status, object: said.startsWith('{') ? JSON.parse(said) : said };
}

function namespaceOf(name: string): object {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
}

function serviceOf(name: string, spec: object = { ports: PORTS }, metadata: object = {}): object {
  return { apiVersion: 'v1', kind: 'Service', metadata: { name, ...metadata }, spec };
}

function sliceOf(name: string, addressType: unknown, addresses: readonly string[] = []): object {
  const endpoints = addresses.map((address) => ({ addresses: [address] }));
  return {
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name },
    addressType,
    endpoints,
  };
}

const EVENTS = '/apis/events.k8s.io/v1/namespaces/default/events';
const MINE_EVENTS = '/apis/events.k8s.io/v1/namespaces/mine/events';

function eventOf(changed: object = {}): object {
  return {
    apiVersion: 'events.k8s.io/v1',
    kind: 'Event',
    metadata: { name: 'node1.18e9f7c5b1b0d94c' },
    eventTime: '2026-11-21T05:19:14.945507Z',
    reportingController: 'kube-proxy',
    reportingInstance: 'kube-proxy-node1',
    action: 'StartKubeProxy',
    reason: 'Starting',
    regarding: { kind: 'Node', name: 'node1', apiVersion: 'v1' },
    type: 'Normal',
    ...changed,
  };
}

describe('an Event', () => {
  it('is kept as it is given, with what the API fills in', async () => {
    const { code, object } = await send('POST', EVENTS, eventOf({ note: 'é'.repeat(512) }));
    expect(code).toBe(201);
    expect(object).toMatchObject({
      ...eventOf({ note: 'é'.repeat(512), metadata: { namespace: 'default' } }),
      deprecatedSource: {},
      deprecatedFirstTimestamp: null,
    });
    expect((await send('GET', `${EVENTS}/node1.18e9f7c5b1b0d94c`)).object).toEqual(object);
    expect((await send('GET', '/apis/events.k8s.io/v1/events')).object.items).toHaveLength(1);
  });

  it('of an object in a namespace is in the same one, and goes with it', async () => {
    const regarding = { kind: 'Service', namespace: 'mine', name: 'web', apiVersion: 'v1' };
    expect((await send('POST', MINE_EVENTS, eventOf({ regarding }))).code).toBe(201);
    await send('DELETE', `${NAMESPACES}/mine`);
    await server.until(() => server.store.entries('events').length === 0);
  });

  it.each<[string, number, string, object]>([
    ['no time', 422, EVENTS, { eventTime: undefined }],
    ['a time without microseconds', 422, EVENTS, { eventTime: '2026-11-21T05:19:14Z' }],
    ['a time that is none', 422, EVENTS, { eventTime: '2026-13-21T05:19:14.945507Z' }],
    ['no controller', 422, EVENTS, { reportingController: undefined }],
    ['a controller that is no name', 422, EVENTS, { reportingController: 'kube proxy' }],
    ['no instance', 422, EVENTS, { reportingInstance: '' }],
    ['a long instance', 422, EVENTS, { reportingInstance: 'x'.repeat(129) }],
    ['no action', 422, EVENTS, { action: undefined }],
    ['a long action', 422, EVENTS, { action: 'x'.repeat(129) }],
    ['no reason', 422, EVENTS, { reason: '' }],
    ['a long reason', 422, EVENTS, { reason: 'x'.repeat(129) }],
    ['a long note, in bytes', 422, EVENTS, { note: `${'é'.repeat(512)}x` }],
    ['no type', 422, EVENTS, { type: undefined }],
    ['a type of its own', 422, EVENTS, { type: 'Error' }],
    ['a series of one', 422, EVENTS, { series: { count: 1 } }],
    ['an old time', 422, EVENTS, { deprecatedFirstTimestamp: '2026-11-21T05:19:14Z' }],
    ['an old count', 422, EVENTS, { deprecatedCount: 1 }],
    ['a Node in some namespace', 422, MINE_EVENTS, {}],
    ['another namespace', 422, EVENTS, { regarding: { kind: 'Service', namespace: 'mine', name: 'web' } }],
    ['another version', 400, EVENTS, { apiVersion: 'v1' }],
    ['no name', 422, EVENTS, { metadata: {} }],
    [
      'a namespace that is not there',
      404,
      '/apis/events.k8s.io/v1/namespaces/no/events',
      { regarding: { kind: 'Service', namespace: 'no', name: 'web' } },
    ],
  ])('with %s is refused: %i', async (_what, code, path, changed) => {
    const version = server.store.version;
    expect(await send('POST', path, eventOf(changed))).toMatchObject({ code, object: { kind: 'Status' } });
    expect(server.store.version).toBe(version);
  });

  it('is not there twice, and is not changed', async () => {
    await send('POST', EVENTS, eventOf());
    expect(await send('POST', EVENTS, eventOf())).toMatchObject({ object: { reason: 'AlreadyExists' } });
    expect((await send('PUT', `${EVENTS}/node1.18e9f7c5b1b0d94c`, eventOf())).code).toBe(405);
  });
});

describe('a Service', () => {
  it('gets addresses and node ports of its own, and what the API fills in', async () => {
    const web = await send('POST', SERVICES, serviceOf('web'));
    const spec = { type: 'NodePort', ports: PORTS };
    const other = await send('POST', SERVICES, serviceOf('other', spec));
    expect(web).toMatchObject({
      code: 201,
      object: {
        kind: 'Service',
        metadata: { name: 'web', namespace: 'mine', uid: expect.any(String) as string },
        spec: {
          type: 'ClusterIP',
          ipFamilies: ['IPv4'],
          ports: [{ port: 80, targetPort: 80, protocol: 'TCP' }],
        },
      },
    });
    expect(other.object.spec.ports[0].nodePort).toBeGreaterThanOrEqual(30_000);
    expect(other.object.spec.clusterIP).not.toBe(web.object.spec.clusterIP);
    expect((await send('GET', `${SERVICES}/web`)).object).toEqual(web.object);
  });

  it('keeps its addresses, has a new version when it is written, and goes', async () => {
    const { object } = await send('POST', SERVICES, serviceOf('web'));
    const changed = { ...object, metadata: { ...object.metadata, labels: { a: 'b' } } };
    const put = await send('PUT', `${SERVICES}/web`, changed);
    expect(put.code).toBe(200);
    expect(put.object.spec.clusterIP).toBe(object.spec.clusterIP);
    expect(Number(put.object.metadata.resourceVersion)).toBeGreaterThan(
      Number(object.metadata.resourceVersion),
    );
    expect(put.object.metadata).toMatchObject({ uid: object.metadata.uid, labels: { a: 'b' } });
    expect(await send('PUT', `${SERVICES}/web`, changed)).toMatchObject({
      code: 409,
      object: { reason: 'Conflict' },
    });
    expect(await send('DELETE', `${SERVICES}/web`)).toMatchObject({
      code: 200,
      object: { status: 'Success' },
    });
    expect((await send('GET', `${SERVICES}/web`)).code).toBe(404);
  });
});

it('a namespace takes what is in it along, and nothing new comes in meanwhile', async () => {
  await send('POST', SERVICES, serviceOf('web'));
  await send('POST', SLICES, sliceOf('web-1', 'IPv4', ['192.0.2.1']));
  server.store.put('services', { metadata: { name: 'web', namespace: 'other' } });
  expect(await send('DELETE', `${NAMESPACES}/mine`)).toMatchObject({
    code: 200,
    object: { kind: 'Namespace', status: { phase: 'Terminating' } },
  });
  await server.until(() => server.store.entries('namespaces').length === 0);
  expect(server.store.entries('services').map(({ key }) => key)).toEqual(['other/web']);
  expect(server.store.entries('endpointslices')).toEqual([]);
  expect((await send('POST', SERVICES, serviceOf('web'))).code).toBe(404);
});

it('a namespace that goes is only removed once and takes nothing in', async () => {
  server.store.patch('namespaces', 'mine', (object) => void (object.metadata.deletionTimestamp = 'now'));
  expect(await send('DELETE', `${NAMESPACES}/mine`)).toMatchObject({
    code: 409,
    object: { reason: 'Conflict' },
  });
  expect((await send('POST', SERVICES, serviceOf('web'))).code).toBe(403);
});

describe('refuses', () => {
  const dual = { ports: PORTS, ipFamilyPolicy: 'RequireDualStack' };
  const otherUid = { preconditions: { uid: 'other' } };
  it.each<[string, number, string, string, unknown]>([
    ['a name that is taken', 409, 'POST', SERVICES, serviceOf('there')],
    ['a namespace that is taken', 409, 'POST', NAMESPACES, namespaceOf('mine')],
    ['a namespace that is not there', 404, 'POST', `${NAMESPACES}/no/services`, serviceOf('web')],
    ['what is not there', 404, 'PUT', `${SERVICES}/web`, serviceOf('web')],
    ['what is not there to go', 404, 'DELETE', `${SERVICES}/web`, undefined],
    ['another one of that name', 409, 'DELETE', `${SERVICES}/there`, otherUid],
    ['no name', 422, 'POST', SERVICES, { apiVersion: 'v1', kind: 'Service' }],
    ['a name that is none', 422, 'POST', SERVICES, serviceOf('Web_')],
    ['no ports', 422, 'POST', SERVICES, serviceOf('web', {})],
    [
      'two ports without names',
      422,
      'POST',
      SERVICES,
      serviceOf('web', { ports: [{ port: 1 }, { port: 2 }] }),
    ],
    ['dual stack', 422, 'POST', SERVICES, serviceOf('web', dual)],
    [
      'another address',
      422,
      'PUT',
      `${SERVICES}/there`,
      serviceOf('there', { clusterIP: '10.0.0.1', ports: PORTS }),
    ],
    ['a slice of no type', 422, 'POST', SLICES, sliceOf('s', undefined)],
    ['a slice of another type', 422, 'PUT', `${SLICES}/there`, sliceOf('there', 'IPv6')],
    ['an address of another family', 422, 'POST', SLICES, sliceOf('s', 'IPv4', ['2001:db8::1'])],
    ['another kind', 400, 'POST', SERVICES, sliceOf('s', 'IPv4')],
    ['another namespace', 400, 'POST', SERVICES, serviceOf('web', {}, { namespace: 'other' })],
    ['another name', 400, 'PUT', `${SERVICES}/there`, serviceOf('other')],
    ['no JSON', 400, 'POST', SERVICES, '{'],
    ['no object', 400, 'POST', SERVICES, '[]'],
    ['a patch', 405, 'PATCH', `${SERVICES}/there`, {}],
    ['a new object without a place', 405, 'POST', '/api/v1/services', serviceOf('web')],
    ['to remove all', 405, 'DELETE', SERVICES, undefined],
    ['a Node', 405, 'POST', '/api/v1/nodes', { apiVersion: 'v1', kind: 'Node', metadata: { name: 'n' } }],
  ])('%s: %i', async (_what, code, method, path, body) => {
    await send('POST', SERVICES, serviceOf('there'));
    await send('POST', SLICES, sliceOf('there', 'IPv4'));
    const version = server.store.version;
    expect(await send(method, path, body)).toMatchObject({ code, object: { kind: 'Status', code } });
    expect(server.store.version).toBe(version);
  });

  it.each([403, 404] as const)('what is denied: %i', async (code) => {
    server.denied.set('services', code);
    expect((await send('POST', SERVICES, serviceOf('web'))).code).toBe(code);
  });
});
