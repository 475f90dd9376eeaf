// bin/pointsman as a user calls it, with wrong input and on a machine that lacks what it needs: each failure is one line that says
// what, where and what to do, with the exit code that the manual promises.

import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const POINTSMAN = fileURLToPath(new URL('../../bin/pointsman', import.meta.url));
const HELLO = fileURLToPath(new URL('../../examples/hello/manifests', import.meta.url));
const NODE = ['--hostname-override', 'node1'];
const HAS_IPVS = existsSync('/proc/net/ip_vs');
const IS_ROOT = process.getuid?.() === 0;
const NOBODY = ['--reuid', '65534', '--regid', '65534', '--clear-groups'];

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pointsman-e2e-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function call(program: string, args: readonly string[]): Ended {
  const { status, stdout, stderr } = spawnSync(program, args, {
    encoding: 'utf8',
    timeout: 100_000,
    maxBuffer: 1 << 26,
    cwd: folder,
  });
  return { code: status, stdout, stderr };
}

const pointsman = (...args: string[]): Ended => call(POINTSMAN, args);
const asNobody = (...args: string[]): Ended => call('setpriv', [...NOBODY, POINTSMAN, ...args]);

function file(name: string, text: string): string {
  const path = join(folder, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, text);
  return path;
}

/** Nothing on standard output, one line on standard error (an agent that had begun may have logged before), and that code. */
function expectFailure(ended: Ended, code: number, line: string | RegExp): void {
  const stderr = ended.stderr.replaceAll(/^[IWEF]\d{4} .*\n/gm, '');
  expect(stderr).toMatch(/^error: [^\n]+\n$/);
  expect(stderr.slice('error: '.length, -1)).toMatch(line);
  expect({ code: ended.code, stdout: ended.stdout }).toEqual({ code, stdout: '' });
}

describe('a wrong command line ends with 2', () => {
  it.each<[string, string[], RegExp]>([
    ['no command', [], /no command given/],
    ['an unknown command', ['nonsense'], /unknown command 'nonsense'/],
    ['a misspelt command', ['statsu'], /unknown command 'statsu'.*status/],
    ['an unknown option', ['run', '--manifests', HELLO, '--bogus'], /unknown option '--bogus'/],
    ['run without a source', ['run'], /^nothing says where Services come from: give --manifests DIR/],
    ['plan without a source', ['plan', '--from-empty'], /^nothing says where Services come from/],
    [
      'two sources',
      ['run', '--manifests', HELLO, '--replay', 'x'],
      /--manifests and --replay are two sources/,
    ],
    ['a speed without a recording', ['run', '--replay-speed', '2'], /--replay-speed needs --replay FILE/],
    ['a speed that is none', ['run', '--replay', 'x', '--replay-speed', 'fast'], /it is no speed/],
    ['a kubeconfig that does not exist', ['plan', '--kubeconfig', '/none/config'], /\/none\/config/],
    ['an option without its value', ['run', '--manifests'], /argument missing/],
    ['an argument too many', ['run', '--manifests', HELLO, 'more'], /too many arguments/],
    ['an unknown output format', ['plan', '--manifests', HELLO, '-o', 'yaml'], /text, json/],
    ['a verbosity that is no number', ['run', '--manifests', HELLO, '-v', 'high'], /-v takes a number/],
    ['a Service without a namespace', ['status', 'web'], /namespace\/name/],
    [
      'a node name that no Node can have',
      ['plan', '--from-empty', '--manifests', HELLO, '--hostname-override', 'A_B'],
      /--hostname-override/,
    ],
  ])('%s', (_, args, line) => {
    expectFailure(pointsman(...args), 2, line);
  });
});

describe('a wrong configuration', () => {
  const config = (text: string): string =>
    file(
      'config.yaml',
      `apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n${text}`,
    );
  const plan = (path: string): Ended =>
    pointsman('plan', '--from-empty', '--manifests', HELLO, ...NODE, '--config', path);

  it.each<[string, string, number, RegExp]>([
    ['a mode that this build does not have', 'mode: iptables\n', 3, /config\.yaml:3:7: mode "iptables"/],
    ['an unknown scheduler', 'mode: ipvs\nipvs: {scheduler: best}\n', 2, /config\.yaml:4:\d+: .*best/],
    [
      'a value of the wrong type',
      'mode: ipvs\niptables: {masqueradeBit: many}\n',
      2,
      /config\.yaml:4:\d+: .*masqueradeBit/,
    ],
    ['broken YAML', 'mode: [\n', 2, /config\.yaml:\d+:\d+: not valid YAML/],
  ])('%s is named with file, line and column', (_, text, code, line) => {
    const path = config(text);
    expectFailure(plan(path), code, line);
    expectFailure(pointsman('run', '--manifests', HELLO, ...NODE, '--config', path), code, line);
  });

  it('that does not exist is named', () => {
    expectFailure(plan(join(folder, 'none.yaml')), 2, /none\.yaml/);
  });
});

