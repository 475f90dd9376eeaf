// What `pointsman cleanup` says, and whom it asks before it removes anything.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getuid } from 'node:process';
import { describe, expect, it } from 'vitest';
import { serveAgentSocket } from '../http/agent-socket.ts';
import { cleanupCommand, formatCleanup, type CleanupOutput } from './cleanup.ts';
import { exitCodeOf } from './exit-codes.ts';
import { runCommand } from './run.ts';

const output = (parts: Partial<CleanupOutput>): string[] =>
  formatCleanup({ isDryRun: false, removed: [], failed: [], left: [], kept: [], ...parts })
    .trimEnd()
    .split('\n');

describe('formatCleanup', () => {
  it('has a line for each kind with its numbers, in the order of removal, and one for each failure', () => {
    const lines = output({
      removed: [
        { kind: 'set', object: 'KUBE-LOOP-BACK' },
        { kind: 'virtualServer', object: 'TCP 10.96.0.1:443' },
        { kind: 'virtualServer', object: 'TCP 10.96.0.2:443' },
      ],
      failed: [
        {
          kind: 'address',
          object: '10.96.0.9',
          error: 'address delete 10.96.0.9 on link 4: EPERM (errno 1)',
        },
      ],
      left: [
        { kind: 'virtualServer', object: 'TCP 10.96.0.9:443', reason: 'its address could not be removed' },
        { kind: 'link', object: 'kube-ipvs0', reason: 'an address on it could not be removed' },
      ],
    });
    expect(lines).toEqual([
      'addresses on kube-ipvs0: 1 failed',
      'virtual servers: 2 removed, 1 left',
      'sets: 1 removed',
      'links: 1 left',
      'failed: address 10.96.0.9: address delete 10.96.0.9 on link 4: EPERM (errno 1)',
      'left: virtual server TCP 10.96.0.9:443: its address could not be removed',
      'left: link kube-ipvs0: an address on it could not be removed',
    ]);
  });

  it('names each object of a dry run, in order', () => {
    const removed = [
      { kind: 'address', object: '10.96.0.1' },
      { kind: 'jump', object: 'iptables-nft nat OUTPUT -j KUBE-SERVICES' },
      { kind: 'link', object: 'kube-ipvs0' },
    ] as const;
    expect(output({ isDryRun: true, removed })).toEqual([
      '- address 10.96.0.1',
      '- jump iptables-nft nat OUTPUT -j KUBE-SERVICES',
      '- link kube-ipvs0',
      '3 objects would be removed.',
    ]);
    expect(output({ isDryRun: true, removed: removed.slice(0, 1) })[1]).toBe('1 object would be removed.');
  });

  it('tells of what stays in one line for each reason, however much it is', () => {
    const kept = Array.from({ length: 5000 }, (_, i) => ({
      kind: 'virtualServer' as const,
      object: `TCP 10.0.0.1:${i}`,
      reason: 'not made by Pointsman',
    }));
    expect(output({ kept })).toEqual([
      'kept: virtual servers TCP 10.0.0.1:0, TCP 10.0.0.1:1, TCP 10.0.0.1:2 and 4997 more: not made by Pointsman',
      'Nothing to remove.',
    ]);
    const rules = [{ kind: 'rules' as const, object: 'iptables-nft', reason: 'cannot be read: no' }];
    expect(output({ kept: rules })[0]).toBe('kept: iptables-nft: cannot be read: no');
  });
});

const isRoot = getuid?.() === 0;

describe.skipIf(!isRoot)(`before it removes anything${isRoot ? '' : ' (skipped: needs root)'}`, () => {
  const refusalOf = async (act: Promise<unknown>): Promise<[number, string]> =>
    act.then(
      () => [0, ''],
      (error: Error) => [exitCodeOf(error), error.message],
    );

  it('is refused with one line and exit code 3 while an agent answers on the socket', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'pointsman-cleanup-'));
    const socket = join(folder, 'agent.sock');
    const server = await serveAgentSocket(socket, {});
    const line = `an agent answers on ${socket} and would put back what is removed; stop it first, or go on with --force`;
    try {
      expect(await refusalOf(cleanupCommand({ socket, output: 'text' }))).toEqual([3, line]);
      expect(await refusalOf(cleanupCommand({ socket, output: 'text', from: 'kube-proxy' }))).toEqual([
        3,
        line,
      ]);
      expect(await refusalOf(runCommand({ cleanup: true, socket, v: 0 }))).toEqual([
        3,
        line.replace(', or go on with --force', ''),
      ]);
    } finally {
      await server.close();
      rmSync(folder, { recursive: true });
    }
  });

  it('is refused while kube-proxy runs whose leftovers are to go', async () => {
    const kubeProxy = () => Promise.resolve({ pid: 4711, mode: 'ipvs', foundBy: '/proc' });
    const options = { socket: '/nonexistent/agent.sock', output: 'text', from: 'kube-proxy' } as const;
    expect(await refusalOf(cleanupCommand(options, kubeProxy))).toEqual([
      3,
      'kube-proxy runs in this network namespace (process 4711, mode ipvs, found by /proc) and would put back what is removed; stop it first, or go on with --force',
    ]);
  });

  it('reads the configuration, and stops at a mistake in it', async () => {
    const options = {
      socket: '/nonexistent/agent.sock',
      output: 'text',
      config: '/nonexistent.yaml',
    } as const;
    expect(await refusalOf(cleanupCommand(options))).toEqual([
      2,
      expect.stringContaining('/nonexistent.yaml: it cannot be read'),
    ]);
  });
});

it('run needs manifests unless it cleans up', async () => {
  await expect(runCommand({ socket: '/nonexistent/agent.sock', v: 0 })).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringMatching(
      /^nothing says where Services come from: give --manifests DIR, or a kubeconfig /,
    ),
  });
});
