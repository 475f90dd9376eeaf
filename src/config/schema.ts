// The schema of the configuration file, made from the table of settings. Unknown fields pass, see unknown-fields.ts. Pure.

import { z } from 'zod';
import { isAbsent } from '../model/fields.ts';
import { FIELDS, isField, type Fields, type ParsedFields } from './table.ts';

/** The only one there is. */
export const API_VERSION = 'kubeproxy.config.k8s.io/v1alpha1';
/** The kind of the one object in the file. */
export const KIND = 'KubeProxyConfiguration';

function sectionSchema(fields: Fields): z.ZodType {
  const shape = Object.entries(fields).map(
    ([name, item]) => [name, isField(item) ? item.schema : sectionSchema(item)] as const,
  );
  return z.preprocess(
    (value) => (isAbsent(value) ? {} : value),
    z.looseObject(Object.fromEntries(shape), 'write a map of fields'),
  );
}

/** The whole as one schema. */
export const SCHEMA = sectionSchema(FIELDS) as z.ZodType<ParsedFields>;

/** Paths of all known fields and sections: ['ipvs'], ['ipvs', 'scheduler']. */
export function knownPaths(fields: Fields = FIELDS, prefix: readonly string[] = []): (readonly string[])[] {
  return Object.entries(fields).flatMap(([name, item]) => {
    const path = [...prefix, name];
    return isField(item) ? [path] : [path, ...knownPaths(item, path)];
  });
}
