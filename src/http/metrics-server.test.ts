// The metrics server against what kube-proxy 1.36 answered where that was recorded, else against the sources of Kubernetes.

import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, test } from 'vitest';
import { FakeTimers } from '../../test/fake-timers.ts';
import { lineLog } from '../../test/line-log.ts';
import { askRaw, bodyOf, statusOf, withoutTimes } from '../../test/raw-http.ts';
import { VERSION } from '../files/version.ts';
import type { IpAddress } from '../model/ip.ts';
import type { Answerer } from './answer.ts';
import { METRICS_LIMITS, metricsAnswerer, type ShownFacts } from './metrics-server.ts';
import { TcpServer } from './tcp-server.ts';

const recorded = (name: string): string =>
  readFileSync(new URL(`../../test/golden/http/${name}`, import.meta.url), 'utf8');

const TEXT = 'Content-Type: text/plain; charset=utf-8\r\n';
const NOSNIFF = 'X-Content-Type-Options: nosniff\r\n';
const REST = 'Date: DATE\r\nContent-Length: LENGTH\r\n\r\n';
const WARNING =
  'Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility guarantees and is for debugging purposes only.\n\n';

let server: TcpServer;
let isProfiling = false;
let metrics: ShownFacts['metrics'] = () => 'a 1\n';
let config: unknown = {};
let hasZpages = true;
let levels: number[] = [];
let resets = 0;
let requests = 0;

/** By it an agent knows another one from a kube-proxy. */
const SERVER = `Server: pointsman/${VERSION}\r\n`;

const counted =
  (answerer: Answerer): Answerer =>
  (asked) => {
    requests++;
    return answerer(asked);
  };

beforeEach(async () => {
  isProfiling = false;
  metrics = () => 'a 1\n';
  hasZpages = true;
  levels = [];
  resets = 0;
  requests = 0;
  server = new TcpServer({
    ...{ title: 'Metrics server', address: { address: '127.0.0.1' as IpAddress, port: 0 } },
    ...{ onBindFailure: 'fail', limits: METRICS_LIMITS, log: lineLog().log, timers: new FakeTimers() },
    answerer: counted(
      metricsAnswerer({
        mode: () => 'ipvs',
        metrics: () => metrics(),
        slis: () => 'slis 1\n',
        resetSlis: () => void resets++,
        config: () => config,
        flags: () => (hasZpages ? { v: '2', config: '/var/lib/x\ny', 'bind-address': '' } : null),
        status: () =>
          hasZpages
            ? {
                startedAtMs: Date.UTC(2026, 10, 1, 5, 9, 7),
                nowMs: Date.UTC(2026, 10, 2, 6, 10, 9),
                ...{ runtimeVersion: 'Node.js v24.21.0', binaryVersion: '0.1.0', emulationVersion: '1.36' },
              }
            : null,
        isProfiling: () => isProfiling,
        setVerbosity: (level) => levels.push(level),
      }),
    ),
  });
  await server.start();
});
afterEach(() => server.close());

type AskOptions = NonNullable<Parameters<typeof askRaw>[2]>;
const ask = (target: string, options: AskOptions = {}): Promise<string> =>
  askRaw(server.bound!.port, target, options);

describe('/proxyMode', () => {
  it('is the mode without a newline', async () => {
    const answer = await ask('/proxyMode');
    expect(withoutTimes(answer)).toBe(`HTTP/1.1 200 OK\r\n${TEXT}${NOSNIFF}${SERVER}${REST}ipvs`);
    expect(bodyOf(answer)).toBe(recorded('proxyMode.txt'));
  });
});

describe('/configz', () => {
  it("is the configuration in Go's JSON", async () => {
    config = (JSON.parse(recorded('configz.json')) as Record<string, unknown>)['kubeproxy.config.k8s.io'];
    const answer = await ask('/configz');
    expect(bodyOf(answer)).toBe(recorded('configz.json'));
    expect(withoutTimes(answer)).toMatch(
      /^HTTP\/1\.1 200 OK\r\nContent-Type: application\/json\r\nX-Content-Type-Options: nosniff\r\nDate/,
    );
  });

  it('is harmless inside HTML, as Go writes it', async () => {
    config = { hostnameOverride: '<&>\u2028\u2029' };
    expect(bodyOf(await ask('/configz'))).toBe(
      String.raw`{"kubeproxy.config.k8s.io":{"hostnameOverride":"\u003c\u0026\u003e\u2028\u2029"}}`,
    );
  });
});

