// The completion scripts in the shells they are for: what Tab offers, and that nothing from the table or the line is ever run.

import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { SCHEDULERS } from '../../src/model/schedulers.ts';
import { COMPLETIONS } from '../../src/ipvsadm/completion.ts';
import { MAX_VALUES } from '../../src/ipvsadm/completion-sources.ts';
import { checkSyntax, complete, SHELLS, unavailable } from './completion-shells.ts';

const PROGRAMS = ['ipvsadm', 'pointsman-ipvsadm', 'pointsman'] as const;
const RULES = `-A -t 10.96.0.10:80 -s rr
-a -t 10.96.0.10:80 -r 10.0.0.1:8080 -m -w 1
-a -t 10.96.0.10:80 -r 10.0.0.2:8080 -m -w 1
-A -t [fd96::10]:80 -s rr
-a -t [fd96::10]:80 -r [fd00::1]:8080 -m -w 1
-A -u 10.96.0.10:53 -s rr
-a -u 10.96.0.10:53 -r 10.0.0.3:53 -m -w 1
-A --sctp-service 10.96.0.10:9 -s rr
-A --protocol-service 47,10.96.0.10:0 -s rr --flags 0x0
-A -f 100 -s sh
-a -f 100 -r 10.0.0.4:0 -g -w 1
-A -f 100 -6 -s mh
-a -f 100 -6 -r [fd00::4]:0 -g -w 1
`;

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'completion test-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;
/** A folder for PATH with programs that print `rules` when they are called as completion calls them. */
function programsWith(rules: string): string {
  const path = join(folder, `programs ${count++}`);
  mkdirSync(path);
  writeFileSync(join(path, 'rules'), rules);
  for (const name of PROGRAMS) {
    const args = name === 'pointsman' ? 'ipvsadm -Sn' : '-Sn';
    writeScript(join(path, name), `[ "$*" = '${args}' ] && exec cat "\${0%/*}/rules"\nexit 2`);
  }
  return path;
}

function writeScript(path: string, text: string): void {
  writeFileSync(path, `#!/bin/sh\n${text}\n`);
  chmodSync(path, 0o755);
}

const TUNNEL = 'ipvsadm -a -t 10.0.0.1:80 -r 10.0.0.2:80 -i';
const SERVICES = ['10.96.0.10:80', '[fd96::10]:80'];

