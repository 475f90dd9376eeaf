// The health server (healthzBindAddress): /healthz and /livez with any method, as kube-proxy answers them, byte by byte.

import type { Moment, ProxyHealth } from '../daemon/proxy-health.ts';
import { jsonAnswer, notFound, type Answerer } from './answer.ts';
import type { EngineLimits } from './http-engine.ts';

/** It is open to the whole network: many connections, little time for each. */
export const HEALTH_LIMITS: EngineLimits = {
  maxConnections: 1024,
  requestMs: 10_000,
  idleMs: 60_000,
  answerMs: 10_000,
  maxPendingBytes: 8 << 20,
  maxAnswerBytes: 65_536,
};

export interface HealthAnswererOptions {
  readonly health: Pick<ProxyHealth, 'healthz' | 'livez'>;
  readonly now: () => Moment;
  /** Hears of each answer of the two paths: kube-proxy counts them by code. */
  readonly onAnswer: (path: 'healthz' | 'livez', code: 200 | 503) => void;
}

/** The answerer of the health server. */
export function healthAnswerer({ health, now, onAnswer }: HealthAnswererOptions): Answerer {
  return ({ path }) => {
    if (path !== '/healthz' && path !== '/livez') return notFound();
    const name = path === '/healthz' ? 'healthz' : 'livez';
    const { status, body } = health[name](now());
    onAnswer(name, status);
    return jsonAnswer(status, body);
  };
}