describe('a machine that lacks something ends run with 3', () => {
  it.skipIf(HAS_IPVS || !IS_ROOT)(
    'a kernel without IPVS is named with its remedy (skipped where it has IPVS, or without root)',
    () => {
      expectFailure(pointsman('run', '--manifests', HELLO, ...NODE), 3, /no IPVS.*modprobe ip_vs/);
      expectFailure(pointsman('run', '--manifests', HELLO, ...NODE, '--once'), 3, /no IPVS.*modprobe ip_vs/);
      expectFailure(pointsman('plan', '--manifests', HELLO, ...NODE), 3, /no IPVS.*modprobe ip_vs/);
    },
  );

  it.skipIf(!IS_ROOT)(
    'a user who is not root is told so (skipped without root: it becomes another user)',
    () => {
      expectFailure(asNobody('run', '--manifests', HELLO, ...NODE), 3, /root/);
    },
  );
});

describe('manifests', () => {
  const planOf = (path: string, ...more: string[]): Ended =>
    pointsman('plan', '--from-empty', '--manifests', path, ...NODE, ...more);

  it('in a folder that does not exist, or that is a file, end with 1', () => {
    expectFailure(planOf(join(folder, 'none')), 1, /none: there is no such folder/);
    expectFailure(planOf(join(HELLO, 'hello.yaml')), 1, /hello\.yaml: it is no folder/);
  });

  it('with a broken file are planned without it, and the place is named', () => {
    file('broken/good.yaml', readFileSync(join(HELLO, 'hello.yaml'), 'utf8'));
    file('broken/bad.yaml', 'kind: Service\nmetadata: {name: x\nspec: 1\n');
    const { code, stdout, stderr } = planOf(join(folder, 'broken'));
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(/^ {2}! bad\.yaml:\d+:\d+: not valid YAML/m);
    expect(stdout).toContain('+ TCP 10.96.50.10:8080');
  });

  it('with a wrong object are planned without it, and object and field are named', () => {
    file(
      'wrong/a.yaml',
      'apiVersion: v1\nkind: Service\nmetadata: {name: w, namespace: d}\nspec:\n  clusterIP: 10.0.0.1\n  ports: [{port: 99999}]\n',
    );
    const { code, stdout } = planOf(join(folder, 'wrong'));
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ {2}! .*Service d\/w.*ports\[0\]\.port/m);
    expect(stdout).not.toContain('10.0.0.1:');
  });

  it('cannot forge lines of the plan or of the terminal', () => {
    const evil = '"x\\n  + TCP 6.6.6.6:66\\u001b[2Jy"';
    file(
      'evil/a.yaml',
      `apiVersion: v1\nkind: Service\nmetadata: {name: ${evil}, namespace: d}\nspec: {clusterIP: ${evil}, ports: [{port: 1}]}\n`,
    );
    const { stdout, stderr } = planOf(join(folder, 'evil'));
    expect(stdout + stderr).not.toMatch(/^ {2}\+ TCP 6\.6\.6\.6/m);
    expect(stdout + stderr).not.toContain('\u001b');
  });

  it('with 10,000 endpoints behind one Service are planned', () => {
    file(
      'many/service.yaml',
      'apiVersion: v1\nkind: Service\nmetadata: {name: many, namespace: d}\nspec: {clusterIP: 10.96.0.7, ports: [{port: 80}]}\n',
    );
    for (let i = 0; i < 10; i++) {
      const endpoints = Array.from(
        { length: 1000 },
        (_, k) => `- {addresses: [10.${i}.${k >> 8}.${k & 255}], conditions: {ready: true}}`,
      );
      file(
        `many/slice-${i}.yaml`,
        `apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: many-${i}, namespace: d, labels: {kubernetes.io/service-name: many}}\naddressType: IPv4\nports: [{port: 8080, protocol: TCP}]\nendpoints:\n${endpoints.join('\n')}\n`,
      );
    }
    const { code, stdout, stderr } = planOf(join(folder, 'many'), '-o', 'json');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { changes } = JSON.parse(stdout) as { changes: { kind: string; object: string }[] };
    expect(
      new Set(changes.filter(({ kind }) => kind === 'realServer').map(({ object }) => object)).size,
    ).toBe(10_000);
  });
});

describe('plan --from-empty', () => {
  const args = ['plan', '--from-empty', '--manifests', HELLO, ...NODE];

  it.skipIf(!IS_ROOT)(
    'needs no root and prints the same again (skipped without root: it becomes another user)',
    () => {
      const first = asNobody(...args);
      expect({ code: first.code, stderr: first.stderr }).toEqual({ code: 0, stderr: '' });
      expect(first.stdout).toMatch(/^Plan for node1: \d+ to add, /m);
      expect(asNobody(...args)).toEqual(first);
      expect(pointsman(...args)).toEqual(first);
    },
  );

  it('says by its exit code that something would change only when asked to', () => {
    expect(pointsman(...args).code).toBe(0);
    expect(pointsman(...args, '--detailed-exitcode').code).toBe(4);
  });

  it('does not mind a reader that leaves early', async () => {
    const child = spawn(POINTSMAN, [...args, '-o', 'json'], { stdio: ['ignore', 'pipe', 'pipe'] });
    let stderr = '';
    child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
    child.stdout.destroy();
    const code = await new Promise((resolve) => child.once('close', resolve));
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });
});

describe('status', () => {
  it.each([
    ['nothing is there', () => join(folder, 'none.sock')],
    ['a file is there that is no socket', () => file('file.sock', '')],
    ['the path is too long for a socket', () => join(folder, 'x'.repeat(200))],
  ])('without an agent ends with 1: %s', (_, path) => {
    expectFailure(pointsman('status', '--socket', path()), 1, /no agent answers on .*pointsman run/);
  });
});
