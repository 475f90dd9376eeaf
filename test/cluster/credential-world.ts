// What tests of credentials share: a folder of their own, a clock that stands still, kubeconfigs out of their parts, plugins as small
// programs of the shell, and what every error must be.

import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { ApiAccess, CredentialSource } from '../../src/cluster/api-access.ts';
import { kubeconfigOrigin } from '../../src/cluster/kubeconfig-problem.ts';
import type { ExecEntry } from '../../src/cluster/kubeconfig-user.ts';
import type { CredentialClock } from '../../src/cluster/token-file.ts';
import { PointsmanError, type ErrorCode } from '../../src/model/errors.ts';

/** As kubeadm writes it for kube-proxy. */
export const KUBEADM_KUBECONFIG = `apiVersion: v1
kind: Config
clusters:
- cluster:
    certificate-authority: /var/run/secrets/kubernetes.io/serviceaccount/ca.crt
    server: https://192.0.2.10:6443
  name: default
contexts:
- context:
    cluster: default
    namespace: default
    user: default
  name: default
current-context: default
users:
- name: default
  user:
    tokenFile: /var/run/secrets/kubernetes.io/serviceaccount/token
`;

/** A clock that is moved by hand; it begins a minute from now, after every certificate that a test makes. */
export class FakeCredentialClock implements CredentialClock {
  nowMs: number;

  constructor(nowMs = Date.now() + 60_000) {
    this.nowMs = nowMs;
  }

  monotonicMs(): number {
    return this.nowMs;
  }

  dateMs(): number {
    return this.nowMs;
  }

  advance(ms: number): void {
    this.nowMs += ms;
  }
}

/** A folder that is removed by `remove`. */
export class CredentialFolder {
  readonly path = mkdtempSync(join(tmpdir(), 'pointsman-credentials-'));

  file(name: string): string {
    return join(this.path, name);
  }

  write(name: string, content: string | Uint8Array): string {
    writeFileSync(this.file(name), content);
    return this.file(name);
  }

  read(name: string): string {
    return readFileSync(this.file(name), 'utf8');
  }

  /** A plugin: a program of the shell. It is run in whatever folder the tests run in. */
  plugin(name: string, script: string): string {
    this.write(name, `#!/bin/sh\n${script}\n`);
    chmodSync(this.file(name), 0o755);
    return this.file(name);
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

/** The text of a kubeconfig with one context, "test". */
export function kubeconfigText(
  user: Readonly<Record<string, unknown>>,
  cluster: Readonly<Record<string, unknown>> = { server: 'https://192.0.2.1:6443' },
): string {
  return JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'test',
    clusters: [{ name: 'here', cluster }],
    users: [{ name: 'me', user }],
    contexts: [{ name: 'test', context: { cluster: 'here', user: 'me' } }],
  });
}

/** An ExecCredential as text. */
export function execCredential(
  status: Readonly<Record<string, unknown>>,
  apiVersion = 'client.authentication.k8s.io/v1',
): string {
  return JSON.stringify({ apiVersion, kind: 'ExecCredential', status });
}

/** An entry of a kubeconfig; runs nothing but "sh". */
export function execEntry(more: Partial<ExecEntry> = {}): ExecEntry {
  return {
    apiVersion: 'client.authentication.k8s.io/v1',
    command: 'sh',
    args: [],
    env: [],
    installHint: '',
    provideClusterInfo: false,
    origin: kubeconfigOrigin('/etc/k', 7, 5, 'users[name=me].user.exec.command'),
    ...more,
  };
}

/** Waits until `isTrue`; the test's own time limit ends it. */
export async function until(isTrue: () => boolean): Promise<void> {
  while (!isTrue()) await new Promise((resolve) => setTimeout(resolve, 5));
}

/** `access` of a source, without a way to stop it. */
export function accessOf(source: CredentialSource): Promise<ApiAccess> {
  return source.access(new AbortController().signal);
}

/** The error that a promise rejects with: a PointsmanError of one line in the agreed form, with a context that is JSON. */
export async function credentialErrorOf(promise: Promise<unknown>): Promise<PointsmanError> {
  const error: unknown = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  return expectCredentialError(error);
}

/** The error that a function throws. */
export function thrownBy(run: () => unknown): PointsmanError {
  try {
    run();
  } catch (error) {
    return expectCredentialError(error);
  }
  throw new Error('nothing was thrown');
}

const CODES: readonly ErrorCode[] = ['INVALID_KUBECONFIG', 'CREDENTIALS_FAILED'];

/** Throws unless it is an error as `CredentialSource` promises it. */
export function expectCredentialError(error: unknown): PointsmanError {
  if (!(error instanceof PointsmanError)) throw new Error(`no PointsmanError: ${String(error)}`);
  expect(CODES).toContain(error.code);
  // One line of printable ASCII: where, what, what to do.
  expect(error.message).toMatch(/^[\x20-\x7e]+: [\x20-\x7e]+; [\x20-\x7e]+$/);
  expect(error.message.length).toBeLessThan(2_000);
  expect(error.cause).toBeUndefined();
  expect(JSON.parse(JSON.stringify(error.context))).toEqual(error.context);
  return error;
}
