// Puts the flags of the command line over what a file holds, as kube-proxy does: beside --config only a few of them act, and the others are
// named. The result is read as if a file held it. Pure. Source: kube-proxy's options (Complete, copyLogsFromFlags), 1.36.

import { formatEndpoint } from '../model/endpoints.ts';
import { isAbsent, member, objectOf, quote } from '../model/fields.ts';
import { parseIp } from '../model/ip.ts';
import { parseGoDuration } from './duration.ts';
import type { Json } from './field-types.ts';
import type { Mistake } from './findings.ts';
import { valueFromTexts } from './flag-values.ts';
import { FLAGS } from './flags.ts';
import { textOf, type GivenFlags } from './given-flags.ts';
import { LEAVES, type Leaf } from './table.ts';

/** A configuration with flags over it. */
export interface Overlaid {
  /** As a file would hold it. */
  readonly value: unknown;
  /** "--ipvs-scheduler" by "ipvs.scheduler", for every field that a flag has set. */
  readonly setBy: ReadonlyMap<string, string>;
  readonly mistakes: readonly Mistake[];
  readonly warnings: readonly string[];
  /** Only flags can ask for this: an empty healthzBindAddress in a file is the default. */
  readonly isHealthzOff: boolean;
}

/** `file` is how messages name the file; '' when there is none, and then every flag acts. */
export function overlayFlags(base: unknown, flags: GivenFlags, file: string): Overlaid {
  const overlay = new Overlay(base, flags, file);
  for (const leaf of LEAVES) overlay.take(leaf);
  if (file === '' && textOf(flags, 'write-config-to') === undefined) {
    overlay.takePort('healthz-port', 'healthzBindAddress');
    overlay.takePort('metrics-port', 'metricsBindAddress');
  }
  overlay.nameVoid();
  return overlay;
}

class Overlay implements Overlaid {
  value: unknown;
  readonly setBy = new Map<string, string>();
  readonly mistakes: Mistake[] = [];
  readonly warnings: string[];
  isHealthzOff = false;
  private readonly flags: GivenFlags;
  private readonly file: string;

  constructor(base: unknown, flags: GivenFlags, file: string) {
    this.value = base;
    this.flags = flags;
    this.file = file;
    this.warnings = [...flags.warnings];
  }

  /** Sets a field when its flag is given and acts. */
  take({ path, name, field }: Leaf): void {
    const texts = field.flag === undefined ? undefined : this.flags.texts.get(field.flag);
    if (texts === undefined || (this.file !== '' && field.isFlagStronger !== true)) return;
    let value = valueFromTexts(field.kind, texts);
    if (name === 'hostnameOverride' && typeof value === 'string') {
      // An empty one is none: it comes of a variable that is not set.
      if (value === '') return;
      value = value.trim().toLowerCase();
      if (value === '')
        return this.mistake(path, name, field.flag, 'it is blank', 'give the name of the Node');
    }
    if (value === undefined)
      return this.mistake(path, name, field.flag, `${quote(texts.at(-1))} is not valid`, field.rule);
    // A file cannot say zero here, but a flag can, and kube-proxy refuses it.
    if (field.kind === 'duration' && field.isZeroDefault && field.lostAs === undefined && isZero(value))
      return this.mistake(
        path,
        name,
        field.flag,
        'it is zero',
        'write a duration longer than that, as in 30s',
      );
    if (name === 'logging.vmodule') {
      const inFile = valueAt(this.value, path);
      if (Array.isArray(inFile) && Array.isArray(value)) value = [...value, ...(inFile as Json[])];
    }
    this.set(path, name, field.flag ?? '', value);
  }

  /** Deprecated ports: 0 is an empty address, any other one is for an address without a port. */
  takePort(flag: 'healthz-port' | 'metrics-port', field: 'healthzBindAddress' | 'metricsBindAddress'): void {
    const texts = this.flags.texts.get(flag);
    if (texts === undefined) return;
    const port = valueFromTexts('int', texts);
    const remedy = 'write a port from 1 to 65535';
    if (typeof port !== 'number' || port < 0 || port > 65_535)
      return this.mistake([field], field, flag, `${quote(texts.at(-1))} is not a port`, remedy);
    if (port === 0) {
      if (flag === 'healthz-port') this.isHealthzOff = true;
      else this.mistake([field], field, flag, 'the metrics server cannot be switched off', remedy);
      return;
    }
    const given = member(this.value, field);
    const address = typeof given === 'string' ? parseIp(given) : null;
    if (address !== null) {
      this.set([field], field, flag, formatEndpoint(address, port));
      return;
    }
    // As in kube-proxy: the default address has a port already.
    if (port !== FLAGS.get(flag)?.fallback || (given ?? '') !== '')
      this.warnings.push(
        `--${flag} has no effect: the address has a port; use --${flag.replace('port', 'bind-address')}`,
      );
  }

  /** One warning for each flag that --config makes void. */
  nameVoid(): void {
    if (this.file === '') return;
    for (const name of this.flags.texts.keys()) {
      const flag = FLAGS.get(name);
      if (flag === undefined || flag.isStronger) continue;
      this.warnings.push(`--${name} is void beside --config; set ${flag.field} in ${this.file}`);
    }
  }

  private set(path: readonly string[], name: string, flag: string, value: Json): void {
    // A section that is no map is a mistake of the file, which must not be covered up.
    const isMap = path.slice(0, -1).every((_, depth) => {
      const section = valueAt(this.value, path.slice(0, depth + 1));
      return isAbsent(section) || objectOf(section) !== null;
    });
    if (!isMap) return;
    this.value = withValue(this.value, path, value);
    this.setBy.set(name, flag === 'v' ? '-v' : `--${flag}`);
  }

  private mistake(
    path: readonly string[],
    name: string,
    flag: string | undefined,
    message: string,
    remedy: string,
  ): void {
    this.setBy.set(name, flag === 'v' ? '-v' : `--${flag}`);
    this.mistakes.push({ path, message, remedy });
  }
}

function isZero(value: unknown): boolean {
  return typeof value === 'string' && parseGoDuration(value) === 0n;
}

/** The part of a value at a path; undefined where there is none. */
export function valueAt(value: unknown, path: readonly (string | number)[]): unknown {
  return path.reduce<unknown>(
    (part, name) => (Array.isArray(part) ? part[Number(name)] : member(part, String(name))),
    value,
  );
}

/** A copy with another part at a path of names; what is no map on the way is replaced by one. `path` is the table's, never a file's. */
export function withValue(value: unknown, path: readonly string[], part: unknown): unknown {
  const [name, ...rest] = path;
  if (name === undefined) return part;
  return { ...objectOf(value), [name]: withValue(member(value, name), rest, part) };
}
