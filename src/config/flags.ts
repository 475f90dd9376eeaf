// All flags of kube-proxy: those of the table of settings, and the few that are no setting. Pure.
// Source: kube-proxy's options and component-base's logging flags, 1.36; `pflag` for the syntax.

import type { Json, Kind } from './field-types.ts';
import { LEAVES } from './table.ts';

/** A flag of kube-proxy. */
export interface Flag {
  /** Without dashes: "ipvs-scheduler". */
  readonly name: string;
  readonly kind: Kind;
  /** The field that it sets, "ipvs.scheduler"; beside --config the one to set instead. '' for a flag that asks for an action. */
  readonly field: string;
  /** False: it has no effect when --config is given. */
  readonly isStronger: boolean;
  readonly fallback: Json;
  readonly help: string;
}

const COMMAND = { field: '', isStronger: true } as const;

/** Flags that are no field. */
const COMMAND_FLAGS: readonly Flag[] = [
  {
    ...{ ...COMMAND, name: 'config', kind: 'string', fallback: '' },
    help: 'KubeProxyConfiguration (mode: ipvs); watched. Most flags are void beside it',
  },
  {
    ...{ ...COMMAND, name: 'write-config-to', kind: 'string', fallback: '' },
    help: 'write the configuration that results into this file, and exit',
  },
  {
    ...{ ...COMMAND, name: 'cleanup', kind: 'bool', fallback: false },
    help: 'remove what Pointsman and kube-proxy left, in every mode, and exit',
  },
  {
    ...{ ...COMMAND, name: 'init-only', kind: 'bool', fallback: false },
    help: 'do only what needs all of root, and exit',
  },
  {
    ...{ ...COMMAND, name: 'master', kind: 'string', fallback: '' },
    help: 'URL of the API server, in place of the one that the kubeconfig names',
  },
  {
    ...{
      name: 'healthz-port',
      kind: 'int',
      field: 'healthzBindAddress',
      isStronger: false,
      fallback: 10_256,
    },
    help: 'deprecated: port of an address without one; 0 switches the health server off',
  },
  {
    ...{
      name: 'metrics-port',
      kind: 'int',
      field: 'metricsBindAddress',
      isStronger: false,
      fallback: 10_249,
    },
    help: 'deprecated: port of an address without one',
  },
  {
    ...{ ...COMMAND, name: 'version', kind: 'bool', fallback: false },
    help: 'print the version, and exit',
  },
];

/** Every flag, by name. */
export const FLAGS: ReadonlyMap<string, Flag> = new Map(
  [
    ...COMMAND_FLAGS,
    ...LEAVES.flatMap(({ name, field }): Flag[] =>
      field.flag === undefined
        ? []
        : [
            {
              ...{
                name: field.flag,
                kind: field.kind,
                field: name,
                fallback: field.fallback,
                help: field.help,
              },
              isStronger: field.isFlagStronger === true,
            },
          ],
    ),
  ]
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((flag) => [flag.name, flag]),
);