/** Line to what Tab offers behind it. */
const CASES: readonly (readonly [line: string, offers: readonly string[]])[] = [
  ['ipvsadm d', ['diff', 'drain']],
  ['ipvsadm --st', ['--start-daemon', '--stop-daemon']],
  ['ipvsadm -A --s', ['--sched-flags', '--scheduler', '--sctp-service']],
  ['ipvsadm -A -t 10.0.0.1:80 --t', []],
  ['ipvsadm -A -t 10.0.0.1:80 --s', ['--sched-flags', '--scheduler']],
  ['ipvsadm -A -t 10.0.0.1:80 -s ', [...SCHEDULERS].sort()],
  ['ipvsadm -A -t10.0.0.1:80 --scheduler=wl', ['--scheduler=wlc']],
  ['ipvsadm -At 10.0.0.1:80 -swl', ['-swlc']],
  ['ipvsadm -A -t 10.0.0.1:80 -s sh -b ', ['flag-3', 'sh-fallback', 'sh-port']],
  ['ipvsadm -A -t 10.0.0.1:80 -s sh -b sh-port,s', ['sh-port,sh-fallback']],
  ['ipvsadm -A -t 10.0.0.1:80 -s mh -b mh-', ['mh-fallback', 'mh-port']],
  ['ipvsadm -A -t 10.0.0.1:80 -s rr -b ', ['flag-1', 'flag-2', 'flag-3']],
  ['ipvsadm -A -t 10.0.0.1:80 -p --n', ['--netmask']],
  ['ipvsadm -A -f 7 --i', ['--ipv6']],
  ['ipvsadm -A -t ', []],
  ['ipvsadm -E -t ', SERVICES],
  ['ipvsadm -D -t 10.96.0.10:', ['10.96.0.10:80']],
  ['ipvsadm -D -t 10.96.0.10:8', ['10.96.0.10:80']],
  ['ipvsadm -Dt ', SERVICES],
  ['ipvsadm -D -t10.9', ['-t10.96.0.10:80']],
  ['ipvsadm -D --tcp-service=10.9', ['--tcp-service=10.96.0.10:80']],
  ['ipvsadm --delete-service --udp-service ', ['10.96.0.10:53']],
  ['ipvsadm -D --sctp-service ', ['10.96.0.10:9']],
  ['ipvsadm -D --protocol-service ', ['47,10.96.0.10:0']],
  ['ipvsadm -Z -f ', ['100']],
  ['ipvsadm -L -t \\[fd96::10]:', ['[fd96::10]:80']],
  ['ipvsadm -a -t 10.96.0.10:80 -r ', []],
  ['ipvsadm -d -t 10.96.0.10:80 -r ', ['10.0.0.1:8080', '10.0.0.2:8080']],
  ['ipvsadm -e -t 10.96.0.10:80 -r 10.0.0.2:', ['10.0.0.2:8080']],
  ['ipvsadm -d -f 100 -r ', ['10.0.0.4:0']],
  ['ipvsadm -d -f 100 -6 -r ', ['[fd00::4]:0']],
  ['ipvsadm -d -t 9.9.9.9:9 -r ', []],
  ['ipvsadm drain -r 10.0.0.', ['10.0.0.1:8080', '10.0.0.2:8080', '10.0.0.3:53', '10.0.0.4:0']],
  ['ipvsadm undrain -u 10.96.0.10:53 -r ', ['10.0.0.3:53']],
  [`${TUNNEL} --tun-type `, ['gre', 'gue', 'ipip']],
  [`${TUNNEL} --tun-type gre --t`, ['--tun-csum', '--tun-flags', '--tun-nocsum']],
  ['ipvsadm -a -t 10.0.0.1:80 -r 10.0.0.2:80 -m --t', []],
  ['ipvsadm -a -t 10.0.0.1:80 -r 10.0.0.2:80 --forward ', ['bypass', 'local']],
  ['ipvsadm --start-daemon ', ['backup', 'master']],
  ['ipvsadm --stop-daemon=m', ['--stop-daemon=master']],
  ['ipvsadm --start-daemon master --mcast-interface l', ['lo']],
  ['ipvsadm -Lnc --s', ['--sort']],
  ['ipvsadm -L --js', ['--json']],
  ['ipvsadm -C -', []],
  ['ipvsadm -S --', ['--compat', '--numeric']],
  ['ipvsadm top --sort in', ['inactive', 'inbps', 'inpps']],
  ['ipvsadm top -i 1s --i', ['--iterations']],
  ['ipvsadm completion ', ['bash', 'fish', 'zsh']],
  ['ipvsadm diff --a', ['--append']],
  ['pointsman-ipvsadm -D -u ', ['10.96.0.10:53']],
  ['pointsman i', ['ipvsadm']],
  ['pointsman ipvsadm -D -t ', SERVICES],
  ['pointsman ipvsadm completion z', ['zsh']],
];

