// Names the fields of a configuration that do not exist, and the one that was probably meant. Unknown fields are tolerated, as in
// kube-proxy, because configurations outlive releases; but a misspelt one must not go by in silence. Pure.

import { nearestWord } from '../files/nearest.ts';
import { formatPath, type Path } from '../files/document.ts';
import { objectOf } from '../model/fields.ts';
import { knownPaths } from './schema.ts';

/** A field that does not exist. */
export interface UnknownField {
  readonly path: Path;
  /** "ipvs.scheduler"; '' when nothing is near. */
  readonly suggestion: string;
}

const KNOWN = knownPaths();
const KNOWN_TEXTS = new Set(KNOWN.map((path) => path.join('.')));
/** Fields whose content is free. */
const FREE = new Set(['featureGates', 'logging.vmodule', 'metadata']);
const MAX_REPORTED = 100;

/** The unknown fields of a configuration, in its order; those inside an unknown section each for itself. */
export function unknownFields(value: unknown, prefix: readonly string[] = []): UnknownField[] {
  const found: UnknownField[] = [];
  for (const [name, content] of Object.entries(objectOf(value) ?? {})) {
    const path = [...prefix, name];
    const isKnown = KNOWN_TEXTS.has(path.join('.'));
    if (isKnown && FREE.has(path.join('.'))) continue;
    const inner = unknownFields(content, path);
    if (!isKnown && inner.length === 0) found.push({ path, suggestion: suggest(path) });
    found.push(...inner);
    if (found.length >= MAX_REPORTED) break;
  }
  return found;
}

/** A field of the same section with a name nearly the same, else a field of the same name elsewhere. */
function suggest(path: readonly string[]): string {
  const name = path.at(-1) ?? '';
  const section = path.slice(0, -1);
  const siblings = KNOWN.filter(
    (one) => one.length === path.length && section.every((part, index) => one[index] === part),
  );
  const near = nearestWord(
    name,
    siblings.map((one) => one.at(-1) ?? ''),
  );
  if (near !== null) return formatPath([...section, near]);
  const namesakes = KNOWN.filter((one) => one.at(-1)?.toLowerCase() === name.toLowerCase());
  // A section is named after its mode: kubeProxyIPVSConfiguration.scheduler is ipvs.scheduler.
  const context = section.join('.').toLowerCase();
  const best = namesakes.find((one) => context.includes(one[0]?.toLowerCase() ?? '')) ?? namesakes[0];
  return best === undefined ? '' : formatPath(best);
}
