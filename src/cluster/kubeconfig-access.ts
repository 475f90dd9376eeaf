// From a cluster and a user to what a request needs: reads the files they name, keeps each of them while it is being replaced, and puts
// everything together. As client-go, it sends no credentials over plain http.

import type { PointsmanError } from '../model/errors.ts';
import type { ApiAccess } from './api-access.ts';
import {
  expiryProblem,
  parseAuthorities,
  parseClientPair,
  type ClientPair,
  type PemText,
} from './client-certificate.ts';
import { ExecCredentials, type ExecOptions } from './exec-credential.ts';
import type { KubeconfigChoice } from './kubeconfig-parse.ts';
import { shownPath } from './kubeconfig-problem.ts';
import type { MadeAccess } from './kubeconfig-source.ts';
import type { Material } from './kubeconfig-user.ts';
import { readCredentialFile, readTokenFile, Renewed, type CredentialClock } from './token-file.ts';

/** Bundles of every public authority have about 250 KiB. */
const MAX_PEM_BYTES = 1024 * 1024;

/** Everything behind one choice. */
export class AccessParts {
  private readonly choice: KubeconfigChoice;
  private readonly clock: CredentialClock;
  private readonly proxy: URL | null;
  private readonly ca: Renewed<string> | null;
  private readonly pair: Renewed<ClientPair> | null;
  private readonly token: Renewed<string> | null;
  private readonly exec: ExecCredentials | null;

  /** `proxy` is what counts when the cluster names none. */
  constructor(choice: KubeconfigChoice, proxy: URL | null, options: ExecOptions) {
    const { cluster, user } = choice;
    const { clock } = options;
    const isTls = cluster.server.protocol === 'https:';
    this.choice = choice;
    this.clock = clock;
    this.proxy = cluster.proxy ?? proxy;
    const { ca } = cluster;
    this.ca =
      ca === null || !isTls
        ? null
        : new Renewed(async () => parseAuthorities(await readPem(ca), clock.dateMs()), clock);
    const { client, tokenFile } = user;
    this.pair =
      client === null || !isTls
        ? null
        : new Renewed(
            async () => parseClientPair(await readPem(client.certificate), await readPem(client.key)),
            clock,
          );
    this.token =
      tokenFile === null || !isTls
        ? null
        : new Renewed(() => readTokenFile(tokenFile.path, tokenFile.origin), clock);
    const hasOther = client !== null || tokenFile !== null || user.token !== null || user.basic !== null;
    this.exec = user.exec === null || hasOther || !isTls ? null : new ExecCredentials(user.exec, options);
  }

  /** Reads what is due. Rejects with INVALID_KUBECONFIG or CREDENTIALS_FAILED. */
  async make(signal: AbortSignal): Promise<MadeAccess> {
    const { cluster, user } = this.choice;
    const ca = (await this.ca?.get()) ?? null;
    const pair = await this.usablePair();
    const token = await this.usableToken();
    const exec = (await this.exec?.get(cluster, ca, signal)) ?? null;
    const client = pair ?? exec?.client ?? null;
    const bearer = token.value ?? exec?.token ?? null;
    const isTls = cluster.server.protocol === 'https:';
    const access: ApiAccess = {
      server: cluster.server,
      proxy: this.proxy,
      tls: {
        ca,
        serverName: cluster.serverName,
        insecureSkipVerify: cluster.insecureSkipVerify,
        client: client === null ? null : { certificate: client.certificate, key: client.key },
      },
      authorization: !isTls ? null : bearer === null ? user.basic : `Bearer ${bearer}`,
      headers: isTls ? user.headers : {},
    };
    return {
      access,
      expiresAtMs: Math.min(
        pair?.notAfterMs ?? Number.POSITIVE_INFINITY,
        exec?.expiresAtMs ?? Number.POSITIVE_INFINITY,
      ),
      kept: this.ca?.kept ?? this.pair?.kept ?? token.kept ?? this.exec?.kept ?? null,
    };
  }

  renew(): void {
    for (const part of [this.ca, this.pair, this.token]) part?.renew();
    this.exec?.reject();
  }

  /** A pair that has expired is looked at again at every call: it may have been replaced just now. */
  private async usablePair(): Promise<ClientPair | null> {
    const { client } = this.choice.user;
    if (this.pair === null || client === null) return null;
    const certificate = { origin: client.certificate.origin, name: nameOf(client.certificate) };
    let pair = await this.pair.get();
    if (expiryProblem(pair, certificate, this.clock.dateMs()) !== null) {
      this.pair.renew();
      pair = await this.pair.get();
    }
    const problem = expiryProblem(pair, certificate, this.clock.dateMs());
    if (problem === null) return pair;
    this.pair.renew();
    // What stands in the way of the new one says more than the old one's date.
    throw this.pair.kept ?? problem;
  }

  /** tokenFile; `token` as long as the file cannot be read. */
  private async usableToken(): Promise<{
    readonly value: string | null;
    readonly kept: PointsmanError | null;
  }> {
    const { token } = this.choice.user;
    if (this.token === null)
      return { value: this.choice.cluster.server.protocol === 'https:' ? token : null, kept: null };
    try {
      return { value: await this.token.get(), kept: this.token.kept };
    } catch (error) {
      if (token === null) throw error;
      return { value: token, kept: error as PointsmanError };
    }
  }
}

async function readPem(material: Material): Promise<PemText> {
  const { origin } = material;
  const name = nameOf(material);
  if (material.kind === 'data') return { bytes: material.bytes, origin, name };
  return { bytes: await readCredentialFile(material.path, MAX_PEM_BYTES, origin), origin, name };
}

function nameOf(material: Material): string {
  return material.kind === 'data' ? '' : shownPath(material.path);
}
