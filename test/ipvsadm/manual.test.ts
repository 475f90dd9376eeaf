// The manual page has every switch and verb of the tables and no other, and groff reads it without a warning.

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { COMMAND_SWITCHES, OPTION_SWITCHES, OUR_SWITCHES } from '../../src/ipvsadm/grammar.ts';
import { VERB_USAGES } from '../../src/ipvsadm/verb-usages.ts';

const PAGE = join(import.meta.dirname, '../../docs/man/pointsman-ipvsadm.8');
const text = readFileSync(PAGE, 'utf8');
const plain = text.replaceAll('\\-', '-').replaceAll(/\\f[BIPR]/g, '');

const switches = [...COMMAND_SWITCHES, ...OPTION_SWITCHES, ...OUR_SWITCHES];
const verbOptions = VERB_USAGES.flatMap(({ options }) => options);

describe('the manual page', () => {
  it('has every long option, and no other', () => {
    const known = new Set([...switches, ...verbOptions].map(({ long }) => `--${long}`));
    const written = new Set(plain.match(/--[a-z][a-z0-9-]*/g));
    expect([...known].filter((name) => !written.has(name))).toEqual([]);
    expect([...written].filter((name) => !known.has(name))).toEqual([]);
  });

  it.each(switches.filter(({ short }) => short !== undefined).map(({ short, long }) => [short, long]))(
    'explains -%s',
    (short) => {
      expect(plain).toMatch(new RegExp(`^(?:\\.BR?I? |\\.B )?.*-${short}(?![A-Za-z0-9-])`, 'm'));
    },
  );

  it.each(VERB_USAGES.map(({ verb }) => verb))('explains %s', (verb) => {
    expect(text).toMatch(new RegExp(`^\\\\fB${verb}\\\\fP`, 'm'));
  });

  const groff = spawnSync('groff', ['--version']).error;
  it.skipIf(groff !== undefined)(
    'is read by groff without a warning (skipped where groff is missing)',
    () => {
      const { stderr, stdout } = spawnSync('groff', ['-man', '-Tutf8', '-ww', PAGE], { encoding: 'utf8' });
      expect(stderr).toBe('');
      expect(stdout).toContain("virtual server's table");
    },
  );
});
