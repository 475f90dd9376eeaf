// Command lines in the syntax of Go's pflag, which those of kube-proxy are written in: --flag=value, --flag value, --bool, --bool=false,
// -v4, -v=4, -v 4, underscores for dashes. Takes kube-proxy's flags out and leaves our own options, each as one word, for commander. Pure.

import { FLAGS } from '../config/flags.ts';
import type { GivenFlags } from '../config/given-flags.ts';
import { parseGoBool } from '../config/given-flags.ts';
import { printable } from '../files/document.ts';
import { nearestWord } from '../files/nearest.ts';
import { PointsmanError } from '../model/errors.ts';

/** An option that a command has beside kube-proxy's flags; as commander describes it. */
export interface OwnOption {
  /** Without dashes: "replay-speed". */
  readonly name: string;
  /** Without its dash; '' when there is none. */
  readonly short: string;
  readonly takesValue: boolean;
}

/** A command line, taken apart. */
export interface ParsedLine {
  readonly flags: GivenFlags;
  /** Our own options, in normal form: "--manifests=DIR", "--once"; then "--help" or "--version" when one of them is asked for. */
  readonly rest: readonly string[];
}

/** What follows the name of the command. Throws USAGE at the first word that cannot stand there; nothing after a word that asks for help counts. */
export function parseGoFlags(words: readonly string[], own: readonly OwnOption[]): ParsedLine {
  return new LineParser(words, own).parse();
}

class LineParser {
  private readonly words: readonly string[];
  private readonly own: readonly OwnOption[];
  private readonly texts = new Map<string, string[]>();
  private readonly warnings: string[] = [];
  private readonly rest: string[] = [];
  private next = 0;

  constructor(words: readonly string[], own: readonly OwnOption[]) {
    this.words = words;
    this.own = own;
  }

  parse(): ParsedLine {
    while (this.next < this.words.length) {
      const word = this.words[this.next++] ?? '';
      if (word === '-h' || word === '--help') {
        this.rest.push('--help');
        break;
      }
      if (word === '--' || word === '-' || !word.startsWith('-')) this.refuseWord(word);
      else if (word.startsWith('--')) this.takeLong(word.slice(2));
      else this.takeShort(word);
    }
    if (this.texts.has('version') && parseGoBool(this.texts.get('version')?.at(-1) ?? '') !== false)
      this.rest.push('--version');
    return { flags: { texts: this.texts, warnings: this.warnings }, rest: this.rest };
  }

  private refuseWord(word: string): void {
    const index = word === '--' ? this.next : this.next - 1;
    const first = this.words[index];
    if (first === undefined) return;
    const before = this.words[index - 1] ?? '';
    const hint =
      parseGoBool(first) !== undefined && before.startsWith('--')
        ? `; write ${printable(before)}=${first}`
        : '';
    throw new PointsmanError(
      'USAGE',
      `too many arguments: '${printable(first)}'${hint}; there are options only`,
    );
  }

  private takeLong(word: string): void {
    const [given, text] = splitAtEquals(word);
    const name = given.replaceAll('_', '-');
    const flag = FLAGS.get(name);
    const own = this.own.find((option) => option.name === name);
    if (flag === undefined && own === undefined) throw this.unknown(`--${given}`, name);
    if (name !== given) this.warnings.push(`--${given} is an old spelling; write --${name}`);
    if (flag !== undefined) this.give(name, this.textFor(`--${name}`, flag.kind !== 'bool', text));
    else if (own !== undefined) this.giveOwn(own, this.textFor(`--${name}`, own.takesValue, text));
  }

  private takeShort(word: string): void {
    const letter = word.charAt(1);
    const tail = word.slice(2);
    const text = tail === '' ? undefined : tail.replace(/^=/, '');
    const own = this.own.find((option) => option.short === letter);
    if (letter === 'v') this.give('v', this.textFor('-v', true, text));
    else if (own !== undefined) this.giveOwn(own, this.textFor(`-${letter}`, own.takesValue, text));
    else throw this.unknown(word, word.slice(1).replace(/=.*$/s, '').replaceAll('_', '-'));
  }

  /** The text of an option: behind its "=", else for one that takes a value the next word whatever it is, else true. */
  private textFor(shown: string, takesValue: boolean, text: string | undefined): string {
    if (text !== undefined) return text;
    if (!takesValue) return 'true';
    const word = this.words[this.next++];
    if (word === undefined) throw new PointsmanError('USAGE', `option '${shown}' argument missing`);
    return word;
  }

  private give(name: string, text: string): void {
    const texts = this.texts.get(name);
    if (texts === undefined) this.texts.set(name, [text]);
    else texts.push(text);
  }

  private giveOwn({ name, takesValue }: OwnOption, text: string): void {
    if (takesValue) {
      this.rest.push(`--${name}=${text}`);
      return;
    }
    const isOn = parseGoBool(text);
    if (isOn === undefined)
      throw new PointsmanError('USAGE', `--${name}: "${printable(text)}" is not valid; write true or false`);
    const index = this.rest.indexOf(`--${name}`);
    if (index !== -1) this.rest.splice(index, 1);
    if (isOn) this.rest.push(`--${name}`);
  }

  private unknown(shown: string, name: string): PointsmanError {
    const nearest = nearestWord(name, [...FLAGS.keys(), ...this.own.map((option) => option.name), 'help']);
    const hint = nearest === null ? '' : `; did you mean --${nearest}?`;
    return new PointsmanError('USAGE', `unknown option '${printable(shown)}'${hint}`);
  }
}

function splitAtEquals(word: string): [name: string, text: string | undefined] {
  const index = word.indexOf('=');
  return index === -1 ? [word, undefined] : [word.slice(0, index), word.slice(index + 1)];
}
