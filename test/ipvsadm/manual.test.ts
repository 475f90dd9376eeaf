// The manual page is complete: its tags are the switches and verbs of the tables, each once, and every option it speaks of exists.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { completionAlphabets } from '../../src/ipvsadm/completion-model.ts';
import {
  COMMAND_SWITCHES,
  OPTION_SWITCHES,
  OUR_SWITCHES,
  SCHEDULER_FLAG_NAMES,
} from '../../src/ipvsadm/grammar.ts';
import { DRAINS_FILE } from '../../src/ipvsadm/drain-memory.ts';
import { EXIT } from '../../src/ipvsadm/refusal.ts';
import { TOP_SORTS } from '../../src/ipvsadm/top-rows.ts';
import { VERB_USAGES } from '../../src/ipvsadm/verb-usages.ts';
import { SCHEDULERS } from '../../src/model/schedulers.ts';

const PAGE = fileURLToPath(new URL('../../docs/man/pointsman-ipvsadm.8', import.meta.url));
const page = readFileSync(PAGE, 'utf8');
const WARNING_LIMIT_MS = 100_000;

/** Text without fonts and escapes. */
function plain(text: string): string {
  return text.replaceAll(/\\f[BIR]/g, '').replaceAll('\\-', '-');
}

/** The text of a part from its title to the next title of the same macro or SH. */
function part(macro: 'SH' | 'SS', title: string): string {
  const start = page.indexOf(`\n.${macro} ${title}\n`);
  if (start < 0) return '';
  const rest = page.slice(start + 1);
  const end = rest.slice(1).search(macro === 'SH' ? /^\.SH /m : /^\.S[HS] /m);
  return end < 0 ? rest : rest.slice(0, end + 1);
}

/** What stands below each .TP and begins with a dash. */
function tags(text: string): string[] {
  return [...text.matchAll(/^\.TP\n(.*)$/gm)]
    .map(([, tag]) => plain(tag ?? ''))
    .filter((tag) => tag.startsWith('-'));
}

interface Tagged {
  readonly long: string;
  readonly short?: string;
  readonly value?: string;
  readonly takes?: string;
}

/** The tag of one switch; several short names of one long name stand together. */
function tagsOf(switches: readonly Tagged[]): string[] {
  return [...Map.groupBy(switches, ({ long }) => long)].map(([long, all]) => {
    const shorts = all.flatMap(({ short }) => (short === undefined ? [] : [`-${short}`]));
    const { value, takes } = all[0] ?? {};
    const shown = value === undefined ? '' : ` ${takes === 'optional' ? `[${value}]` : value}`;
    return [...shorts, `--${long}`].join(', ') + shown;
  });
}

describe('the manual page', () => {
  it.each([
    ['COMMANDS', COMMAND_SWITCHES],
    ['OPTIONS', OPTION_SWITCHES],
    ['OPTIONS OF OUR OWN', OUR_SWITCHES],
  ])('has under %s what the table has, in any order', (title, switches) => {
    expect(tags(part('SH', title)).sort()).toEqual(tagsOf(switches).sort());
  });

  it('has every verb and no other', () => {
    const titles = [...part('SH', 'VERBS').matchAll(/^\.SS (.*)$/gm)].map(([, title]) => plain(title ?? ''));
    expect(titles.sort()).toEqual(VERB_USAGES.map(({ usage }) => usage).sort());
  });

  it.each(VERB_USAGES)('has the options of $verb and no other', ({ usage, options }) => {
    const text = part('SS', usage.replaceAll('-', '\\-'));
    expect(text).not.toBe('');
    expect(tags(text).sort()).toEqual(tagsOf(options).sort());
  });

  it('speaks of no option that there is not', () => {
    const known = new Set(
      completionAlphabets().flatMap(({ switches }) => switches.flatMap((each) => each.spellings)),
    );
    const spoken = [...plain(page).matchAll(/(?<![\w./-])--?[a-zA-Z0-9][a-z0-9-]*/g)].map(([word]) => word);
    // A bundle, a value in the same word, and the option of sysctl.
    const unknown = spoken.filter((word) => !known.has(word) && !/^-(Ln|Lnc|Sn|t10)$/.test(word));
    expect(unknown).toEqual([]);
  });

  it.each([
    ['scheduler', SCHEDULERS],
    ['scheduler flag', Object.values(SCHEDULER_FLAG_NAMES).flat()],
    ['order of top', TOP_SORTS],
    ['exit code', Object.values(EXIT).map(String)],
    ['file', [DRAINS_FILE]],
  ])('names every %s', (_, words) => {
    for (const word of words) expect(plain(page)).toMatch(new RegExp(`(?<![\\w-])${word}(?![\\w-])`));
  });

  it('has no line that begins with a quote or a dot by accident, and no character beyond ASCII', () => {
    expect(page).toMatch(/^[\n\x20-\x7e]*$/);
    const macros = [...page.matchAll(/^[.'](\S*)/gm)].map(([, macro]) => macro);
    const known = ['\\"', 'TH', 'SH', 'SS', 'TP', 'PP', 'IP', 'RS', 'RE', 'B', 'BR', 'I', 'IR', 'nf', 'fi'];
    for (const macro of macros) expect(known).toContain(macro);
  });

  const hasGroff = spawnSync('groff', ['--version'], { stdio: 'ignore' }).error === undefined;
  it.skipIf(!hasGroff)(
    `is set without warnings${hasGroff ? '' : ' (skipped: groff is not installed)'}`,
    () => {
      const { status, stdout, stderr } = spawnSync('groff', ['-man', '-Tutf8', '-ww', '-P-cbou', PAGE], {
        encoding: 'utf8',
        timeout: WARNING_LIMIT_MS,
      });
      expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
      expect(stdout).toContain('DIFFERENCES FROM IPVSADM 1.31');
    },
  );
});
