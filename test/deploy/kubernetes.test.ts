// deploy/kubernetes: valid by Kubernetes' schemas without a field too many, and in agreement with the program: rights, ports, flags, files.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ENDPOINT_SLICES, nodeNamed, SERVICES } from '../../src/cluster/api-kinds.ts';
import { parseKubeconfig } from '../../src/cluster/kubeconfig-parse.ts';
import { defaultConfig, parseConfig } from '../../src/config/load.ts';
import { parseObjects, readObjects, readText, ROOT, theOne, type ManifestObject } from './objects.ts';
import { flagNames, PROXY_FLAGS } from './proxy-flags.ts';
import { schemaMistakes } from './schema.ts';

const FOLDER = 'deploy/kubernetes';
/** Where kubelet puts the token of the pod's service account. */
const TOKEN_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/token';
const VARIANTS = ['privileged', 'minimal-capabilities'] as const;
const FILES = readdirSync(join(ROOT, FOLDER), { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.yaml') && !file.endsWith('kustomization.yaml'))
  .map((file) => `${FOLDER}/${file}`);

interface Container {
  readonly name: string;
  readonly image: string;
  readonly command: readonly string[];
  readonly securityContext: Record<string, unknown>;
  readonly livenessProbe?: {
    readonly httpGet: { readonly host: string; readonly port: number; readonly path: string };
  };
  readonly readinessProbe?: { readonly httpGet: { readonly port: number; readonly path: string } };
  readonly volumeMounts?: readonly {
    readonly name: string;
    readonly mountPath: string;
    readonly readOnly?: boolean;
  }[];
}
interface DaemonSet extends ManifestObject {
  readonly spec: {
    readonly selector: { readonly matchLabels: Record<string, string> };
    readonly template: {
      readonly metadata: { readonly labels: Record<string, string> };
      readonly spec: {
        initContainers?: readonly Container[];
        containers: Container[];
        readonly volumes: readonly { readonly name: string }[];
        readonly serviceAccountName?: string;
      };
    };
  };
}

const daemonSet = (variant: string): DaemonSet =>
  theOne(readObjects(`${FOLDER}/${variant}/daemon-set.yaml`), 'DaemonSet') as DaemonSet;
const data = (
  theOne(readObjects(`${FOLDER}/base/config-map.yaml`), 'ConfigMap') as unknown as {
    readonly data: Readonly<Record<string, string>>;
  }
).data;
const configText = data['config.conf'] ?? '';
const agentOf = ({ spec }: DaemonSet): Container => spec.template.spec.containers[0] as Container;

describe('objects', () => {
  it.each(FILES)('%s is valid', (file) => {
    const objects = readObjects(file);
    expect(objects.length).toBeGreaterThan(0);
    for (const object of objects) expect([object.kind, ...schemaMistakes(object)]).toEqual([object.kind]);
  });

  it.each([
    [
      'a field that is unknown',
      (agent: Container) => Object.assign(agent, { volumeMount: [] }),
      /volumeMount: unknown field/,
    ],
    ['a wrong type', (agent: Container) => Object.assign(agent, { image: 3 }), /image must be string/],
  ])('the check finds %s', (_, spoil, mistake) => {
    const spoiled = daemonSet('privileged');
    spoil(agentOf(spoiled));
    expect(schemaMistakes(spoiled).join('\n')).toMatch(mistake);
  });

  it('none is called kube-proxy, and all are told from it by their label', () => {
    for (const object of FILES.flatMap(readObjects)) {
      expect(object.metadata.name).toMatch(/^pointsman(-|$)/);
      expect(object.metadata.labels?.['k8s-app']).toBe(object.metadata.name);
    }
  });

  it.each([...VARIANTS, 'clean-up'])('%s: selector, mounts and the service account fit', (variant) => {
    const { spec } = daemonSet(variant);
    expect(spec.selector.matchLabels).toEqual(spec.template.metadata.labels);
    const { containers, initContainers = [], volumes, serviceAccountName } = spec.template.spec;
    const mounted = [...initContainers, ...containers].flatMap(({ volumeMounts = [] }) => volumeMounts);
    expect(new Set(mounted.map(({ name }) => name))).toEqual(new Set(volumes.map(({ name }) => name)));
    if (variant === 'clean-up') return;
    expect(serviceAccountName).toBe(
      theOne(readObjects(`${FOLDER}/base/rbac.yaml`), 'ServiceAccount').metadata.name,
    );
  });
});

describe('kustomizations', () => {
  it.each(['.', 'base', ...VARIANTS, 'clean-up'])('%s takes all that is beside it', (folder) => {
    const [kustomization] = parseObjects(readText(`${FOLDER}/${folder}/kustomization.yaml`), folder);
    const resources = (kustomization as unknown as { readonly resources: readonly string[] }).resources;
    for (const resource of resources)
      expect(existsSync(join(ROOT, FOLDER, folder, resource)), resource).toBe(true);
    const beside = readdirSync(join(ROOT, FOLDER, folder)).filter((file) =>
      /(?<!kustomization)\.yaml$/.test(file),
    );
    expect(resources.filter((resource) => resource.endsWith('.yaml')).sort()).toEqual(beside.sort());
  });

  it('the quick start gives every container its image', () => {
    const [kustomization] = parseObjects(readText(`${FOLDER}/kustomization.yaml`), 'kustomization.yaml');
    const { images } = kustomization as unknown as { readonly images: readonly { readonly name: string }[] };
    const named = [...VARIANTS, 'clean-up'].flatMap((variant) => {
      const { containers, initContainers = [] } = daemonSet(variant).spec.template.spec;
      return [...initContainers, ...containers].map(({ image }) => image);
    });
    expect(new Set(named)).toEqual(new Set(images.map(({ name }) => name)));
  });
});

describe('rights', () => {
  /** "group resource verb", as the agent's requests need them. */
  const ASKED = [SERVICES, ENDPOINT_SLICES, nodeNamed('n')].flatMap(({ path }) => {
    const [, group = '', resource] = /^\/apis?(?:\/([a-z0-9.]+))?\/v1\/([a-z]+)$/.exec(path) ?? [];
    return ['list', 'watch'].map((verb) => `${group} ${resource} ${verb}`);
  });
  const EVENTS = ['create', 'patch', 'update'].map((verb) => `events.k8s.io events ${verb}`);
  /** What kube-proxy has and the agent does not ask for yet: with it, an update that does needs no new role. */
  const SPARE = [' nodes get', 'networking.k8s.io servicecidrs list', 'networking.k8s.io servicecidrs watch'];

  it('are those that the agent asks for, and no others', () => {
    const { rules } = theOne(readObjects(`${FOLDER}/base/rbac.yaml`), 'ClusterRole') as unknown as {
      readonly rules: readonly Record<'apiGroups' | 'resources' | 'verbs', readonly string[]>[];
    };
    const granted = rules.flatMap(({ apiGroups, resources, verbs }) =>
      apiGroups.flatMap((group) =>
        resources.flatMap((resource) => verbs.map((verb) => `${group} ${resource} ${verb}`)),
      ),
    );
    expect(granted.sort()).toEqual([...ASKED, ...EVENTS, ...SPARE].sort());
  });
});

describe('configuration', () => {
  it('is read without a warning and has the default ports', () => {
    const { config, warnings } = parseConfig(configText, 'config.conf');
    expect(warnings).toEqual([]);
    const { healthzBindAddress, metricsBindAddress } = defaultConfig();
    expect([config.healthzBindAddress, config.metricsBindAddress]).toEqual([
      healthzBindAddress,
      metricsBindAddress,
    ]);
    expect(config.mode).toBe('ipvs');
  });

  it('names a kubeconfig that is beside it and that can be read', () => {
    const { config } = parseConfig(configText, 'config.conf');
    const mount = agentOf(daemonSet('privileged')).volumeMounts?.find(
      ({ name }) => name === 'config',
    )?.mountPath;
    const [folder, file = ''] = config.clientConnection.kubeconfig.split(/\/(?=[^/]*$)/);
    expect(folder).toBe(mount);
    const { cluster, user } = parseKubeconfig([{ file, bytes: Buffer.from(data[file] ?? '') }], {
      context: null,
      master: null,
    });
    expect([cluster.server.href, user.tokenFile?.path]).toEqual([
      'https://control-plane.example:6443/',
      TOKEN_FILE,
    ]);
  });
});

describe.each(VARIANTS)('%s', (variant) => {
  const agent = agentOf(daemonSet(variant));

  it('is probed where it listens', () => {
    const { healthzBindAddress, metricsBindAddress } = parseConfig(configText, 'config.conf').config;
    expect(agent.readinessProbe?.httpGet).toEqual({ port: healthzBindAddress?.port, path: '/livez' });
    expect(agent.livenessProbe?.httpGet).toEqual({
      host: metricsBindAddress.address,
      port: metricsBindAddress.port,
      path: '/healthz',
    });
  });

  it('is called with flags that there are, as kubeadm calls kube-proxy', () => {
    const { containers, initContainers = [] } = daemonSet(variant).spec.template.spec;
    for (const { command } of [...initContainers, ...containers]) {
      expect(command.slice(0, 3)).toEqual([
        '/usr/local/bin/kube-proxy',
        '--config=/var/lib/kube-proxy/config.conf',
        '--hostname-override=$(NODE_NAME)',
      ]);
      for (const flag of flagNames(command)) expect(PROXY_FLAGS).toContain(flag);
    }
  });
});

describe('minimal capabilities', () => {
  it('differs from the privileged variant by its init container and what the agent may do', () => {
    const minimal = daemonSet('minimal-capabilities');
    const pod = minimal.spec.template.spec;
    const [init] = pod.initContainers ?? [];
    const agent = agentOf(minimal);
    const { securityContext, volumeMounts } = agentOf(daemonSet('privileged'));
    expect(init?.securityContext).toEqual({ privileged: true });
    expect(init?.command).toEqual([...agent.command, '--init-only']);
    expect(init?.volumeMounts).toEqual(volumeMounts);
    expect(agent.securityContext).toMatchObject({
      privileged: false,
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'], add: ['NET_ADMIN', 'NET_RAW'] },
    });
    delete pod.initContainers;
    pod.containers = [{ ...agent, securityContext }];
    expect(minimal).toEqual(daemonSet('privileged'));
  });
});
