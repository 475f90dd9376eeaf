// The vocabulary of the validators: a report that findings go to, and checks of single values. Each check takes any JSON value, reports
// what breaks the rule, and never throws. A value that is absent (missing, null or '') is left to its default. Pure.

import { nearestWord } from '../files/nearest.ts';
import { printable, type Path } from '../files/document.ts';
import { isAbsent, objectOf, quote } from '../model/fields.ts';
import {
  familyOf,
  isLinkLocal,
  isLoopback,
  isMulticastOrBroadcast,
  isUnspecified,
  parseCidr,
  parseIp,
  type Cidr,
  type Family,
  type IpAddress,
} from '../model/ip.ts';
import { isDnsSubdomain, isLabelValue } from '../model/names.ts';

/** A rule that an object breaks, or a field that means nothing. */
export interface Finding {
  readonly path: Path;
  readonly message: string;
  readonly remedy: string;
}

/** Findings kept of one object. */
const MAX_FINDINGS = 16;

/** Collects what is wrong with one object. */
export class Report {
  readonly findings: Finding[] = [];
  readonly warnings: Finding[] = [];
  private total = 0;

  add(path: Path, message: string, remedy: string): void {
    this.total++;
    if (this.findings.length < MAX_FINDINGS) this.findings.push({ path, message, remedy });
    else if (this.total === MAX_FINDINGS + 1)
      this.findings.push({
        path: [],
        message: 'there are more mistakes',
        remedy: 'correct the ones listed first',
      });
  }

  /** `value` is not what it must be. */
  invalid(path: Path, value: unknown, remedy: string): void {
    this.add(path, isAbsent(value) ? 'it is required' : `${quote(value)} is not valid`, remedy);
  }

  warn(path: Path, message: string, remedy: string): void {
    if (this.warnings.length < MAX_FINDINGS) this.warnings.push({ path, message, remedy });
  }
}

/** Warns of members that the API does not have there. */
export function checkKnown(
  object: Readonly<Record<string, unknown>>,
  path: Path,
  known: ReadonlySet<string>,
  report: Report,
): void {
  for (const name of Object.keys(object)) {
    if (known.has(name)) continue;
    const nearest = nearestWord(name, known);
    const remedy = nearest === null ? 'remove it' : `did you mean ${nearest}?`;
    report.warn([...path, name], `there is no such field: ${printable(name)} is ignored`, remedy);
  }
}

/** The value as an object, empty when absent; null, reported, when it is something else. */
export function checkObject(
  value: unknown,
  path: Path,
  report: Report,
): Readonly<Record<string, unknown>> | null {
  if (value === undefined || value === null) return {};
  const object = objectOf(value);
  if (object === null) report.invalid(path, value, 'write it as a map of fields');
  return object;
}

/** The items of a list, none when absent; reported when it is no list or has more than `max` items. */
export function checkList(value: unknown, path: Path, report: Report, max: number): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) {
    report.invalid(path, value, 'write it as a list');
    return [];
  }
  if (value.length <= max) return value;
  report.add(path, `it has ${value.length} items`, `at most ${max} are allowed`);
  return [];
}

/** Text for which `isValid` holds; the text, or null when absent or reported. */
export function checkText(
  value: unknown,
  path: Path,
  report: Report,
  isValid: (text: string) => boolean,
  remedy: string,
): string | null {
  if (isAbsent(value)) return null;
  if (typeof value === 'string' && isValid(value)) return value;
  const hint = typeof value === 'number' || typeof value === 'boolean' ? 'put it in quotes' : remedy;
  report.invalid(path, value, hint);
  return null;
}

/** One of a closed set; `fallback` when absent; null, reported, when something else. */
export function checkChoice<T extends string>(
  value: unknown,
  path: Path,
  report: Report,
  choices: readonly T[],
  fallback: T,
): T | null {
  if (isAbsent(value)) return fallback;
  const choice = choices.find((one) => one === value);
  if (choice === undefined) report.invalid(path, value, `use one of ${choices.join(', ')}`);
  return choice ?? null;
}

/** A whole number from `min` to `max`; null when absent or reported. */
export function checkInteger(
  value: unknown,
  path: Path,
  report: Report,
  min: number,
  max: number,
): number | null {
  if (isAbsent(value)) return null;
  if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
  report.invalid(path, value, `use a whole number from ${min} to ${max}`);
  return null;
}

/** Reports what is neither absent nor true or false. */
export function checkBoolean(value: unknown, path: Path, report: Report): void {
  if (!isAbsent(value) && typeof value !== 'boolean') report.invalid(path, value, 'use true or false');
}

/** An address that packets can be sent to, link-local ones only where `allowLinkLocal`; null, reported, for anything else. */
export function checkAddress(
  value: unknown,
  path: Path,
  report: Report,
  allowLinkLocal: boolean,
): IpAddress | null {
  const address = typeof value === 'string' ? parseIp(value) : null;
  if (address === null) {
    report.invalid(path, value, 'write an IPv4 or IPv6 address');
    return null;
  }
  const isSpecial = isUnspecified(address) || isLoopback(address) || isMulticastOrBroadcast(address);
  if (!isSpecial && (allowLinkLocal || !isLinkLocal(address))) return address;
  report.add(path, `${address} is an address for special purposes`, 'use one that packets can be routed to');
  return null;
}

/** A CIDR, blanks around it allowed as in the API; null, reported, for anything else. */
export function checkCidr(value: unknown, path: Path, report: Report): Cidr | null {
  const cidr = typeof value === 'string' ? parseCidr(value.trim()) : null;
  if (cidr === null) report.invalid(path, value, 'write address/prefix, as in 192.0.2.0/24');
  return cidr;
}

/** Reports the second of two addresses or networks of one family. */
export function checkDifferentFamilies(
  values: readonly (IpAddress | Cidr | null)[],
  pathOf: (index: number) => Path,
  report: Report,
): void {
  const seen = new Set<Family>();
  values.forEach((value, index) => {
    if (value === null) return;
    const family = familyOf(value);
    if (seen.has(family))
      report.add(pathOf(index), `${value} is a second one of ${family}`, 'give at most one of each family');
    seen.add(family);
  });
}

/** Key of a label or annotation: a name of at most 63 characters, with or without "domain/" before it. */
export function isQualifiedName(text: string): boolean {
  const slash = text.indexOf('/');
  const name = text.slice(slash + 1);
  return name !== '' && isLabelValue(name) && (slash === -1 || isDnsSubdomain(text.slice(0, slash)));
}

/** A map of text to text whose keys are qualified names; `isValid` is the rule for values. */
export function checkTextMap(
  value: unknown,
  path: Path,
  report: Report,
  isValid: (text: string) => boolean,
  remedy: string,
): void {
  const map = checkObject(value, path, report);
  for (const [key, text] of Object.entries(map ?? {})) {
    if (!isQualifiedName(key)) report.add([...path, key], 'the key is not valid', 'use [domain/]name');
    else if (typeof text !== 'string' && text !== null)
      report.invalid([...path, key], text, 'put it in quotes');
    else if (text !== null && !isValid(text)) report.invalid([...path, key], text, remedy);
  }
}
