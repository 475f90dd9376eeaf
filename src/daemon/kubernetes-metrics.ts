// The two metrics by which every part of Kubernetes says what it is: its version, and its feature gates. Pure.

import { gauge, type MetricFamily } from './metric-families.ts';

/** The kube-proxy whose behaviour, configuration and metrics are kept. */
export const KUBERNETES_VERSION = { major: '1', minor: '36', full: 'v1.36.2' } as const;

/** Gates that change something here, with their stage in Kubernetes ('' is stable) and what holds where nothing is said. */
const GATES = [{ name: 'AllowServiceExternalIPs', stage: '', isEnabled: true }] as const;

/** What is to be said. */
export interface KubernetesFacts {
  /** Of this program: '0.1.0'. */
  readonly version: string;
  /** 'v24.21.0' */
  readonly nodeVersion: string;
  /** process.arch: 'x64' */
  readonly arch: string;
  readonly featureGates: Readonly<Record<string, boolean>>;
}

/** Names of architectures as Go has them, which is how Kubernetes names platforms. */
const GO_ARCH: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/**
 * kubernetes_build_info, with our version behind the '+' as distributions write theirs, and kubernetes_feature_enabled of the gates that change
 * something here. What is not known of a build is ''.
 */
export function kubernetesMetrics({
  version,
  nodeVersion,
  arch,
  featureGates,
}: KubernetesFacts): MetricFamily[] {
  const { major, minor, full } = KUBERNETES_VERSION;
  const labels = {
    build_date: '',
    compiler: `node ${nodeVersion}`,
    git_commit: '',
    git_tree_state: '',
    git_version: `${full}+pointsman.${version}`,
    go_version: '',
    major,
    minor,
    platform: `linux/${GO_ARCH[arch] ?? arch}`,
  };
  return [
    gauge(
      'kubernetes_build_info',
      "[BETA] A metric with a constant '1' value labeled by major, minor, git version, git commit, git tree state, build date, Go version, and compiler from which Kubernetes was built, and platform on which it is running.",
      [{ labels, value: 1 }],
    ),
    gauge(
      'kubernetes_feature_enabled',
      '[BETA] This metric records the data about the stage and enablement of a k8s feature.',
      GATES.map(({ name, stage, isEnabled }) => ({
        labels: { name, stage },
        value: (featureGates[name] ?? isEnabled) ? 1 : 0,
      })),
    ),
  ];
}
