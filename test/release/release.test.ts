// What `npm run build` makes, run as users run it: both forms of the release, by each name, and that it is the same from build to build.

import { mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeRelease, MANIFESTS, ROOT, VERSION, type Release } from './build.ts';
import { describeHostile } from './hostile.ts';
import { run } from './run.ts';

let release: Release;
beforeAll(async () => {
  release = await makeRelease();
});
afterAll(() => release.remove());

const isRoot = process.geteuid?.() === 0;
const FORMS = [
  ['the folder', (): string => release.launcher],
  ['the executable', (): string => release.executable],
] as const;
const PLAN = ['plan', '--from-empty', '--hostname-override', 'node1', '--manifests', MANIFESTS];

describe.each(FORMS)('%s of a release', (form, program) => {
  /** A link to it, or to a link, as images and kubeasz have them. */
  const linkNamed = (path: string): string => {
    const link = join(release.folder, 'links', form.replace(' ', '-'), path);
    mkdirSync(dirname(link), { recursive: true });
    symlinkSync(program(), link);
    return link;
  };

  it('tells its version and nothing else', () => {
    expect(run(program(), ['--version'])).toEqual({
      status: 0,
      stdout: `pointsman ${VERSION}\n`,
      stderr: '',
    });
  });

  it('starts from what was compiled before', () => {
    const { stderr } = run(program(), ['--version'], { env: { POINTSMAN_TELL_START: '1' } });
    expect(stderr).toMatch(/^start: \/.*, compiled before\n$/);
  });

  // The executable takes its library out of itself, and only root has a folder for that everywhere.
  describe.skipIf(form === 'the executable' && !isRoot)('with system calls', () => {
    it('plans', () => {
      const { status, stdout } = run(program(), PLAN);
      expect(status).toBe(0);
      expect(stdout).toContain('TCP 10.96.50.10:8080 -> 10.244.2.11:8080  weight 1');
    });

    it('explains as the sources do', () => {
      const words = [
        'explain',
        '--from',
        'pod/hello-1',
        '--to',
        '10.96.50.10:8080',
        '--manifests',
        MANIFESTS,
      ];
      const ofSources = run(join(ROOT, 'bin/pointsman'), words, { env: { POINTSMAN_FROM_SOURCE: '1' } });
      expect(ofSources).toMatchObject({
        status: 0,
        stdout: expect.stringContaining('Service default/hello'),
      });
      expect(run(program(), words)).toEqual(ofSources);
    });

    it('exits 4 when changes are pending and that is asked for', () => {
      expect(run(program(), [...PLAN, '--detailed-exitcode']).status).toBe(4);
    });
  });

  it.each([
    ['a wrong option', ['plan', '--nonsense'], 2],
    ['a wrong command', ['nonsense'], 2],
    ['no command', [], 2],
    ['an option of Node.js', ['--inspect'], 2],
    ['a missing folder', ['explain', '--from=node', '--to=1.2.3.4:5', '--manifests=/nonexistent'], 1],
  ])('says of %s in one line what is wrong', (_case, words, expected) => {
    const { status, stdout, stderr } = run(program(), words);
    expect({ status, stdout }).toEqual({ status: expected, stdout: '' });
    expect(stderr).toMatch(/^error: .*\n$/);
  });

  it.each(['usr/local/bin/kube-proxy', 'opt/kube/bin/kube-proxy'])('is "run" as %s', (path) => {
    const link = linkNamed(path);
    const ofRun = run(program(), ['run', '--help']);
    expect(ofRun.stdout).toContain('--manifests');
    expect(run(link, ['--help'])).toEqual(ofRun);
    // An option of plan, and no command, is nothing that run knows.
    expect(run(link, ['--from-empty'])).toMatchObject({
      status: 2,
      stderr: expect.stringMatching(/^error: .*--from-empty.*\n$/),
    });
  });

  it.each(['usr/sbin/ipvsadm', 'usr/sbin/pointsman-ipvsadm'])('is ipvsadm as %s', (path) => {
    const link = linkNamed(path);
    expect(run(link, ['-h'])).toEqual(run(program(), ['ipvsadm', '-h']));
    expect(run(link, ['-h']).stdout).toContain('Usage:');
    expect(run(link, ['--nonsense'])).toMatchObject({ status: 2, stdout: '' });
  });

  // ipvsadm-restore clears the table of this machine; hostile.ts has it wait for its rules.
  it('is the script ipvsadm-save by that name', () => {
    const { status, stderr } = run(linkNamed('sbin/ipvsadm-save'), ['--nonsense']);
    expect(status).toBe(1);
    expect(stderr).toMatch(/^ipvsadm-save: .*\n$/);
  });

  describe('in hostile surroundings', () => {
    describeHostile(program, form === 'the executable');
  });
});

describe('a release', () => {
  it('has the sums of all of its files', () => {
    const { status, stdout } = run('/usr/bin/sha256sum', ['--check', '--strict', 'SHA256SUMS'], {
      cwd: release.folder,
    });
    expect(status).toBe(0);
    expect(stdout.trim().split('\n')).toHaveLength(8);
  });

  it('is the same to the byte when it is built again', async () => {
    const again = await makeRelease();
    try {
      const sums = (folder: string): string => readFileSync(join(folder, 'SHA256SUMS'), 'utf8');
      expect(sums(again.folder)).toBe(sums(release.folder));
    } finally {
      again.remove();
    }
  });
});
