// Which source of facts the command line and the configuration ask for, and how it is opened. No file is read here.

import { existsSync } from 'node:fs';
import type { CredentialSource } from '../cluster/api-access.ts';
import { openCredentials } from '../cluster/in-cluster.ts';
import { kubeconfigPaths, openKubeconfig } from '../cluster/kubeconfig.ts';
import type { ReplaySpeed } from '../cluster/replay.ts';
import type { Config } from '../config/config.ts';
import { PointsmanError } from '../model/errors.ts';

/** What the command line says of it; at most one of `manifests`, `replay` and (`kubeconfig`, `master`). */
export interface FactsOrigin {
  /** Folder of manifests. */
  readonly manifests?: string | undefined;
  /** A recording. */
  readonly replay?: string | undefined;
  /** Default 1: as fast as it was. */
  readonly replaySpeed?: ReplaySpeed | undefined;
  readonly kubeconfig?: string | undefined;
  /** URL of the API server; wins over the kubeconfig's. */
  readonly master?: string | undefined;
}

/** One source, with all that it needs. */
export type ChosenSource =
  | { readonly kind: 'manifests'; readonly folder: string }
  | { readonly kind: 'replay'; readonly path: string; readonly speed: ReplaySpeed }
  | { readonly kind: 'api'; readonly credentials: CredentialSource };

/** Who asks: an agent takes what the configuration file says, a person's command what kubectl would take, too. */
export type Asker = 'agent' | 'person';

/**
 * Chooses the source. The agent reads clientConnection.kubeconfig, as kube-proxy does, and --kubeconfig only where no configuration file is
 * given (`hasConfigFile`); then the pod's service account. A person's command takes --kubeconfig first, and KUBECONFIG or ~/.kube/config
 * where it runs in no pod. Throws USAGE for two sources at once, and for none. `onVoid` hears of a flag that has no effect.
 */
export function chooseSource(
  origin: FactsOrigin,
  { clientConnection }: Pick<Config, 'clientConnection'>,
  options: {
    readonly asker: Asker;
    readonly hasConfigFile: boolean;
    readonly env: Readonly<Record<string, string | undefined>>;
    readonly onVoid: (line: string) => void;
    /** Hears why credentials that worked are used on although what replaces them cannot be; null: all is well again. */
    readonly onKept?: (problem: PointsmanError | null) => void;
  },
): ChosenSource {
  const { manifests, replay, kubeconfig: flag = '', master = '' } = origin;
  refuseTwo(origin);
  if (manifests !== undefined) return { kind: 'manifests', folder: manifests };
  if (replay !== undefined) return { kind: 'replay', path: replay, speed: origin.replaySpeed ?? 1 };
  const { asker, hasConfigFile, env, onVoid } = options;
  const isVoid = asker === 'agent' && hasConfigFile && flag !== '';
  if (isVoid)
    onVoid('--kubeconfig has no effect beside --config; write clientConnection.kubeconfig into that file');
  const kubeconfig =
    flag === '' || isVoid || (asker === 'agent' && hasConfigFile) ? clientConnection.kubeconfig : flag;
  const isInPod = (env['KUBERNETES_SERVICE_HOST'] ?? '') !== '';
  const kept = options.onKept === undefined ? {} : { onKept: options.onKept };
  if (kubeconfig === '' && master === '' && !isInPod) {
    const isListed = (env['KUBECONFIG'] ?? '') !== '';
    const paths =
      asker === 'person' ? kubeconfigPaths(env).filter((path) => isListed || existsSync(path)) : [];
    if (paths.length > 0) return { kind: 'api', credentials: openKubeconfig({ paths, env, ...kept }) };
    throw new PointsmanError(
      'USAGE',
      'nothing says where Services come from: give --manifests DIR, or a kubeconfig (--kubeconfig FILE, or clientConnection.kubeconfig in --config), or --master URL, or run in a pod of the cluster',
    );
  }
  return { kind: 'api', credentials: openCredentials({ kubeconfig, master, env, ...kept }) };
}

function refuseTwo(origin: FactsOrigin): void {
  const given = (['manifests', 'replay', 'kubeconfig', 'master'] as const).filter(
    (name) => origin[name] !== undefined,
  );
  const [first, second] = given;
  if (second === undefined || first === 'kubeconfig') return;
  throw new PointsmanError('USAGE', `--${first} and --${second} are two sources of Services; give one`);
}
