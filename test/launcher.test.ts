// bin/pointsman: which Node.js it takes, what it passes on, and what it says when there is none. Real sh, real links; the Node.js
// of these tests is a script that says how it was called.

import { spawnSync } from 'node:child_process';
import { chmodSync, cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
const TIMEOUT_MS = 100_000;
/** What the launcher takes from the environment besides NODE_OPTIONS and NODE_PATH. */
const REFUSED_VARIABLES = [
  'NODE_COMPILE_CACHE',
  'NODE_REPL_EXTERNAL_MODULE',
  'NODE_V8_COVERAGE',
  'NODE_DEBUG',
  'NODE_DEBUG_NATIVE',
  'NODE_REDIRECT_WARNINGS',
  'NODE_TLS_REJECT_UNAUTHORIZED',
  'NODE_ICU_DATA',
  'OPENSSL_CONF',
  'OPENSSL_MODULES',
  'OPENSSL_ENGINES',
];
const ARCH = process.arch === 'x64' ? 'x64' : 'arm64';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pointsman launcher-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let count = 0;
/** A checkout of its own with the real launcher; its node_modules and the folder for PATH hold a Node.js of the given versions. */
function checkout(versions: { pinned?: string; onPath?: string }): { root: string; path: string } {
  const root = join(folder, `checkout ${count++}`);
  const path = join(root, 'path');
  mkdirSync(path, { recursive: true });
  mkdirSync(join(root, 'bin'));
  cpSync(join(ROOT, 'bin/pointsman'), join(root, 'bin/pointsman'));
  const put = (where: string, version: string | undefined, name: string): void => {
    if (version === undefined) return;
    mkdirSync(where, { recursive: true });
    const script = `#!/bin/sh
[ "$*" = --version ] && { echo ${version}; exit 0; }
echo "${name} argv0=$POINTSMAN_ARGV0 options=\${NODE_OPTIONS-unset} path=\${NODE_PATH-unset}"
for word in "$@"; do echo "<$word>"; done
env
exit 7
`;
    writeFileSync(join(where, 'node'), script);
    chmodSync(join(where, 'node'), 0o755);
  };
  put(join(root, `node_modules/node-linux-${ARCH}/bin`), versions.pinned, 'pinned');
  put(path, versions.onPath, 'from PATH');
  // Only what the launcher may need: a node of this machine must not be found.
  for (const tool of ['uname', 'readlink', 'sh', 'env']) symlinkSync(`/usr/bin/${tool}`, join(path, tool));
  return { root, path };
}

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(
  program: string,
  path: string,
  args: readonly string[] = [],
  cwd = '/',
  env: Readonly<Record<string, string>> = {},
): Ended {
  const { status, stdout, stderr } = spawnSync(program, args, {
    cwd,
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    env: { PATH: path, NODE_OPTIONS: '--no-such-option', NODE_PATH: '/nowhere', ...env },
  });
  return { status, stdout, stderr };
}

describe('bin/pointsman', () => {
  it('runs the pinned Node.js with all words as they are, without the settings of the caller', () => {
    const { root, path } = checkout({ pinned: 'v24.21.0', onPath: 'v99.0.0' });
    const { status, stdout } = start(join(root, 'bin/pointsman'), path, ['plan', 'two words', '', '*']);
    const lines = stdout.split('\n');
    expect(lines[0]).toBe('pinned argv0=pointsman options=unset path=unset');
    expect(lines).toContain('<--disable-sigusr1>');
    const words = lines.filter((line) => line.startsWith('<'));
    expect(words.slice(-5)).toEqual([`<${root}/src/cli/main.ts>`, '<plan>', '<two words>', '<>', '<*>']);
    expect(status).toBe(7);
  });

  it('takes from the environment what would load code, listen, write or tell', () => {
    const { root, path } = checkout({ pinned: 'v24.21.0' });
    const refused = Object.fromEntries(REFUSED_VARIABLES.map((name) => [name, 'evil']));
    const { stdout } = start(join(root, 'bin/pointsman'), path, [], '/', {
      ...refused,
      NODE_EXTRA_CA_CERTS: '/ca',
    });
    expect(stdout).not.toContain('evil');
    expect(stdout).toContain('NODE_EXTRA_CA_CERTS=/ca\n');
  });

  it.each(['kube-proxy', 'ipvsadm'])('closes the debugger to signals as %s', (name) => {
    const { root, path } = checkout({ pinned: 'v24.21.0' });
    symlinkSync('pointsman', join(root, 'bin', name));
    expect(start(join(root, 'bin', name), path).stdout).toContain('<--disable-sigusr1>\n');
  });

  it('gives the agent the flags under which the bundled program was compiled', async () => {
    const { NODE_FLAGS } = (await import(new URL('../setup/program.mjs', import.meta.url).href)) as {
      NODE_FLAGS: readonly string[];
    };
    const { root, path } = checkout({ pinned: 'v24.21.0' });
    const words = start(join(root, 'bin/pointsman'), path).stdout.match(/^<.*>$/gm);
    expect(words).toEqual([...NODE_FLAGS, `${root}/src/cli/main.ts`].map((word) => `<${word}>`));
  });

  it('does not take a Node.js that PATH finds in the current folder', () => {
    const { root, path } = checkout({});
    cpSync(join(checkout({ onPath: 'v24.21.0' }).path, 'node'), join(root, 'node'));
    for (const found of ['.', '', './']) {
      const { status, stdout } = start(join(root, 'bin/pointsman'), `${found}:${path}`, [], root);
      expect({ status, stdout }).toEqual({ status: 3, stdout: '' });
    }
  });

  describe('in a release', () => {
    const release = (versions: { own?: string; onPath?: string }): { root: string; path: string } => {
      const made = checkout({ pinned: 'v24.99.0', onPath: versions.onPath });
      mkdirSync(join(made.root, 'lib'));
      writeFileSync(join(made.root, 'lib/pointsman.cjs'), '');
      if (versions.own !== undefined)
        cpSync(join(checkout({ onPath: versions.own }).path, 'node'), join(made.root, 'bin/node'));
      return made;
    };

    it.each(['pointsman', 'kube-proxy', 'ipvsadm', 'ipvsadm-save'])('starts the same file as %s', (name) => {
      const { root, path } = release({ onPath: 'v24.0.0' });
      if (name !== 'pointsman') symlinkSync('pointsman', join(root, 'bin', name));
      // What tests of a checkout ask for has no meaning here.
      const { stdout } = start(join(root, 'bin', name), path, ['x'], '/', { POINTSMAN_FROM_SOURCE: '1' });
      expect(stdout).toContain(`argv0=${name} `);
      expect(stdout).toContain(`<${root}/lib/pointsman.cjs>\n<x>\n`);
    });

    it('takes the Node.js beside it, else that of PATH', () => {
      const own = release({ own: 'v24.0.0' });
      expect(start(join(own.root, 'bin/pointsman'), own.path).status).toBe(7);
      const onPath = release({ onPath: 'v24.0.0' });
      expect(start(join(onPath.root, 'bin/pointsman'), onPath.path).stdout).toMatch(/^from PATH /);
    });

    it('says where to put one', () => {
      const { root, path } = release({ onPath: 'v20.0.0' });
      const { status, stderr } = start(join(root, 'bin/pointsman'), path);
      expect(status).toBe(3);
      expect(stderr).toMatch(/^error: .*; put Node\.js 24 at .*\/bin\/node or install it\n$/);
    });
  });

  it.each([
    ['an absolute link', 'kube-proxy', 'src/cli/main.ts', (root: string) => `${root}/bin/pointsman`],
    ['a relative link', 'pointsman-ipvsadm', 'src/ipvsadm/main.ts', () => '../bin/pointsman'],
    ['a link named ipvsadm', 'ipvsadm', 'src/ipvsadm/main.ts', () => '../bin/pointsman'],
    ['a link named ipvsadm-restore', 'ipvsadm-restore', 'src/ipvsadm/main.ts', () => '../bin/pointsman'],
  ])(
    'finds its checkout and program through %s and passes the called name on',
    (_case, name, entry, target) => {
      const { root, path } = checkout({ pinned: 'v24.21.0' });
      mkdirSync(join(root, 'sbin'));
      symlinkSync(target(root), join(root, 'sbin', name));
      symlinkSync(`sbin/${name}`, join(root, name));
      for (const program of [join(root, 'sbin', name), join(root, name), `./${name}`]) {
        const { stdout } = start(program, path, [], root);
        expect(stdout.split('\n')[0]).toContain(`argv0=${name} `);
        expect(stdout).toContain(`<${root}/${entry}>`);
      }
    },
  );

  it('prefers the bundled ipvsadm, but not where the sources are asked for', () => {
    const { root, path } = checkout({ pinned: 'v24.21.0' });
    mkdirSync(join(root, 'dist'));
    writeFileSync(join(root, 'dist/ipvsadm.cjs'), '');
    symlinkSync('pointsman', join(root, 'bin/ipvsadm'));
    const program = join(root, 'bin/ipvsadm');
    expect(start(program, path, ['-Ln']).stdout).toContain(`<${root}/dist/ipvsadm.cjs>\n<-Ln>`);
    const { stdout } = start(program, path, [], '/', { POINTSMAN_FROM_SOURCE: '1' });
    expect(stdout).toContain(`<${root}/src/ipvsadm/main.ts>`);
  });

  it('prefers the bundled program, that of the tests where they ask for it', () => {
    const { root, path } = checkout({ pinned: 'v24.21.0' });
    const program = join(root, 'bin/pointsman');
    const entryOf = (env: Readonly<Record<string, string>> = {}): string | undefined =>
      /<(.*(?:main\.ts|pointsman\.cjs))>/.exec(start(program, path, ['run'], '/', env).stdout)?.[1];
    expect(entryOf()).toBe(`${root}/src/cli/main.ts`);
    for (const dist of ['dist', 'dist-test']) {
      mkdirSync(join(root, dist));
      writeFileSync(join(root, dist, 'pointsman.cjs'), '');
    }
    expect(entryOf()).toBe(`${root}/dist/pointsman.cjs`);
    expect(entryOf({ POINTSMAN_TEST_BUNDLE: '1' })).toBe(`${root}/dist-test/pointsman.cjs`);
    expect(entryOf({ POINTSMAN_TEST_BUNDLE: '1', POINTSMAN_FROM_SOURCE: '1' })).toBe(
      `${root}/src/cli/main.ts`,
    );
  });

  it.each(['v22.18.0', 'v22.20.1', 'v23.7.0', 'v24.0.0', 'v100.1.0'])(
    'takes a Node.js %s of PATH when the checkout has none',
    (version) => {
      const { root, path } = checkout({ onPath: version });
      expect(start(join(root, 'bin/pointsman'), path).stdout).toMatch(/^from PATH /);
    },
  );

  it.each(['v20.20.2', 'v22.17.9', 'v23.6.1', 'v9.0.0', 'nonsense', ''])(
    'refuses a Node.js "%s" of PATH with one line and exit 3',
    (version) => {
      const { root, path } = checkout({ onPath: version });
      const { status, stdout, stderr } = start(join(root, 'bin/pointsman'), path);
      expect({ status, stdout }).toEqual({ status: 3, stdout: '' });
      expect(stderr).toMatch(/^error: .* has no Node\.js of its own and PATH has none >= 22\.18; run .*\n$/);
    },
  );

  it('says in one line that there is no Node.js at all', () => {
    const { root, path } = checkout({});
    const { status, stderr } = start(join(root, 'bin/pointsman'), path);
    expect(status).toBe(3);
    expect(stderr.trimEnd().split('\n')).toHaveLength(1);
  });

  it('starts the real program without a warning of Node.js on stderr', () => {
    const { status, stdout, stderr } = start(join(ROOT, 'bin/pointsman'), '/usr/bin:/bin', ['--version']);
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    expect(stdout).toMatch(/^pointsman \d+\.\d+\.\d+/);
  });
});
