// The metrics server (metricsBindAddress): what kube-proxy answers there, for Prometheus, for scripts and for people. It only reads, with
// two exceptions that Kubernetes components have: DELETE /metrics/slis, and PUT /debug/flags/v where profiling is enabled.

import {
  errorAnswer,
  goJson,
  jsonAnswer,
  notFound,
  textAnswer,
  type Answer,
  type Answerer,
  type Asked,
} from './answer.ts';
import { VERSION } from '../files/version.ts';
import type { EngineLimits } from './http-engine.ts';
import { PROMETHEUS_CONTENT_TYPE } from './prometheus-text.ts';
import { flagz, statusz, type StatuszFacts } from './zpages.ts';

/** Few readers, large answers. */
export const METRICS_LIMITS: EngineLimits = {
  maxConnections: 64,
  requestMs: 10_000,
  // Longer than Prometheus' usual interval, so that it keeps its connection.
  idleMs: 90_000,
  answerMs: 60_000,
  maxPendingBytes: 128 << 20,
  maxAnswerBytes: 64 << 20,
};

/** What the metrics server shows. Each is asked anew at every request. */
export interface ShownFacts {
  /** The mode in force: "ipvs". */
  readonly mode: () => string;
  /** Metrics as Prometheus text. Requests that come while it is made share the result. */
  readonly metrics: () => string | Promise<string>;
  readonly slis: () => string | Promise<string>;
  readonly resetSlis: () => void;
  /** The KubeProxyConfiguration in force, with kind and apiVersion, its keys in their order. */
  readonly config: () => unknown;
  /** Names without dashes; null: no /flagz (feature gate ComponentFlagz). */
  readonly flags: () => Readonly<Record<string, string>> | null;
  /** null: no /statusz (feature gate ComponentStatusz). */
  readonly status: () => Omit<StatuszFacts, 'paths'> | null;
  /** enableProfiling. */
  readonly isProfiling: () => boolean;
  readonly setVerbosity: (level: number) => void;
}

const MAX_VERBOSITY = 2 ** 31 - 1;
const MAX_VERBOSITY_BYTES = 64;
const PATHS = ['/configz', '/flagz', '/healthz', '/metrics', '/metrics/slis', '/proxyMode', '/statusz'];

/** The answerer of the metrics server. As with Go's handlers, a path answers every method alike unless it says otherwise. */
export function metricsAnswerer(shown: ShownFacts): Answerer {
  const metrics = shared(shown.metrics);
  return (asked) => {
    switch (asked.path) {
      case '/healthz':
        return healthz(asked.query);
      case '/healthz/ping':
        return textAnswer(200, 'ok');
      case '/metrics':
        return metrics().then(prometheusAnswer);
      case '/metrics/slis':
        return slis(asked, shown);
      case '/proxyMode':
        return proxyMode(shown.mode());
      case '/configz':
        return jsonAnswer(200, goJson({ 'kubeproxy.config.k8s.io': shown.config() }));
      case '/flagz': {
        const flags = shown.flags();
        return flags === null ? notFound() : flagz(asked, flags);
      }
      case '/statusz': {
        const status = shown.status();
        return status === null ? notFound() : statusz(asked, { ...status, paths: PATHS });
      }
      default:
        return shown.isProfiling() ? debug(asked, shown) : notFound();
    }
  };
}

/** kube-proxy's answer, and whose it is: who looks for a kube-proxy beside it must not take this one for it (see daemon/rival.ts). */
function proxyMode(mode: string): Answer {
  const answer = textAnswer(200, mode, { nosniff: true });
  return { ...answer, headers: [...answer.headers, ['Server', `pointsman/${VERSION}`]] };
}

/** One check, "ping", which an answer at all is proof of. */
function healthz(query: URLSearchParams): Answer {
  const excluded = new Set(query.getAll('exclude'));
  const lines = [excluded.delete('ping') ? '[+]ping excluded: ok' : '[+]ping ok'];
  if (excluded.size > 0) {
    const names = [...excluded].sort().map((name) => JSON.stringify(name));
    lines.push(`warn: some health checks cannot be excluded: no matches for ${names.join(',')}`);
  }
  const verbose = `${lines.join('\n')}\nhealthz check passed\n`;
  return textAnswer(200, query.has('verbose') ? verbose : 'ok', { nosniff: true });
}

function prometheusAnswer(text: string | Uint8Array): Answer {
  return { status: 200, headers: [['Content-Type', PROMETHEUS_CONTENT_TYPE]], body: text };
}

async function slis({ method }: Asked, shown: ShownFacts): Promise<Answer> {
  if (method !== 'DELETE') return prometheusAnswer(await shown.slis());
  shown.resetSlis();
  return textAnswer(200, 'metrics reset\n');
}

function debug(asked: Asked, shown: ShownFacts): Answer | Promise<Answer> {
  if (asked.path === '/debug/flags/v') return setVerbosity(asked, shown);
  if (asked.path === '/debug/pprof' || asked.path.startsWith('/debug/pprof/'))
    return errorAnswer(
      404,
      "this kube-proxy is Pointsman, which runs on Node.js: it has none of Go's profiles",
    );
  return notFound();
}

async function setVerbosity({ method, readBody }: Asked, shown: ShownFacts): Promise<Answer> {
  if (method !== 'PUT') return debugText(406, 'unsupported http method');
  const text = await readBody(MAX_VERBOSITY_BYTES);
  const level = /^\d{1,10}$/.test(text) ? Number(text) : Infinity;
  if (level > MAX_VERBOSITY)
    return debugText(
      400,
      `failed to set klog.logging.verbosity ${JSON.stringify(text)}: it must be a whole number`,
    );
  shown.setVerbosity(level);
  return debugText(200, `successfully set klog.logging.verbosity to ${level}`);
}

function debugText(status: number, line: string): Answer {
  return { status, headers: [['Content-Type', 'text/plain']], body: `${line}\n` };
}

/** The bytes of `make`; whoever asks while they are made gets the same. */
function shared(make: () => string | Promise<string>): () => Promise<Uint8Array> {
  let making: Promise<Uint8Array> | null = null;
  return () => {
    making ??= Promise.resolve()
      .then(make)
      .then((text) => Buffer.from(text))
      .finally(() => {
        making = null;
      });
    return making;
  };
}
