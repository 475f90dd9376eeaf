// `npm run lab` with commands piped in.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { ipvsKernel } from './boot.ts';

const unavailable = ipvsKernel.probe();
const SHELL = fileURLToPath(new URL('./shell.ts', import.meta.url));

function lab(
  input: string,
  env: NodeJS.ProcessEnv = {},
): { code: number | null; stdout: string; stderr: string } {
  const args = ['--disable-warning=ExperimentalWarning', SHELL];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    input,
    encoding: 'utf8',
    timeout: 300_000,
    env: { ...process.env, ...env },
  });
  return { code: status, stdout, stderr };
}

describe.skipIf(unavailable !== null)(
  unavailable === null ? 'the lab shell' : `the lab shell (skipped: ${unavailable})`,
  () => {
    it('runs the commands on its standard input and ends with the code of the shell', () => {
      const { code, stdout, stderr } = lab('ipvsadm -Ln\necho to stderr >&2\nexit 3');
      expect(code).toBe(3);
      expect(stdout).toContain('Prot LocalAddress:Port Scheduler Flags');
      expect(stderr).toBe('to stderr\n');
    });

    it('has a network whose pods answer, the example beside it and pointsman on PATH', () => {
      const ask = (from: string, to: string): string =>
        `${from} timeout 5 bash -c 'head -n 1 </dev/tcp/${to}'\n`;
      const { code, stdout } = lab(
        `${ask('', '10.244.1.11/8080')}${ask('ip netns exec node2', '10.244.2.11/53')}
      ls manifests; command -v pointsman; ip netns exec client1 ip -br -4 addr show scope global | wc -l`,
      );
      const [pod, remote, ...rest] = stdout.trim().split('\n');
      expect(pod).toContain('"server":"pod1"');
      expect(remote).toContain('"server":"remote1"');
      expect(rest).toEqual([
        'dns.yaml',
        'hello.yaml',
        'node.yaml',
        fileURLToPath(new URL('../bin/pointsman', import.meta.url)),
        '1',
      ]);
      expect(code).toBe(0);
    });
  },
);

describe('the lab shell on a machine without a lab', () => {
  it('says why in one line and ends with 3', () => {
    expect(lab('', { POINTSMAN_LAB_UNAVAILABLE: 'no lab in this build' })).toEqual({
      code: 3,
      stdout: '',
      stderr: 'error: the lab cannot run here: no lab in this build\n',
    });
  });
});
