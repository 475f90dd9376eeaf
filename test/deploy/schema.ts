// Objects against Kubernetes' schemas, as the npm packages kubernetes-models and @kubernetes-models/prometheus-operator have them. Those let
// unknown fields pass, and an API server drops them in silence: here they are mistakes.

import {
  PrometheusRule,
  ServiceMonitor,
} from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1';
import { DaemonSet } from 'kubernetes-models/apps/v1';
import { ClusterRole, ClusterRoleBinding } from 'kubernetes-models/rbac.authorization.k8s.io/v1';
import { ConfigMap, Service, ServiceAccount } from 'kubernetes-models/v1';
import type { ManifestObject } from './objects.ts';

/** Of a model only its check is used: it reads every field that the schema has, which is how others are found. */
interface Model {
  readonly apiVersion: string;
  readonly kind: string;
  readonly prototype: { validate(): void };
}

const MODELS: readonly Model[] = [
  ClusterRole,
  ClusterRoleBinding,
  ConfigMap,
  DaemonSet,
  PrometheusRule,
  Service,
  ServiceAccount,
  ServiceMonitor,
];

/** What is wrong with an object, one line each: by the schema, and fields that the schema does not have. */
export function schemaMistakes(object: ManifestObject): readonly string[] {
  const model = MODELS.find(
    ({ apiVersion, kind }) => apiVersion === object.apiVersion && kind === object.kind,
  );
  if (model === undefined) return [`no schema for ${object.apiVersion} ${object.kind}`];
  const seen = new Map<object, Set<string>>();
  const mistakes: string[] = [];
  try {
    model.prototype.validate.call(watched(object, seen));
  } catch (error) {
    mistakes.push(String(error));
  }
  return [...mistakes, ...unseenFields(object, '', seen)];
}

/** The same value; `seen` learns which fields of which maps are read. Whoever walks over the keys of a map knows them all. */
function watched<T extends object>(value: T, seen: Map<object, Set<string>>): T {
  return new Proxy(value, {
    get(target, key, receiver) {
      const field: unknown = Reflect.get(target, key, receiver);
      if (typeof key === 'string') note(seen, target, key);
      return typeof field === 'object' && field !== null ? watched(field, seen) : field;
    },
    ownKeys(target) {
      for (const key of Object.keys(target)) note(seen, target, key);
      return Reflect.ownKeys(target);
    },
  });
}

function note(seen: Map<object, Set<string>>, target: object, key: string): void {
  const keys = seen.get(target) ?? new Set();
  seen.set(target, keys.add(key));
}

function unseenFields(value: unknown, path: string, seen: Map<object, Set<string>>): string[] {
  if (typeof value !== 'object' || value === null) return [];
  if (Array.isArray(value)) return value.flatMap((item, at) => unseenFields(item, `${path}/${at}`, seen));
  const known = seen.get(value) ?? new Set();
  return Object.entries(value).flatMap(([key, field]) =>
    known.has(key) ? unseenFields(field, `${path}/${key}`, seen) : [`${path}/${key}: unknown field`],
  );
}
