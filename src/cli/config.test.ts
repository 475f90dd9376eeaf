// `pointsman config` and `--write-config-to`, called as a user does: what is printed where, exit codes, and files written whole.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parseConfig } from '../config/parse.ts';

const MAIN = join(import.meta.dirname, 'main.ts');
const HEAD = 'apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\n';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'pointsman-config-command-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** Starts the program in the folder. */
function pointsman(...args: string[]): { code: number | null; stdout: string; stderr: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], {
    encoding: 'utf8',
    cwd: folder,
    timeout: 100_000,
  });
  return { code: status, stdout, stderr };
}

describe('config', () => {
  test('prints what is in force with its origins, and warnings elsewhere', () => {
    writeFileSync(join(folder, 'kp.conf'), `${HEAD}ipvs:\n  scheduler: lc\n  strictArp: true\n`);
    const { code, stdout, stderr } = pointsman('config', '--config', 'kp.conf', '-v4', '--ipvs_scheduler=sh');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ {2}scheduler: lc +# file kp\.conf:5$/m);
    expect(stdout).toMatch(/^ {2}verbosity: 4 +# flag -v$/m);
    expect(parseConfig(stdout, 'printed').config.ipvs.scheduler).toBe('lc');
    expect(stderr.split('\n')).toEqual([
      'warning: --ipvs_scheduler is an old spelling; write --ipvs-scheduler',
      'warning: --ipvs-scheduler is void beside --config; set ipvs.scheduler in kp.conf',
      'warning: kp.conf:6:14: ipvs.strictArp: there is no such field: it is ignored; did you mean ipvs.strictARP?',
      '',
    ]);
  });

  test('prints the same for programs', () => {
    const { code, stdout, stderr } = pointsman(
      'config',
      '-o',
      'json',
      '--ipvs-scheduler',
      'sh',
      '--feature-gates=X=true',
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({
      config: {
        mode: 'ipvs',
        ipvs: { scheduler: 'sh', minSyncPeriod: '1s' },
        pointsman: { serviceTraffic: 'Off' },
      },
      origins: { 'ipvs.scheduler': 'flag --ipvs-scheduler', mode: 'default' },
      warnings: ['--feature-gates: feature gate X has no effect in Pointsman; remove it'],
    });
  });

  test.each<[name: string, args: string[], code: number, lines: (string | RegExp)[]]>([
    [
      'every mistake',
      ['--config=kp.conf', '--v=x'],
      2,
      [
        /^error: -v: "x" is not valid/,
        /^error: kp\.conf:4:14: bindAddress/,
        /^error: kp\.conf:5:8: ipvs\.syncPeriod|kp\.conf:5/,
      ],
    ],
    [
      'a mode that this build does not have',
      ['--proxy-mode=nftables'],
      3,
      [/^error: --proxy-mode: mode "nftables"/],
    ],
    ['a file that is missing', ['--config=nowhere'], 2, [/^error: nowhere: it cannot be read \(ENOENT\)/]],
    [
      'an unknown flag',
      ['--ipvs-schedler=rr'],
      2,
      [/^error: unknown option .*did you mean --ipvs-scheduler\?/],
    ],
    ['an argument', ['kp.conf'], 2, [/^error: too many arguments/]],
    ['a format that there is not', ['-o', 'yaml'], 2, [/^error: .*'yaml' is invalid/]],
  ])('tells %s', (_name, args, code, lines) => {
    writeFileSync(join(folder, 'kp.conf'), `${HEAD}bindAddress: x\nipvs: {syncPeriod: soon}\n`);
    const ended = pointsman('config', ...args);
    expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code, stdout: '' });
    const told = ended.stderr.trimEnd().split('\n');
    expect(told).toHaveLength(lines.length);
    lines.forEach((line, index) => expect(told[index]).toMatch(line));
  });

  test('--help names the flags of kube-proxy, run --help does, and nothing else is done', () => {
    for (const args of [
      ['config', '--help'],
      ['run', '--help', '--nonsense'],
      ['help', 'run'],
    ]) {
      const { code, stdout, stderr } = pointsman(...args);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toContain('--conntrack-tcp-timeout-established');
    }
  });
});

describe('run --write-config-to', () => {
  test('writes what is in force, in place of what is there', () => {
    const target = join(folder, 'out.conf');
    writeFileSync(join(folder, 'other'), 'untouched');
    symlinkSync('other', target);
    const { code, stdout, stderr } = pointsman(
      ...['run', '--write-config-to', target, '--ipvs-scheduler=sh', '--cluster-cidr', '10.0.0.0/8'],
    );
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: '',
      stderr: `wrote the configuration to ${target}\n`,
    });
    expect(readFileSync(join(folder, 'other'), 'utf8')).toBe('untouched');
    expect(readdirSync(folder).sort()).toEqual(['other', 'out.conf']);
    expect(parseConfig(readFileSync(target, 'utf8'), target).config).toMatchObject({
      ipvs: { scheduler: 'sh' },
      clusterCIDRs: { ipv4: '10.0.0.0/8' },
      minSyncPeriodMs: 1000,
    });
  });

  test('says what prevents it', () => {
    const { code, stderr } = pointsman('run', '--write-config-to=nowhere/out.conf');
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /^error: --write-config-to: nowhere\/out\.conf cannot be written: ENOENT.*folder that exists\n$/,
    );
    expect(pointsman('run', '--write-config-to=out', '--oom-score-adj=5000')).toMatchObject({
      code: 2,
      stderr: 'error: --oom-score-adj: 5000 is not valid; write a whole number from -1000 to 1000\n',
    });
    expect(readdirSync(folder)).toEqual([]);
  });
});

test('run --version prints the version', () =>
  expect(pointsman('run', '--version')).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^pointsman \d/),
  }));
