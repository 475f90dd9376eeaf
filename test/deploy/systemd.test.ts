// The units of deploy/: known keys only, programs and flags that there are. Where systemd is installed, it has the last word.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import { AGENT_SOCKET } from '../../src/http/agent-socket-path.ts';
import { readObjects, readText } from './objects.ts';
import { flagNames, PROXY_FLAGS } from './proxy-flags.ts';
import { commandOf, parseUnit, valueOf } from './systemd-unit.ts';

/** What kubeasz fills into its templates. */
const KUBEASZ: Readonly<Record<string, string>> = {
  bin_dir: '/opt/kube/bin',
  CLUSTER_CIDR: '172.20.0.0/16',
  K8S_NODENAME: 'worker-01',
};
/** A template with nothing in it but plain variables. Throws Error for others. */
function fill(text: string): string {
  return text.replaceAll(/\{\{ *(.*?) *\}\}/g, (_, name: string) => {
    const value = KUBEASZ[name];
    if (value === undefined) throw new Error(`kubeasz has no ${name}`);
    return value;
  });
}

const UNITS = {
  'pointsman.service': readText('deploy/systemd/pointsman.service'),
  'kube-proxy.service': fill(readText('deploy/kubeasz/kube-proxy.service.j2')),
} as const;
const names = Object.keys(UNITS) as (keyof typeof UNITS)[];

describe.each(names)('%s', (name) => {
  const unit = parseUnit(UNITS[name]);

  it('starts the program by a path that the documentation gives it, with flags that there are', () => {
    const [program, ...args] = commandOf(unit);
    expect(program).toBe(
      name === 'kube-proxy.service' ? '/opt/kube/bin/kube-proxy' : '/usr/local/bin/pointsman',
    );
    if (name === 'pointsman.service') expect(args.shift()).toBe('run');
    expect(args.every((word) => word.startsWith('-'))).toBe(true);
    for (const flag of flagNames(args)) expect(PROXY_FLAGS).toContain(flag);
  });

  it('comes back whatever happens, and has time to stop', () => {
    expect(valueOf(unit, 'Service', 'Restart')).toBe('always');
    expect(valueOf(unit, 'Unit', 'StartLimitIntervalSec')).toBe('0');
    expect(Number(valueOf(unit, 'Service', 'TimeoutStopSec'))).toBeGreaterThan(10);
    expect(valueOf(unit, 'Install', 'WantedBy')).toBe('multi-user.target');
  });

  it('makes the folder of the control socket, for root alone', () => {
    expect(`/run/${valueOf(unit, 'Service', 'RuntimeDirectory')}/agent.sock`).toBe(AGENT_SOCKET);
    expect(valueOf(unit, 'Service', 'RuntimeDirectoryMode')).toBe('0700');
  });

  const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0;
  it.skipIf(!hasSystemd)('systemd finds nothing wrong with it', () => {
    const folder = mkdtempSync(join(tmpdir(), 'pointsman-unit-'));
    try {
      // It looks whether the program is there, so it gets one; the folder that kubeasz makes is not there either.
      mkdirSync(join(folder, 'bin'));
      const program = join(folder, 'bin/program');
      writeFileSync(program, '#!/bin/sh\n', { mode: 0o755 });
      const text = UNITS[name].replace(/^ExecStart=\S+/m, `ExecStart=${program}`);
      writeFileSync(join(folder, name), text.replace(/^WorkingDirectory=.*$/m, 'WorkingDirectory=/'));
      const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', join(folder, name)], {
        encoding: 'utf8',
      });
      expect([status, stderr.split('\n').filter((line) => line.includes(name))]).toEqual([0, []]);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('pointsman.service', () => {
  it('leaves what the agent works with', () => {
    const unit = parseUnit(UNITS['pointsman.service']);
    const capabilities = valueOf(unit, 'Service', 'CapabilityBoundingSet').split(' ');
    expect(capabilities).toEqual(
      expect.arrayContaining(['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_SYS_MODULE', 'CAP_SYS_ADMIN']),
    );
    expect(valueOf(unit, 'Service', 'RestrictAddressFamilies').split(' ')).toEqual(
      expect.arrayContaining(['AF_UNIX', 'AF_NETLINK', 'AF_INET', 'AF_INET6']),
    );
    const service = unit.get('Service');
    for (const key of [
      'ProtectKernelTunables',
      'ProtectKernelModules',
      'PrivateNetwork',
      'MemoryDenyWriteExecute',
    ])
      expect(service?.has(key), key).toBe(false);
  });
});

describe('pointsman.service and the DaemonSets', () => {
  it('give the executable a folder for its library that nobody else can write to', () => {
    const unit = parseUnit(UNITS['pointsman.service']);
    const folder = `/var/lib/${valueOf(unit, 'Service', 'StateDirectory')}`;
    expect(valueOf(unit, 'Service', 'StateDirectoryMode')).toBe('0700');
    for (const variant of ['privileged', 'minimal-capabilities']) {
      const text = JSON.stringify(readObjects(`deploy/kubernetes/${variant}/daemon-set.yaml`));
      expect(text).toContain(`{"name":"state","mountPath":"${folder}"}`);
      expect(text).toContain(`{"name":"state","hostPath":{"path":"${folder}","type":"DirectoryOrCreate"}}`);
    }
  });
});

describe('kubeasz', () => {
  it("its file is read without a warning, and the unit's folder is where it is", () => {
    const { config, warnings } = parseConfig(
      fill(readText('deploy/kubeasz/kube-proxy-config.yaml.j2')),
      'file',
    );
    expect(warnings).toEqual([]);
    expect([config.mode, config.hostnameOverride]).toEqual(['ipvs', 'worker-01']);
    expect(config.clientConnection.kubeconfig).toBe('/etc/kubernetes/kube-proxy.kubeconfig');
    const unit = parseUnit(UNITS['kube-proxy.service']);
    expect(commandOf(unit)).toContain(
      `--config=${valueOf(unit, 'Service', 'WorkingDirectory')}/kube-proxy-config.yaml`,
    );
  });
});

describe('units are read', () => {
  it.each([
    ['an unknown key', '[Service]\nExecStrat=/bin/true\n'],
    ['an unknown section', '[Servce]\nExecStart=/bin/true\n'],
    ['a line that is none', '[Service]\nExecStart\n'],
    ['a key outside of a section', 'ExecStart=/bin/true\n'],
  ])('%s is refused', (_, text) => {
    expect(() => parseUnit(text)).toThrow(/no such/);
  });

  it('lines that go on, also around a comment', () => {
    expect(commandOf(parseUnit('[Service]\nExecStart=/bin/a \\\n# why\n  --b=c \\\n  -d\n'))).toEqual([
      '/bin/a',
      '--b=c',
      '-d',
    ]);
  });
});
