// What --init-only sets on a kernel of its own, and that an agent runs after it with CAP_NET_ADMIN and CAP_NET_RAW alone.

import { beforeAll, describe, expect, it } from 'vitest';
import type { CommandResult } from '../../lab/agent-process.ts';
import { ipvsKernel, runInGuest } from '../../lab/boot.ts';

interface State {
  readonly switches: Readonly<Record<string, string>>;
  readonly buckets: number;
  readonly modules: readonly string[];
}

interface Seen {
  readonly lines: readonly (readonly string[])[];
  readonly states: readonly State[];
  readonly settings: CommandResult;
  readonly agent: CommandResult;
  readonly virtualServers: number;
  readonly withoutRaw: CommandResult;
}

const reason = ipvsKernel.probe();

describe.skipIf(reason !== null)(`privileges${reason === null ? '' : ` (skipped: ${reason})`}`, () => {
  let seen: Seen;

  beforeAll(async () => {
    const guest = await runInGuest(new URL('./privileges-guest.ts', import.meta.url), [], { memoryMb: 512 });
    const json = guest.files.get('result.json');
    if (json === undefined)
      throw new Error(`the cases did not finish (exit ${guest.exitCode}):\n${guest.stdout}\n${guest.stderr}`);
    seen = JSON.parse(json.toString()) as Seen;
  });

  it('--init-only sets what an agent would set, and may be repeated', () => {
    const state: State = {
      switches: {
        'net/netfilter/nf_conntrack_max': '131072',
        'net/netfilter/nf_conntrack_tcp_timeout_established': '86400',
        'net/netfilter/nf_conntrack_tcp_timeout_close_wait': '3600',
        'net/ipv4/vs/conntrack': '1',
        'net/ipv4/vs/expire_nodest_conn': '1',
        'net/ipv4/ip_forward': '1',
      },
      buckets: 32_768,
      modules: ['loaded', 'loaded', 'loaded'],
    };
    expect(seen.states).toEqual([state, state]);
    const [first, second] = seen.lines;
    expect(first).toContain('I Set sysctl entry=net/netfilter/nf_conntrack_max value=131072');
    expect(first).toContain('I Setting conntrack hashsize conntrackHashsize=32768');
    expect(first?.at(-1)).toBe('I System initialized and --init-only specified');
    expect(second).toEqual([
      'I Setting nf_conntrack_max nfConntrackMax=131072',
      'I System initialized and --init-only specified',
    ]);
  });

  it('after it the conntrack settings need no privilege, until they are to change', () => {
    expect(seen.settings).toMatchObject({ code: 0, stderr: '' });
    expect(JSON.parse(seen.settings.stdout)).toEqual([
      'done',
      expect.stringMatching(
        /^MISSING_PRIVILEGE could not set conntrack parameters .*nf_conntrack_max may not be set to 262144 \(EROFS\); .*--init-only/,
      ),
      [true, false],
    ]);
  });

  it('after it an agent programs everything with two capabilities', () => {
    expect({ ...seen.agent, virtualServers: seen.virtualServers }).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('"Synced"'),
    });
    expect(seen.agent.stderr).not.toMatch(/^E/m);
    expect(seen.virtualServers).toBeGreaterThan(0);
  });

  it('without CAP_NET_RAW it says so before it touches anything', () => {
    expect(seen.withoutRaw).toMatchObject({
      code: 3,
      stderr: expect.stringMatching(/^error: the agent has no CAP_NET_RAW: .*; add NET_RAW to [^\n]*\n$/m),
    });
  });
});