describe.each(SHELLS)('completion for %s', (shell) => {
  const reason = unavailable(shell);

  describe.skipIf(reason !== null)(
    reason === null ? 'in the shell itself' : `in the shell itself (skipped: ${reason})`,
    () => {
      it('is a script without mistakes of syntax', () => {
        expect(checkSyntax(shell)).toBe('');
      });

      it('offers what goes on from the line, and nothing else', async () => {
        const lines = CASES.map(([line]) => line);
        const offers = await complete(shell, lines, programsWith(RULES));
        expect(lines.map((line, index) => [line, offers[index]])).toEqual(
          CASES.map(([line, all]) => [line, all]),
        );
      });

      it('completes files for diff and restore', async () => {
        const cwd = join(folder, `files ${shell}`);
        mkdirSync(cwd);
        for (const name of ['rules.one', 'rules.two', 'other']) writeFileSync(join(cwd, name), '');
        const lines = ['ipvsadm diff rul', 'ipvsadm restore --merge rul', 'pointsman ipvsadm diff oth'];
        expect(await complete(shell, lines, programsWith(RULES), cwd)).toEqual([
          ['rules.one', 'rules.two'],
          ['rules.one', 'rules.two'],
          ['other'],
        ]);
      });

      it('never runs what the table or the line holds', async () => {
        const cwd = join(folder, `hostile ${shell}`);
        mkdirSync(cwd);
        // No blanks: they would divide the words of a rule.
        const run = 'touch${IFS}ran';
        const names = [
          `$(${run})`,
          `\`${run}\``,
          `x;${run};`,
          `x\${y:=$(${run})}`,
          `a[$(${run})]`,
          '*',
          '~',
          "'",
          '"',
          '\\',
        ];
        const hostile = names.map(
          (name) => `-A -t ${name}:80 -s rr\n-a -t 10.96.0.10:80 -r ${name}:80 -m -w 1\n`,
        );
        const path = programsWith(`${hostile.join('')}${RULES}`);
        const lines = [
          'ipvsadm -D -t ',
          'ipvsadm -d -t 10.96.0.10:80 -r ',
          // As whole words before the cursor; at the cursor only quoted, else the shell completes what is inside.
          ...[
            '$(touch ran)',
            '"$(touch ran)"',
            "'$(touch ran)'",
            '`touch${IFS}ran`',
            'a[$(touch${IFS}ran)]',
          ].flatMap((name) => [
            `ipvsadm -d -t ${name}:80 -r `,
            `ipvsadm -A -t 10.0.0.1:80 -s ${name} -b `,
            `ipvsadm --${name}=1 -${name} `,
            `ipvsadm ${name} `,
          ]),
          ...['"$(touch ran)"', "'$(touch ran)'", '"`touch${IFS}ran`"'].flatMap((name) => [
            `ipvsadm -E -t ${name}`,
            `ipvsadm diff ${name}`,
            `ipvsadm -A -t 10.0.0.1:80 -s sh -b ${name},`,
          ]),
        ];
        const [services, servers] = await complete(shell, lines, path, cwd);
        expect(existsSync(join(cwd, 'ran'))).toBe(false);
        expect(services).toEqual(SERVICES);
        expect(servers).toEqual(['10.0.0.1:8080', '10.0.0.2:8080']);
      });

      it('is quiet where the table may not be read', async () => {
        const path = join(folder, `refused ${shell}`);
        mkdirSync(path);
        writeScript(join(path, 'ipvsadm'), `echo "Can't initialize ipvs" >&2\nexit 2`);
        expect(await complete(shell, ['ipvsadm -D -t ', 'ipvsadm drain -r '], path)).toEqual([[], []]);
      });

      it('ends with a table without end', async () => {
        const path = join(folder, `endless ${shell}`);
        mkdirSync(path);
        writeScript(
          join(path, 'ipvsadm'),
          `exec awk 'BEGIN { for (n = 0; ; n++) print "-A -t 10.0." int(n / 256) "." n % 256 ":80 -s rr" }'`,
        );
        const [offers] = await complete(shell, ['ipvsadm -D -t 10.0.3.'], path);
        expect(offers?.length).toBe(256);
        const [all] = await complete(shell, ['ipvsadm -D -t '], path);
        expect(all?.length).toBeGreaterThanOrEqual(MAX_VALUES);
      });
    },
  );
});

describe('the scripts', () => {
  it('are there for bash, zsh and fish alone', () => {
    expect(Object.keys(COMPLETIONS)).toEqual([...SHELLS]);
    for (const name of ['constructor', 'toString', 'sh', '']) expect(COMPLETIONS[name]).toBeUndefined();
  });
});
