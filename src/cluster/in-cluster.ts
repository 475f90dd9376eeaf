// Credentials of the pod that we run in: its service account's token, which the kubelet replaces every hour, and the cluster's authority.
// Also decides for the agent which source counts: kubeconfig, --master or the pod. Source: k8s.io/client-go/rest/config.go (InClusterConfig),
// cmd/kube-proxy/app/server.go (createClient).

import { access } from 'node:fs/promises';
import { isIPv6 } from 'node:net';
import { join } from 'node:path';
import type { PointsmanError } from '../model/errors.ts';
import type { CredentialSource } from './api-access.ts';
import { AccessParts } from './kubeconfig-access.ts';
import { serverOnly, type KubeconfigChoice } from './kubeconfig-parse.ts';
import { credentialError, type Origin } from './kubeconfig-problem.ts';
import { proxyFromEnvironment } from './kubeconfig-proxy.ts';
import { RenewedSource, type AccessMaker, type MadeAccess, type SourceOptions } from './kubeconfig-source.ts';
import { parseServer } from './kubeconfig-url.ts';
import { ANONYMOUS } from './kubeconfig-user.ts';
import { openKubeconfig, type KubeconfigOptions } from './kubeconfig.ts';
import { SYSTEM_CLOCK, type CredentialClock } from './token-file.ts';

/** Where the pod's credentials are. */
export interface InClusterOptions {
  /** Wins over KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT. '' counts as absent. */
  readonly master?: string | undefined;
  /** Default: that of the process. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  /** Where the kubelet puts token and ca.crt. Default: SERVICE_ACCOUNT_FOLDER. */
  readonly folder?: string | undefined;
  readonly clock?: CredentialClock | undefined;
  readonly onKept?: SourceOptions['onKept'];
}

/** What an agent is told about the API server. */
export interface CredentialOptions
  extends Omit<KubeconfigOptions, 'paths'>, Pick<InClusterOptions, 'folder'> {
  /** clientConnection.kubeconfig; '' : none. */
  readonly kubeconfig: string;
}

/** Fixed by the kubelet's admission plugin. */
export const SERVICE_ACCOUNT_FOLDER = '/var/run/secrets/kubernetes.io/serviceaccount';

const ORIGIN: Origin = { where: 'in-cluster service account', context: { field: 'in-cluster' } };

/** The source for an agent: the kubeconfig if one is named, else the pod, perhaps with another server (--master). */
export function openCredentials(options: CredentialOptions): CredentialSource {
  const { kubeconfig, folder, ...rest } = options;
  return kubeconfig === ''
    ? openInCluster({ ...rest, folder })
    : openKubeconfig({ ...rest, paths: [kubeconfig] });
}

/**
 * The credentials of the pod. With `master` outside of a pod (no token there), or with http: no credentials at all, as kube-proxy has it.
 * Nothing is read before the first `access`; its rejections are INVALID_KUBECONFIG (a file or --master) and CREDENTIALS_FAILED.
 */
export function openInCluster(options: InClusterOptions = {}): CredentialSource {
  const clock = options.clock ?? SYSTEM_CLOCK;
  return new RenewedSource(new InClusterMaker(options, clock), {
    clock,
    ...(options.onKept === undefined ? {} : { onKept: options.onKept }),
  });
}

class InClusterMaker implements AccessMaker {
  private readonly env: Readonly<Record<string, string | undefined>>;
  private readonly folder: string;
  private readonly master: string;
  private readonly clock: CredentialClock;
  private pod: AccessParts | null = null;
  private isAnonymous = false;

  constructor(options: InClusterOptions, clock: CredentialClock) {
    this.env = options.env ?? process.env;
    this.folder = options.folder ?? SERVICE_ACCOUNT_FOLDER;
    this.master = options.master ?? '';
    this.clock = clock;
  }

  get description(): string {
    if (this.isAnonymous) return 'no credentials, --master alone';
    return this.master === '' ? ORIGIN.where : `${ORIGIN.where}, server of --master`;
  }

  async make(signal: AbortSignal): Promise<MadeAccess> {
    if (this.pod === null) {
      const server = this.serverUrl();
      this.isAnonymous = this.master !== '' && (server.protocol === 'http:' || !(await this.hasToken()));
      if (this.isAnonymous) return this.parts({ contextName: '', ...serverOnly(this.master) }).make(signal);
      this.pod = this.parts(this.podChoice(server));
    }
    return this.pod.make(signal);
  }

  renew(): void {
    this.pod?.renew();
  }

  private parts(choice: KubeconfigChoice): AccessParts {
    const { env, clock } = this;
    return new AccessParts(choice, proxyFromEnvironment(choice.cluster.server, env), { env, clock });
  }

  private serverUrl(): URL {
    if (this.master !== '') return serverOnly(this.master).cluster.server;
    const host = this.env['KUBERNETES_SERVICE_HOST'] ?? '';
    const port = this.env['KUBERNETES_SERVICE_PORT'] ?? '';
    if (host === '' || port === '') {
      const name = host === '' ? 'KUBERNETES_SERVICE_HOST' : 'KUBERNETES_SERVICE_PORT';
      throw notUsable(
        `no kubeconfig is named, and this is no pod of a cluster (${name} is not set)`,
        'name one (clientConnection.kubeconfig) or a server (--master), or give facts as files (--manifests FOLDER)',
      );
    }
    const text = `https://${isIPv6(host) ? `[${host}]` : host}:${port}`;
    const server = parseServer(text, { assumeTls: true });
    if (server instanceof URL && server.pathname === '/') return server;
    const mistake = server instanceof URL ? 'the host has a slash in it' : server.message;
    throw notUsable(
      `KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT make no address: ${mistake}`,
      'correct them, or name a server (--master)',
    );
  }

  private podChoice(server: URL): KubeconfigChoice {
    return {
      contextName: '',
      cluster: {
        server,
        ca: { kind: 'file', path: join(this.folder, 'ca.crt'), origin: ORIGIN },
        insecureSkipVerify: false,
        serverName: null,
        proxy: null,
        execConfig: undefined,
      },
      user: { ...ANONYMOUS, tokenFile: { path: join(this.folder, 'token'), origin: ORIGIN } },
    };
  }

  private async hasToken(): Promise<boolean> {
    try {
      await access(join(this.folder, 'token'));
      return true;
    } catch {
      return false;
    }
  }
}

function notUsable(message: string, remedy: string): PointsmanError {
  return credentialError('CREDENTIALS_FAILED', ORIGIN, message, remedy);
}
