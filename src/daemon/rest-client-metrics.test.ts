// What is counted of requests: by a real client of a server on 127.0.0.1, and by requests told one by one.

import { afterAll, describe, expect, it } from 'vitest';
import { FakeApiServer } from '../../test/cluster/fake-api-server.ts';
import { closeAfterwards, closeAll } from '../../test/cluster/listening.ts';
import type { ApiAccess } from '../cluster/api-access.ts';
import type { ApiRequest } from '../cluster/api-client-transport.ts';
import { ApiSource } from '../cluster/api-source.ts';
import { RestClientMetrics } from './rest-client-metrics.ts';

afterAll(closeAll);

const LIST: ApiRequest = { path: '/api/v1/services', query: {}, acceptsGzip: true };
const EVENT: ApiRequest = { ...LIST, path: '/apis/events.k8s.io/v1', method: 'POST', body: {} };
const WATCH: ApiRequest = { ...LIST, query: { watch: 'true' } };
const HOST = '10.0.0.1:6443';

/** Lines of a metric: "code=200 host=h method=GET 1"; of a histogram with count and sum. */
function lines(metrics: RestClientMetrics, name: string): string[] {
  const family = metrics.collect().find((each) => each.name === `rest_client_${name}`);
  if (family === undefined) throw new Error(`no metric ${name}`);
  const text = (labels: Readonly<Record<string, string>>): string =>
    Object.entries(labels)
      .map(([label, value]) => `${label}=${value}`)
      .join(' ');
  return family.type === 'histogram'
    ? family.samples.map(({ labels, count, sum }) => `${text(labels)} ${count} ${sum}`)
    : family.samples.map(({ labels, value }) => `${text(labels)} ${value}`);
}

describe("client-go's metrics", () => {
  it('count requests by status, method and host, errors as client-go names them', () => {
    const metrics = new RestClientMetrics();
    metrics.onAnswer(LIST, HOST, 200);
    metrics.onAnswer(WATCH, HOST, 200);
    metrics.onAnswer(EVENT, HOST, 201);
    metrics.onAnswer(LIST, HOST, null);
    expect(lines(metrics, 'requests_total')).toEqual([
      `code=200 host=${HOST} method=GET 2`,
      `code=201 host=${HOST} method=POST 1`,
      `code=<error> host=${HOST} method=GET 1`,
    ]);
  });

  it('measure requests from when they were wanted, and their turns by themselves', () => {
    const metrics = new RestClientMetrics();
    metrics.onTurn(EVENT, 500);
    expect(lines(metrics, 'rate_limiter_duration_seconds')).toEqual([]);
    metrics.onAnswer(EVENT, HOST, 201);
    metrics.onEnd(EVENT, HOST, { durationMs: 250, requestBytes: 300, responseBytes: 500 });
    expect(lines(metrics, 'rate_limiter_duration_seconds')).toEqual([`host=${HOST} verb=POST 1 0.5`]);
    expect(lines(metrics, 'request_duration_seconds')).toEqual([`host=${HOST} verb=POST 1 0.75`]);
    expect(lines(metrics, 'request_size_bytes')).toEqual([`host=${HOST} verb=POST 1 300`]);
    expect(lines(metrics, 'response_size_bytes')).toEqual([`host=${HOST} verb=POST 1 500`]);
  });

  it('take the time of a watch for no latency', () => {
    const metrics = new RestClientMetrics();
    metrics.onTurn(WATCH, 0);
    metrics.onAnswer(WATCH, HOST, 200);
    metrics.onEnd(WATCH, HOST, { durationMs: 500_000, requestBytes: 0, responseBytes: 1 << 20 });
    for (const name of ['request_duration_seconds', 'request_size_bytes', 'response_size_bytes'])
      expect(lines(metrics, name), name).toEqual([]);
  });

  it('hear of every request of a source, refused ones as well', async () => {
    const server = await FakeApiServer.start();
    closeAfterwards(() => void server.close());
    server.streamingLists = 'refused';
    server.misbehave({ resource: 'services', verb: 'list' }, { kind: 'refuse', code: 503 });
    const metrics = new RestClientMetrics();
    const access: ApiAccess = {
      ...{ server: new URL(server.url), proxy: null, authorization: null, headers: {} },
      tls: { ca: null, serverName: null, insecureSkipVerify: false, client: null },
    };
    const source = new ApiSource({
      credentials: { description: 'those of a test', access: async () => access, reject: () => {} },
      ...{ nodeName: 'node1', userAgent: 'pointsman/test', qps: -1, burst: 0, onEvents: () => {} },
      observer: metrics,
      random: () => 0,
    });
    closeAfterwards(() => void source.close());
    source.start();
    const { host } = access.server;
    await expect
      .poll(() => lines(metrics, 'requests_total'), { timeout: 20_000 })
      .toContain(`code=503 host=${host} method=GET 1`);
    await server.until(() => server.watches('endpointslices').length === 1);
    await expect
      .poll(() => lines(metrics, 'request_duration_seconds')[0] ?? '', { timeout: 20_000 })
      .toMatch(new RegExp(`^host=${host} verb=GET [1-9]`));
    expect(lines(metrics, 'rate_limiter_duration_seconds')[0]).toMatch(/ verb=GET [1-9]/);
  });
});
