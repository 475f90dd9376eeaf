// labelSelector and fieldSelector, as far as clients of a service proxy use them: existence, (in)equality, and, of labels, sets.
// Source: k8s.io/apimachinery pkg/labels and pkg/fields.

import type { ApiResource } from './api-resources.ts';

/** What selectors look at. */
export interface Selectable {
  readonly labels: Readonly<Record<string, string>>;
  readonly fields: Readonly<Record<string, string>>;
}

export type Selector = (object: Selectable) => boolean;

/** A selector that cannot be read; the server answers 400 with the message. */
export class SelectorError extends Error {}

const LABEL_SET = /^(\S+)\s+(in|notin)\s+\(([^)]*)\)$/;
const COMPARISON = /^([^=!]+?)\s*(==|=|!=)\s*(.*)$/;

/** True for objects that both parameters let through; null and '' let all through. */
export function parseSelectors(
  resource: ApiResource,
  labels: string | null,
  fields: string | null,
): Selector {
  const all = [...parseLabels(labels ?? ''), ...parseFields(resource, fields ?? '')];
  return (object) => all.every((selector) => selector(object));
}

function parseLabels(text: string): Selector[] {
  // Commas inside of a set do not separate.
  const parts = text === '' ? [] : text.split(/,(?![^(]*\))/).map((part) => part.trim());
  return parts.map((part): Selector => {
    const set = LABEL_SET.exec(part);
    if (set !== null) {
      const values = (set[3] ?? '').split(',').map((value) => value.trim());
      const isIn = (value: string | undefined): boolean => value !== undefined && values.includes(value);
      return ({ labels }) => isIn(labels[set[1] ?? '']) === (set[2] === 'in');
    }
    const comparison = COMPARISON.exec(part);
    if (comparison !== null) {
      const [, key = '', operator, value] = comparison;
      return ({ labels }) => (labels[key] === value) === (operator !== '!=');
    }
    if (!/^!?[A-Za-z0-9./_-]+$/.test(part)) throw new SelectorError(`unable to parse requirement: ${part}`);
    if (part.startsWith('!')) return ({ labels }) => labels[part.slice(1)] === undefined;
    return ({ labels }) => labels[part] !== undefined;
  });
}

function parseFields(resource: ApiResource, text: string): Selector[] {
  return text
    .split(',')
    .filter((part) => part !== '')
    .map((part): Selector => {
      const [, key = '', operator, value] = COMPARISON.exec(part) ?? [];
      if (operator === undefined) throw new SelectorError(`invalid field selector: ${part}`);
      if (key !== 'metadata.name' && key !== 'metadata.namespace' && resource.fields[key] === undefined)
        throw new SelectorError(`field label not supported: ${key}`);
      return ({ fields }) => (fields[key] === value) === (operator !== '!=');
    });
}
