// Asks real shells what they complete: bash and zsh interactively on a terminal of their own, with the script sourced and a spy that
// writes down what was offered; fish by its own `complete -C`. The spies only watch: the scripts are called by the shells.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { COMPLETIONS } from '../../src/ipvsadm/completion.ts';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

const TIMEOUT_MS = 60_000;
const PROMPT = 'ready>';
const CLEAR_LINE = '\x15';

/** Why the shell cannot be asked here, or null. */
export function unavailable(shell: Shell): string | null {
  for (const program of shell === 'fish' ? [shell] : [shell, 'script'])
    if (spawnSync(program, ['--version'], { stdio: 'ignore' }).error !== undefined)
      return `${program} is not installed`;
  return null;
}

/** Says what is wrong with the script's syntax; '' when nothing is. */
export function checkSyntax(shell: Shell): string {
  return withFolder((folder) => {
    const { stdout, stderr, status } = spawnSync(shell, ['-n', scriptIn(folder, shell)], {
      encoding: 'utf8',
      timeout: TIMEOUT_MS,
    });
    return `${stdout}${stderr}${status === 0 ? '' : `exit ${status}`}`;
  });
}

/** What Tab offers behind each of the lines, whole words, sorted. `path` is a folder before the others of PATH. */
export async function complete(
  shell: Shell,
  lines: readonly string[],
  path: string,
  cwd = '/',
): Promise<string[][]> {
  const folder = mkdtempSync(join(tmpdir(), 'completion-'));
  const env = { PATH: `${path}:${process.env['PATH'] ?? ''}`, HOME: folder, TERM: 'dumb', LC_ALL: 'C.UTF-8' };
  try {
    const script = scriptIn(folder, shell);
    const records =
      shell === 'fish'
        ? lines.map((line) => askFish(script, line, env, cwd))
        : await askOnTerminal(shell, folder, script, lines, env, cwd);
    return records.map((words) => [...new Set(words)].filter((word) => word !== '').sort());
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function withFolder<T>(run: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'completion-'));
  try {
    return run(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function scriptIn(folder: string, shell: Shell): string {
  const path = join(folder, `completion.${shell}`);
  writeFileSync(path, COMPLETIONS[shell]?.() ?? '');
  return path;
}

function askFish(script: string, line: string, env: NodeJS.ProcessEnv, cwd: string): string[] {
  const { stdout, stderr } = spawnSync(
    'fish',
    ['--no-config', '-c', 'source $argv[1]; complete -C $argv[2]', script, line],
    { encoding: 'utf8', timeout: TIMEOUT_MS, env, cwd, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  if (stderr !== '') throw new Error(`fish at "${line}": ${stderr}`);
  // fish also finds what is only like it; what goes on from the word comes first.
  const word = (/\S*$/.exec(line)?.[0] ?? '').replaceAll('\\', '');
  return stdout
    .split('\n')
    .map((each) => each.split('\t')[0] ?? '')
    .filter((each) => each.startsWith(word));
}

/** A record is: what the shell replaces (bash: $2, the end of the word), the offers, ".". */
const SPIES: Readonly<Record<'bash' | 'zsh', string>> = {
  bash: `PS1='${PROMPT}'; bind 'set completion-query-items 0'; bind 'set page-completions off'
. "$SCRIPT"
spy() { _pointsman_ipvsadm "$@"; printf '%s\\n' "$2" "\${COMPREPLY[@]}" . >> "$RECORDS"; }
complete -F spy ipvsadm pointsman-ipvsadm pointsman
`,
  zsh: `PS1='${PROMPT}'; LISTMAX=100000; autoload -Uz compinit; compinit -u -D
. "$SCRIPT"
compadd() {
  if [[ "$*" != *-[OAD]\\ * ]]; then
    local -a matches
    builtin compadd -A matches "$@"
    print -rl -- $matches >> "$RECORDS"
  fi
  builtin compadd "$@"
}
spy() { print >> "$RECORDS"; zle complete-word; print . >> "$RECORDS"; }
zle -N spy; bindkey '^I' spy
`,
};
const INTERACTIVE = { bash: 'bash --noprofile --rcfile "$RC" -i', zsh: 'zsh -f -i' } as const;

async function askOnTerminal(
  shell: 'bash' | 'zsh',
  folder: string,
  script: string,
  lines: readonly string[],
  env: NodeJS.ProcessEnv,
  cwd: string,
): Promise<string[][]> {
  const records = join(folder, 'records');
  const rc = join(folder, 'rc');
  writeFileSync(rc, SPIES[shell]);
  const child = spawn('script', ['--quiet', '--command', INTERACTIVE[shell], '/dev/null'], {
    cwd,
    env: { ...env, RC: rc, SCRIPT: script, RECORDS: records },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  let shown = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (shown += text));
  const closed = new Promise((resolve) => child.on('close', resolve));
  const until = async (condition: () => boolean, what: string): Promise<void> => {
    const endMs = Date.now() + TIMEOUT_MS;
    while (!condition()) {
      if (Date.now() > endMs || child.exitCode !== null)
        throw new Error(`${shell}: no ${what}; shown: ${shown}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const read = (): string[][] =>
    existsSync(records)
      ? readFileSync(records, 'utf8')
          .split(/^\.\n/m)
          .slice(0, -1)
          .map((record) => record.split('\n').slice(0, -1))
      : [];
  try {
    if (shell === 'zsh') {
      await until(() => shown.includes('% ') || shown.includes('# '), 'prompt');
      child.stdin.write('. "$RC"\n');
    }
    await until(() => shown.endsWith(PROMPT) || shown.includes(`${PROMPT}\x1b`), 'prompt');
    for (const [index, line] of lines.entries()) {
      child.stdin.write(`${line}\t`);
      await until(() => read().length > index, `completion of "${line}"`);
      child.stdin.write(CLEAR_LINE);
    }
    return read().map(([replaced = '', ...offers], index) => {
      const word = /\S*$/.exec(lines[index] ?? '')?.[0] ?? '';
      // zsh offers what stands behind a prefix that the script took away.
      const kept = shell === 'bash' ? word.slice(0, word.length - replaced.length) : inlinePrefix(word);
      return offers.map((offer) => (kept + offer.replaceAll('\\', '')).replaceAll('\\', ''));
    });
  } finally {
    child.stdin.end();
    // The terminal goes with it, and the shell with the terminal.
    child.kill('SIGKILL');
    await closed;
  }
}

/** "--scheduler=", "-t" of "-t10.0.0.1", "sh-port," of a list. */
function inlinePrefix(word: string): string {
  return /^(?:--[^=]*=|-\w(?=[^-]))?(?:.*,)?/.exec(word)?.[0] ?? '';
}
