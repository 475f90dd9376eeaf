// Credentials from a kubeconfig: which files, when they are read again, and what they come to. What stands in them is kubeconfig-parse.ts.

import { join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { CredentialSource } from './api-access.ts';
import type { ExecLimits } from './exec-credential-run.ts';
import { AccessParts } from './kubeconfig-access.ts';
import {
  MAX_KUBECONFIG_BYTES,
  parseKubeconfig,
  serverOnly,
  type KubeconfigChoice,
  type KubeconfigSelection,
  type KubeconfigText,
} from './kubeconfig-parse.ts';
import { credentialError, kubeconfigOrigin, quoted, shownPath } from './kubeconfig-problem.ts';
import { proxyFromEnvironment } from './kubeconfig-proxy.ts';
import { RenewedSource, type AccessMaker, type MadeAccess, type SourceOptions } from './kubeconfig-source.ts';
import { readCredentialFile, Renewed, SYSTEM_CLOCK, type CredentialClock } from './token-file.ts';
import { hasCode, type PointsmanError } from '../model/errors.ts';

/** Which kubeconfig, and what of it. */
export interface KubeconfigOptions {
  /**
   * One path, which must exist; or several as KUBECONFIG has them: those that do not exist are passed over, the first that says something
   * wins. None: `master` alone.
   */
  readonly paths: readonly string[];
  /** Default: current-context. */
  readonly context?: string | undefined;
  /** Wins over the cluster's server. '' counts as absent. */
  readonly master?: string | undefined;
  /** For exec plugins and HTTPS_PROXY. Default: that of the process. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
  readonly clock?: CredentialClock | undefined;
  readonly execLimits?: ExecLimits | undefined;
  readonly onKept?: SourceOptions['onKept'];
}

/** KUBECONFIG with more files is a mistake. */
const MAX_FILES = 100;

/**
 * The credentials of a kubeconfig. Nothing is read before the first `access`. Rejections of `access` are INVALID_KUBECONFIG (the file or
 * one that it names) or CREDENTIALS_FAILED (expired, or not given by the plugin).
 */
export function openKubeconfig(options: KubeconfigOptions): CredentialSource {
  const clock = options.clock ?? SYSTEM_CLOCK;
  return new RenewedSource(new KubeconfigMaker(options, clock), {
    clock,
    ...(options.onKept === undefined ? {} : { onKept: options.onKept }),
  });
}

/** The paths that kubectl would read: those of KUBECONFIG, else ~/.kube/config; none when HOME is not set either. */
export function kubeconfigPaths(env: Readonly<Record<string, string | undefined>>): readonly string[] {
  const listed = (env['KUBECONFIG'] ?? '').split(':').filter((path) => path !== '');
  if (listed.length > 0) return [...new Set(listed)];
  const home = env['HOME'] ?? '';
  return home === '' ? [] : [join(home, '.kube', 'config')];
}

class KubeconfigMaker implements AccessMaker {
  private readonly options: KubeconfigOptions;
  private readonly selection: KubeconfigSelection;
  private readonly clock: CredentialClock;
  private readonly config: Renewed<KubeconfigChoice>;
  private texts: readonly KubeconfigText[] = [];
  private choice: KubeconfigChoice | null = null;
  private parts: { readonly choice: KubeconfigChoice; readonly parts: AccessParts } | null = null;

  constructor(options: KubeconfigOptions, clock: CredentialClock) {
    this.options = options;
    this.clock = clock;
    this.selection = {
      context: options.context === undefined || options.context === '' ? null : options.context,
      master: options.master === undefined || options.master === '' ? null : options.master,
    };
    this.config = new Renewed(() => this.readChoice(), clock);
  }

  get description(): string {
    const { context, master } = this.selection;
    if (this.options.paths.length === 0) return 'no credentials, --master alone';
    const name = context ?? this.choice?.contextName ?? '';
    const files = this.options.paths.map(shownPath).join(':');
    return `kubeconfig ${files}${name === '' ? '' : `, context ${quoted(name)}`}${master === null ? '' : ', server of --master'}`;
  }

  async make(signal: AbortSignal): Promise<MadeAccess> {
    const choice = await this.config.get();
    if (this.parts?.choice !== choice) {
      const env = this.options.env ?? process.env;
      const parts = new AccessParts(choice, proxyFromEnvironment(choice.cluster.server, env), {
        env,
        clock: this.clock,
        ...(this.options.execLimits === undefined ? {} : { limits: this.options.execLimits }),
      });
      this.parts = { choice, parts };
    }
    const made = await this.parts.parts.make(signal);
    return { ...made, kept: made.kept ?? this.config.kept };
  }

  renew(): void {
    this.config.renew();
    this.parts?.parts.renew();
  }

  /** The same object as before as long as the files say the same: what was read from other files and programs then holds on. */
  private async readChoice(): Promise<KubeconfigChoice> {
    const texts = await this.readTexts();
    if (this.choice !== null && isDeepStrictEqual(texts, this.texts)) return this.choice;
    const choice =
      texts.length === 0 && this.selection.master !== null
        ? { contextName: '', ...serverOnly(this.selection.master) }
        : parseKubeconfig(texts, this.selection);
    this.texts = texts;
    this.choice = choice;
    return choice;
  }

  private async readTexts(): Promise<readonly KubeconfigText[]> {
    const { paths } = this.options;
    if (paths.length > MAX_FILES)
      throw missing('KUBECONFIG', `it names more than ${MAX_FILES} files`, 'name fewer');
    const texts: KubeconfigText[] = [];
    let firstMissing: PointsmanError | null = null;
    for (const path of paths) {
      const file = resolve(path);
      try {
        const origin = kubeconfigOrigin(file, 0, 0, '');
        texts.push({ file, bytes: await readCredentialFile(file, MAX_KUBECONFIG_BYTES, origin, '') });
      } catch (error) {
        const isMissing = hasCode(error, 'INVALID_KUBECONFIG') && error.context['errno'] === 'ENOENT';
        if (paths.length === 1 || !isMissing) throw error;
        firstMissing ??= error;
      }
    }
    if (texts.length === 0 && firstMissing !== null) throw firstMissing;
    if (texts.length === 0 && this.selection.master === null)
      throw missing('kubeconfig', 'no file is named', 'set KUBECONFIG or --master');
    return texts;
  }
}

function missing(where: string, message: string, remedy: string): PointsmanError {
  return credentialError('INVALID_KUBECONFIG', { where, context: {} }, message, remedy);
}
