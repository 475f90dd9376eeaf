// One command line of ipvsadm with its standard input, what a run of it gave, and both as text for people and for a shell.
// Pure; nothing runs here. Source of the quoting: bash(1), QUOTING; dash(1).

/** Arguments without the program's name, and standard input as bytes in Latin-1 characters (null = /dev/null). */
export interface CommandLine {
  readonly args: readonly string[];
  readonly stdin: string | null;
}

/** What a run gave. Output is bytes in Latin-1 characters, so that nothing is lost. */
export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A word for sh(1) that stands for exactly this text, whatever is in it but NUL. */
export function quoteForShell(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function quoteForPeople(text: string): string {
  if (/^[\w@%+=:,./[\]-]+$/.test(text)) return text;
  if (/^[\x20-\x7e]*$/.test(text)) return quoteForShell(text);
  const escaped = text.replaceAll(/['\\]|[^\x20-\x7e]/gu, (character) =>
    /['\\]/.test(character) ? `\\${character}` : escape(character),
  );
  return `$'${escaped}'`;
}

function escape(character: string): string {
  const named = ({ '\n': '\\n', '\t': '\\t', '\r': '\\r' } as Record<string, string>)[character];
  if (named !== undefined) return named;
  return [...Buffer.from(character, 'utf8')]
    .map((byte) => `\\x${byte.toString(16).padStart(2, '0')}`)
    .join('');
}

/** The line as a person would type it into bash, to repeat it by hand. */
export function formatCommandLine({ args, stdin }: CommandLine): string {
  const words = ['ipvsadm', ...args].map(quoteForPeople).join(' ');
  if (stdin === null) return words;
  // Characters of stdin are bytes: no UTF-8 here.
  const bytes = stdin.replaceAll(/['\\]|[^\x20-\x7e]/g, (character) => {
    if (/['\\]/.test(character)) return `\\${character}`;
    return character === '\n' ? '\\n' : `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
  return `printf %s $'${bytes}' | ${words}`;
}
