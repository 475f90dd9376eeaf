// Splits a command line into switches, their values and the words left over, by the rules of popt 1.19, which ipvsadm 1.31 uses:
// bundles of short switches, -tVALUE, -t=VALUE, --long=VALUE, no abbreviations, "--" ends the switches. Knows nothing of what the
// switches mean. Pure. Source: popt(3), measured with ipvsadm 1.31 (test/ipvsadm).

import type { Switch } from './grammar.ts';

/** A switch that was found, with its value (null when an optional one was left out). */
export interface Found {
  readonly switch: Switch;
  readonly value: string | null;
  /** The argument that was read last, as popt names it in messages. */
  readonly argument: string;
}

export type PoptError = 'unknown option' | 'missing argument' | 'option does not take an argument';

/** What `next` gives: a switch, the end, or an error at an argument. */
export type Step = Found | 'end' | { readonly error: PoptError; readonly argument: string };

/** Walks over one command line. After 'end', `leftovers` holds the words that belong to no switch. */
export class Popt {
  private readonly args: readonly string[];
  private readonly byLong: ReadonlyMap<string, Switch>;
  private readonly byShort: ReadonlyMap<string, Switch>;
  private readonly words: string[] = [];
  private at = 0;
  /** What of a bundle of short switches is still unread, never ''. */
  private bundle: string | null = null;
  private onlyWords = false;

  constructor(args: readonly string[], table: SwitchTable) {
    this.args = args;
    this.byLong = table.byLong;
    this.byShort = table.byShort;
  }

  get leftovers(): readonly string[] {
    return this.words;
  }

  /** The next switch, in the order of the command line. */
  next(): Step {
    let found: Switch | undefined;
    let inlineValue: string | null = null;
    while (this.bundle === null && found === undefined) {
      const argument = this.args[this.at];
      if (argument === undefined) return 'end';
      this.at++;
      if (this.onlyWords || !argument.startsWith('-') || argument === '-') {
        this.words.push(argument);
      } else if (argument === '--') {
        this.onlyWords = true;
      } else if (argument.startsWith('--')) {
        const equals = argument.indexOf('=');
        found = this.byLong.get(argument.slice(2, equals < 0 ? undefined : equals));
        if (found === undefined) return this.fail('unknown option');
        if (equals >= 0) inlineValue = argument.slice(equals + 1);
      } else {
        this.bundle = argument.slice(1);
      }
    }
    if (this.bundle !== null) {
      const rest: string = this.bundle;
      this.bundle = null;
      found = this.byShort.get(rest.slice(0, 1));
      if (found === undefined) return this.fail('unknown option');
      if (rest.length > 1) this.bundle = rest.slice(1);
    }
    if (found === undefined) throw new Error('neither a switch nor a bundle');
    if (found.takes === 'nothing') {
      if (inlineValue !== null || this.bundle?.startsWith('=') === true)
        return this.fail('option does not take an argument');
      return this.give(found, null);
    }
    if (inlineValue === null && this.bundle !== null) {
      inlineValue = this.bundle.replace(/^=/, '');
      this.bundle = null;
    }
    if (inlineValue !== null) return this.give(found, inlineValue);
    const following = this.args[this.at];
    if (following === undefined)
      return found.takes === 'optional' ? this.give(found, null) : this.fail('missing argument');
    if (found.takes === 'optional' && following.startsWith('-')) return this.give(found, null);
    this.at++;
    return this.give(found, following);
  }

  private give(found: Switch, value: string | null): Found {
    return { switch: found, value, argument: this.lastArgument() };
  }

  private fail(error: PoptError): Step {
    return { error, argument: this.lastArgument() };
  }

  private lastArgument(): string {
    return this.args[this.at - 1] ?? '';
  }
}

/** Switches by name, made once. */
export interface SwitchTable {
  readonly byLong: ReadonlyMap<string, Switch>;
  readonly byShort: ReadonlyMap<string, Switch>;
}

/** Indexes switches; a long name that stands twice keeps the first. */
export function indexSwitches(switches: readonly Switch[]): SwitchTable {
  const byLong = new Map<string, Switch>();
  const byShort = new Map<string, Switch>();
  for (const each of switches) {
    if (!byLong.has(each.long)) byLong.set(each.long, each);
    if (each.short !== undefined) byShort.set(each.short, each);
  }
  return { byLong, byShort };
}
