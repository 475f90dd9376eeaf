// Credentials from an exec plugin, kept until they expire or are rejected. A plugin that fails, or whose credentials are refused, is not run
// in a loop: pauses double from one second to half a minute. What it is told about the cluster is what client-go tells it.
// Source: KEP-541; k8s.io/client-go/plugin/pkg/client/auth/exec/exec.go.

import { PointsmanError } from '../model/errors.ts';
import { parseExecCredential, type ExecCredential } from './exec-credential-parse.ts';
import { DEFAULT_EXEC_LIMITS, runExecPlugin, type ExecLimits } from './exec-credential-run.ts';
import { credentialError } from './kubeconfig-problem.ts';
import type { ClusterEntry, ExecEntry } from './kubeconfig-user.ts';
import type { CredentialClock } from './token-file.ts';

/** What a plugin needs besides its entry. */
export interface ExecOptions {
  /** The entries of `exec.env` are added. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly clock: CredentialClock;
  readonly limits?: ExecLimits;
}

const FIRST_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 30_000;
/** Renewed this early, or at a tenth of its life if that is shorter. */
const LEEWAY_MS = 10_000;
/** A credential that went unrefused for so long was good. */
const PROVEN_MS = 60_000;

/** One plugin and what it gave last. Not for calls at the same time: the caller shares one (see kubeconfig-source.ts). */
export class ExecCredentials {
  private readonly exec: ExecEntry;
  private readonly options: ExecOptions;
  private good: { readonly credential: ExecCredential; readonly renewAtMs: number } | null = null;
  private isRejected = false;
  private lastError: PointsmanError | null = null;
  /** Runs in a row that failed or whose credentials were refused. */
  private strikes = 0;
  private lastEndMs = Number.NEGATIVE_INFINITY;

  constructor(exec: ExecEntry, options: ExecOptions) {
    this.exec = exec;
    this.options = options;
  }

  /**
   * The credentials, from a new run when those at hand are rejected, expired or about to. `cluster`: for plugins that want to know; `ca`:
   * its authorities. While a pause lasts, what is at hand and not expired, else the error of the last run. Rejects with
   * CREDENTIALS_FAILED, or with the reason of `signal`.
   */
  async get(cluster: ClusterEntry, ca: string | null, signal: AbortSignal): Promise<ExecCredential> {
    const { clock } = this.options;
    const isFresh = this.good !== null && !this.isRejected && clock.dateMs() < this.good.renewAtMs;
    if (this.good !== null && isFresh) return this.good.credential;
    if (clock.monotonicMs() >= this.lastEndMs + this.pauseMs()) await this.run(cluster, ca, signal);
    if (this.good !== null && clock.dateMs() < this.good.credential.expiresAtMs) {
      if (!this.isRejected || this.lastError === null) return this.good.credential;
    }
    throw (
      this.lastError ??
      credentialError(
        'CREDENTIALS_FAILED',
        this.exec.origin,
        'the credential of the exec plugin has expired, and after its failures the plugin is not run again yet',
        'see why its credentials live so short',
      )
    );
  }

  /** Why the last run gave nothing; null: it did. */
  get kept(): PointsmanError | null {
    return this.lastError;
  }

  /** What was given last was refused: the next `get` runs the plugin again, after a pause when that is not the first time. */
  reject(): void {
    if (this.isRejected) return;
    this.isRejected = true;
    if (!this.isProven()) this.strikes++;
  }

  private isProven(): boolean {
    return this.options.clock.monotonicMs() - this.lastEndMs > PROVEN_MS;
  }

  private pauseMs(): number {
    return this.strikes === 0 ? 0 : Math.min(FIRST_PAUSE_MS * 2 ** (this.strikes - 1), MAX_PAUSE_MS);
  }

  private async run(cluster: ClusterEntry, ca: string | null, signal: AbortSignal): Promise<void> {
    const { clock } = this.options;
    if (this.isProven()) this.strikes = 0;
    try {
      const env = pluginEnvironment(this.exec, this.options.env, cluster, ca);
      const output = await runExecPlugin(this.exec, env, signal, this.options.limits ?? DEFAULT_EXEC_LIMITS);
      const nowMs = clock.dateMs();
      const credential = parseExecCredential(output, this.exec, nowMs);
      const leewayMs = Math.min(LEEWAY_MS, (credential.expiresAtMs - nowMs) / 10);
      this.good = { credential, renewAtMs: credential.expiresAtMs - leewayMs };
      this.isRejected = false;
      this.lastError = null;
      // Strikes stay until the credential has proven itself: a plugin may give the same refused token again and again.
    } catch (error) {
      // Whoever aborted knows; the plugin is not to blame.
      signal.throwIfAborted();
      if (!(error instanceof PointsmanError)) throw error;
      this.lastError = error;
      this.strikes++;
    }
    this.lastEndMs = clock.monotonicMs();
  }
}

/** The environment of a plugin. Exported for its test. */
export function pluginEnvironment(
  exec: ExecEntry,
  env: Readonly<Record<string, string | undefined>>,
  cluster: ClusterEntry,
  ca: string | null,
): Record<string, string | undefined> {
  const info = {
    kind: 'ExecCredential',
    apiVersion: exec.apiVersion,
    spec: {
      ...(exec.provideClusterInfo ? { cluster: clusterInfo(cluster, ca) } : {}),
      interactive: false,
    },
  };
  const result: Record<string, string | undefined> = { ...env };
  for (const { name, value } of exec.env) result[name] = value;
  result['KUBERNETES_EXEC_INFO'] = JSON.stringify(info);
  return result;
}

function clusterInfo(cluster: ClusterEntry, ca: string | null): Record<string, unknown> {
  return {
    server: cluster.server.href.replace(/\/$/, ''),
    ...(cluster.serverName === null ? {} : { 'tls-server-name': cluster.serverName }),
    ...(cluster.insecureSkipVerify ? { 'insecure-skip-tls-verify': true } : {}),
    ...(ca === null ? {} : { 'certificate-authority-data': Buffer.from(ca).toString('base64') }),
    ...(cluster.proxy === null ? {} : { 'proxy-url': cluster.proxy.href.replace(/\/$/, '') }),
    config: cluster.execConfig ?? null,
  };
}