describe('/healthz', () => {
  test.each([
    ['/healthz', 'ok'],
    ['/healthz/ping', 'ok'],
    ['/healthz?verbose', '[+]ping ok\nhealthz check passed\n'],
    ['/healthz?verbose=1&exclude=ping', '[+]ping excluded: ok\nhealthz check passed\n'],
    ['/healthz?exclude=ping', 'ok'],
    [
      '/healthz?verbose&exclude=log&exclude=etcd',
      '[+]ping ok\nwarn: some health checks cannot be excluded: no matches for "etcd","log"\nhealthz check passed\n',
    ],
  ])('%s', async (target, body) => {
    const answer = await ask(target);
    expect([statusOf(answer), bodyOf(answer)]).toEqual([200, body]);
    expect(answer).toContain(TEXT);
  });
});

describe('/metrics', () => {
  it('is Prometheus text', async () => {
    expect(withoutTimes(await ask('/metrics'))).toBe(
      `HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n${REST}a 1\n`,
    );
  });

  it('is made once for all who ask while it is made, and anew for who asks later', async () => {
    const asked: ((text: string) => void)[] = [];
    metrics = () => new Promise((resolve) => asked.push(resolve));
    const answers = [ask('/metrics'), ask('/metrics'), ask('/metrics')];
    while (requests < 3 || asked.length === 0) await new Promise((resolve) => setImmediate(resolve));
    asked[0]?.('b 2\n');
    expect((await Promise.all(answers)).map(bodyOf)).toEqual(['b 2\n', 'b 2\n', 'b 2\n']);
    expect(asked).toHaveLength(1);
    metrics = () => 'c 3\n';
    expect(bodyOf(await ask('/metrics'))).toBe('c 3\n');
  });

  it('that cannot be made is a 500, and is tried again', async () => {
    metrics = () => {
      throw new Error('it broke');
    };
    const answer = await ask('/metrics');
    expect([statusOf(answer), bodyOf(answer)]).toEqual([500, 'it broke\n']);
    metrics = () => Promise.reject(new Error('later'));
    expect(bodyOf(await ask('/metrics'))).toBe('later\n');
    metrics = () => 'd 4\n';
    expect(bodyOf(await ask('/metrics'))).toBe('d 4\n');
  });

  it('/metrics/slis is its own text; DELETE resets it, and nothing else does', async () => {
    expect(bodyOf(await ask('/metrics/slis'))).toBe('slis 1\n');
    expect(bodyOf(await ask('/metrics/slis', { method: 'POST' }))).toBe('slis 1\n');
    expect(resets).toBe(0);
    expect(bodyOf(await ask('/metrics/slis', { method: 'DELETE' }))).toBe('metrics reset\n');
    expect(resets).toBe(1);
  });
});

test.each(['/healthz', '/metrics', '/metrics/slis', '/proxyMode', '/configz', '/flagz', '/statusz'])(
  '%s answers a POST like a GET, and a HEAD without a body',
  async (path) => {
    const get = withoutTimes(await ask(path));
    expect(withoutTimes(await ask(path, { method: 'POST' }))).toBe(get);
    expect(withoutTimes(await ask(path, { method: 'HEAD' }))).toBe(
      get.slice(0, get.length - bodyOf(get).length),
    );
    expect([levels, resets]).toEqual([[], 0]);
  },
);

test.each(['/', '/nope', '/healthz/log', '/metrics/', '/proxymode', '/constructor', '/debug/flags'])(
  '%s is no path',
  async (path) => {
    expect(withoutTimes(await ask(path))).toBe(
      `HTTP/1.1 404 Not Found\r\n${TEXT}${NOSNIFF}${REST}404 page not found\n`,
    );
  },
);

