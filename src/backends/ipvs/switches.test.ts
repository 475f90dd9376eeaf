import { describe, expect, it } from 'vitest';
import { FakeIpvsKernel } from '../../../test/fake-ipvs-kernel.ts';
import { applySwitches, applyTimeouts, isOlderThan } from './switches.ts';

describe('kernel switches', () => {
  it('are written where they differ, and only there', () => {
    const kernel = new FakeIpvsKernel();
    kernel.switches.set('net/ipv4/ip_forward', '1');
    expect(applySwitches(kernel, { strictArp: false, timeouts: {} })).toBe(3);
    expect(kernel.writes).toEqual([
      'SYSCTL net/ipv4/vs/conntrack=1',
      'SYSCTL net/ipv4/vs/expire_nodest_conn=1',
      'SYSCTL net/ipv4/vs/expire_quiescent_template=1',
    ]);
    expect(applySwitches(kernel, { strictArp: false, timeouts: {} })).toBe(0);
  });

  it('include strict ARP when it is asked for, and conn_reuse_mode on old kernels', () => {
    const kernel = new FakeIpvsKernel();
    kernel.switches.set('kernel/osrelease', '5.4.0-1');
    kernel.switches.set('net/ipv4/vs/conn_reuse_mode', '1');
    applySwitches(kernel, { strictArp: true, timeouts: {} });
    expect(kernel.writes.slice(4)).toEqual([
      'SYSCTL net/ipv4/conf/all/arp_ignore=1',
      'SYSCTL net/ipv4/conf/all/arp_announce=2',
      'SYSCTL net/ipv4/vs/conn_reuse_mode=0',
    ]);
  });

  it.each([
    ['5.8.18', true],
    ['5.9.0', false],
    ['5.10.0-rc1', false],
    ['4.19.0-20-amd64', true],
    ['6.1.0', false],
    ['10.0', false],
    ['', false],
    ['rubbish', false],
  ])('the release %s is older than 5.9: %s', (release, expected) => {
    expect(isOlderThan(release, [5, 9])).toBe(expected);
  });
});

describe('timeouts', () => {
  // The fake kernel has 900, 120 and 300.
  it.each([
    [{}, 0],
    [{ tcpSeconds: 900, udpSeconds: 300 }, 0],
    [{ tcpSeconds: 901 }, 1],
    [{ tcpFinSeconds: 1 }, 1],
  ])('%o need %d writes', async (timeouts, writes) => {
    const kernel = new FakeIpvsKernel();
    expect(await applyTimeouts(kernel, timeouts)).toBe(writes);
    expect(kernel.writes).toHaveLength(writes);
  });

  it('that the kernel refuses are thrown', async () => {
    const kernel = new FakeIpvsKernel();
    kernel.faults.push({ matches: (write) => write.startsWith('SET_CONFIG'), errno: 'ENOMEM', times: 1 });
    await expect(applyTimeouts(kernel, { tcpSeconds: 1 })).rejects.toMatchObject({ errnoName: 'ENOMEM' });
  });
});