describe('zpages', () => {
  it('/flagz is every flag with its value, sorted, one line each', async () => {
    expect(withoutTimes(await ask('/flagz'))).toBe(
      `HTTP/1.1 200 OK\r\n${TEXT}${REST}\nkube-proxy flags\n${WARNING}bind-address=\nconfig=/var/lib/x y\nv=2\n`,
    );
  });

  it('/statusz is when it started and what it is', async () => {
    expect(bodyOf(await ask('/statusz'))).toBe(
      `\nkube-proxy statusz\n${WARNING}Started: Sun Nov  1 05:09:07 UTC 2026\nUp: 25 hr 01 min 02 sec\n` +
        'Runtime version: Node.js v24.21.0\nBinary version: 0.1.0\nEmulation version: 1.36\n' +
        'Paths: /configz /flagz /healthz /metrics /metrics/slis /proxyMode /statusz\n',
    );
  });

  test.each([
    ['*/*', 200],
    ['text/plain', 200],
    ['text/*;q=0.5', 200],
    ['application/json, text/plain; charset=UTF-8', 200],
    ['application/json;v=v1alpha1;g=config.k8s.io;as=Statusz', 406],
    ['text/html', 406],
    ['text/plain;charset=latin1', 406],
    ['text/plain;charset=utf-8;as=x', 406],
  ])('Accept: %s gives %d', async (accept, status) => {
    const answer = await ask('/statusz', { headers: `Accept: ${accept}\r\n` });
    expect(statusOf(answer)).toBe(status);
    if (status === 406) expect(bodyOf(answer)).toBe('media type not acceptable, must be: text/plain\n');
  });

  it('are no paths when their feature gates are off', async () => {
    hasZpages = false;
    expect([statusOf(await ask('/flagz')), statusOf(await ask('/statusz'))]).toEqual([404, 404]);
  });
});

describe('profiling', () => {
  const put = (body: string): Promise<string> =>
    ask('/debug/flags/v', { method: 'PUT', headers: `Content-Length: ${body.length}\r\n`, body });

  it('is not there unless it is enabled', async () => {
    expect(bodyOf(await put('4'))).toBe('404 page not found\n');
    expect(bodyOf(await ask('/debug/pprof/heap'))).toBe('404 page not found\n');
    expect(levels).toEqual([]);
  });

  it('sets the verbosity by PUT', async () => {
    isProfiling = true;
    expect(withoutTimes(await put('4'))).toBe(
      `HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n${REST}successfully set klog.logging.verbosity to 4\n`,
    );
    expect(levels).toEqual([4]);
  });

  test.each(['', 'x', '-1', '4.5', '1e3', '99999999999', '2147483648', ' 4'])('refuses %j', async (text) => {
    isProfiling = true;
    const answer = await put(text);
    expect(statusOf(answer)).toBe(400);
    expect(bodyOf(answer)).toBe(
      `failed to set klog.logging.verbosity ${JSON.stringify(text)}: it must be a whole number\n`,
    );
    expect(levels).toEqual([]);
  });

  it('reads no endless number', async () => {
    isProfiling = true;
    expect(statusOf(await put('1'.repeat(10_000)))).toBe(413);
  });

  it('changes nothing by other methods', async () => {
    isProfiling = true;
    for (const method of ['GET', 'POST', 'DELETE']) {
      const answer = await ask('/debug/flags/v', { method });
      expect([statusOf(answer), bodyOf(answer)]).toEqual([406, 'unsupported http method\n']);
    }
    expect(levels).toEqual([]);
  });

  test.each(['/debug/pprof', '/debug/pprof/', '/debug/pprof/profile?seconds=1'])(
    '%s has no Go',
    async (path) => {
      isProfiling = true;
      const answer = await ask(path);
      expect(statusOf(answer)).toBe(404);
      expect(bodyOf(answer)).toBe(
        "this kube-proxy is Pointsman, which runs on Node.js: it has none of Go's profiles\n",
      );
    },
  );

  it('leaves other paths of /debug unknown', async () => {
    isProfiling = true;
    expect(bodyOf(await ask('/debug/pprofile'))).toBe('404 page not found\n');
  });
});
