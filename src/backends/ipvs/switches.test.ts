import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { FakeIpvsKernel } from '../../../test/fake-ipvs-kernel.ts';
import { KernelError } from '../../model/errors.ts';
import { UNKNOWN_BEHAVIOUR, type KernelBehaviour } from './kernel-behaviour.ts';
import {
  applyTimeouts,
  checkSwitches,
  MAX_ESTIMATED_COUNTERS,
  reportSwitches,
  requireNeeded,
  wantedSwitches,
  wantedTimeouts,
  type SwitchOptions,
  type SwitchState,
} from './switches.ts';

const PLAIN: SwitchOptions = { strictArp: false, timeouts: {} };
const REUSE = 'net/ipv4/vs/conn_reuse_mode';
const ESTIMATION = 'net/ipv4/vs/run_estimation';
const CONNTRACK = 'net/ipv4/vs/conntrack';
const FORWARD = 'net/ipv4/ip_forward';
const ARP_IGNORE = 'net/ipv4/conf/all/arp_ignore';
const EXPIRE = 'net/ipv4/vs/expire_nodest_conn';

/** The fake kernel, in which switches may be missing or refuse to be written. */
class SwitchKernel extends FakeIpvsKernel {
  readonly missing = new Set<string>();
  readonly readOnly = new Set<string>();

  override sysctl(path: string): string | null {
    return this.missing.has(path) ? null : super.sysctl(path);
  }

  override writeSysctl(path: string, value: string): void {
    if (this.missing.has(path)) throw new KernelError('write', `/proc/sys/${path}`, 2, 'ENOENT');
    if (this.readOnly.has(path)) throw new KernelError('write', `/proc/sys/${path}`, 22, 'EINVAL');
    super.writeSysctl(path, value);
  }
}

function withReuse(result: KernelBehaviour['connectionReuse']['result']): SwitchOptions {
  return { ...PLAIN, behaviour: { ...UNKNOWN_BEHAVIOUR, connectionReuse: { result, reason: 'seen' } } };
}

function withEstimation(
  estimation: Partial<KernelBehaviour['estimation']>,
  mode?: SwitchOptions['estimation'],
): SwitchOptions {
  const seen = {
    result: 'timer',
    reason: 'seen',
    canSwitchOff: true,
    possibleCpus: 4,
    ...estimation,
  } as const;
  const behaviour = { ...UNKNOWN_BEHAVIOUR, estimation: seen };
  return mode === undefined ? { ...PLAIN, behaviour } : { ...PLAIN, behaviour, estimation: mode };
}

function stateOf(states: readonly SwitchState[], path: string): SwitchState | undefined {
  return states.find((state) => state.path === path);
}

const applySwitches = (...all: Parameters<typeof checkSwitches>): number =>
  requireNeeded(checkSwitches(...all));

describe('kernel switches', () => {
  it('are written where they differ, and only there', () => {
    const kernel = new SwitchKernel();
    kernel.switches.set(FORWARD, '1');
    expect(applySwitches(kernel, PLAIN)).toBe(3);
    expect(kernel.writes).toEqual([
      'SYSCTL net/ipv4/vs/conntrack=1',
      'SYSCTL net/ipv4/vs/expire_nodest_conn=1',
      'SYSCTL net/ipv4/vs/expire_quiescent_template=1',
    ]);
    expect(applySwitches(kernel, PLAIN)).toBe(0);
  });

  it('include strict ARP when it is asked for, and never take it back', () => {
    const kernel = new SwitchKernel();
    applySwitches(kernel, { ...PLAIN, strictArp: true });
    expect(kernel.writes.slice(4)).toEqual([
      `SYSCTL ${ARP_IGNORE}=1`,
      'SYSCTL net/ipv4/conf/all/arp_announce=2',
    ]);
    applySwitches(kernel, PLAIN);
    expect(kernel.sysctl(ARP_IGNORE)).toBe('1');
  });

  it.each([
    // What the kernel does, the value it has, the value that it gets (null: none is written).
    ['served', '1', null],
    ['served', '0', '1'],
    ['served', '2', null],
    ['served', '3', null],
    ['dropped', '0', null],
    ['dropped', '1', '0'],
    ['dropped', '3', '0'],
    ['sticks', '0', null],
    ['sticks', '1', null],
    ['unknown', '0', null],
    ['unknown', '1', null],
  ] as const)('for reused ports: a kernel by which they are %s, at %s, gets %s', (result, value, written) => {
    const kernel = new SwitchKernel();
    kernel.switches.set(REUSE, value);
    applySwitches(kernel, withReuse(result));
    expect(kernel.writes.filter((write) => write.includes(REUSE))).toEqual(
      written === null ? [] : [`SYSCTL ${REUSE}=${written}`],
    );
    const state = stateOf(reportSwitches(kernel, withReuse(result)), REUSE);
    expect(state).toMatchObject({ value: written ?? value, why: expect.stringContaining('seen') });
    expect([null, state?.value]).toContain(state?.wanted);
  });

  it('do not depend on the version of the kernel', () => {
    for (const release of ['4.19.0', '6.1.0', '']) {
      const kernel = new SwitchKernel();
      kernel.switches.set('kernel/osrelease', release);
      kernel.switches.set(REUSE, '1');
      applySwitches(kernel, PLAIN);
      expect(kernel.sysctl(REUSE)).toBe('1');
    }
  });

  const AT_BOUND = MAX_ESTIMATED_COUNTERS / 4;
  it.each<[string, SwitchOptions, number, string | null]>([
    ['few objects', withEstimation({}), 10, null],
    ['as many as the bound', withEstimation({}), AT_BOUND, null],
    ['one more', withEstimation({}), AT_BOUND + 1, '0'],
    ['as many on more CPUs', withEstimation({ possibleCpus: 5 }), AT_BOUND, '0'],
    ['many, in threads', withEstimation({ result: 'threads' }), 1e6, null],
    ['many, that cannot be switched off', withEstimation({ canSwitchOff: false }), 1e6, null],
    ['many, not known where', withEstimation({ result: 'unknown' }), 1e6, null],
    ['many, and nothing probed', PLAIN, 1e6, null],
    ['many, under Auto', withEstimation({}, 'Auto'), 1e6, '0'],
    ['many, under On', withEstimation({}, 'On'), 1e6, '1'],
    ['few, under Off', withEstimation({}, 'Off'), 1, '0'],
    ['threads, under Off', withEstimation({ result: 'threads' }, 'Off'), 1, '0'],
  ])('estimation with %s', (_, options, objects, wanted) => {
    const facts = { objects, servesIPv6: false };
    expect(wantedSwitches(options, facts).find(({ path }) => path === ESTIMATION)?.wanted).toBe(wanted);
    const kernel = new SwitchKernel();
    const other = wanted === '1' ? '0' : '1';
    kernel.switches.set(ESTIMATION, other);
    applySwitches(kernel, options, facts);
    expect(kernel.sysctl(ESTIMATION)).toBe(wanted ?? other);
  });

  it.each([CONNTRACK, FORWARD])('stop the mode when there is no %s or it may not be written', (path) => {
    for (const list of ['missing', 'readOnly'] as const) {
      const kernel = new SwitchKernel();
      kernel[list].add(path);
      expect(() => applySwitches(kernel, PLAIN)).toThrow(path);
      // The others are written all the same.
      expect(kernel.writes).toHaveLength(3);
    }
  });

  it('that this kernel does not have or refuses are reported, not thrown', () => {
    const kernel = new SwitchKernel();
    kernel.missing.add(EXPIRE);
    kernel.readOnly.add(ARP_IGNORE);
    const options = { ...PLAIN, strictArp: true };
    expect(applySwitches(kernel, options)).toBe(4);
    const states = reportSwitches(kernel, options);
    expect(stateOf(states, EXPIRE)).toMatchObject({
      value: null,
      wanted: '1',
      why: expect.stringContaining('this kernel does not have it'),
    });
    expect(stateOf(states, ARP_IGNORE)).toMatchObject({ value: '0', wanted: '1' });
    expect(checkSwitches(kernel, options)).toMatchObject([
      { path: ARP_IGNORE, error: { errnoName: 'EINVAL' } },
    ]);
  });

  it('say why nothing is heard from removed servers on a kernel that keeps silent', () => {
    const removedServer = { result: 'silent', reason: 'a client heard nothing' } as const;
    const options = { ...PLAIN, behaviour: { ...UNKNOWN_BEHAVIOUR, removedServer } };
    expect(stateOf(reportSwitches(new SwitchKernel(), options), EXPIRE)?.why).toContain(
      'a client heard nothing',
    );
  });

  it.each([
    ['0', true, true],
    ['1', true, false],
    ['0', false, false],
  ])(
    'report that IPv6 is not forwarded (%s), where it is served (%s): %s',
    (value, servesIPv6, isReported) => {
      const kernel = new SwitchKernel();
      const path = 'net/ipv6/conf/all/forwarding';
      kernel.switches.set(path, value);
      const facts = { objects: 0, servesIPv6 };
      applySwitches(kernel, PLAIN, facts);
      expect(kernel.sysctl(path)).toBe(value);
      expect(stateOf(reportSwitches(kernel, PLAIN, facts), path)).toEqual(
        isReported
          ? {
              path,
              value: '0',
              wanted: '1',
              why: 'IPv6 Services need forwarding; it is left to you, as kube-proxy leaves it: set it to 1',
            }
          : undefined,
      );
    },
  );

  it('that somebody changed are put right, and named', () => {
    const kernel = new SwitchKernel();
    applySwitches(kernel, PLAIN);
    expect(checkSwitches(kernel, PLAIN)).toEqual([]);
    kernel.switches.set(FORWARD, '0');
    kernel.switches.set(REUSE, '2');
    expect(checkSwitches(kernel, PLAIN)).toMatchObject([
      { path: FORWARD, found: '0', wanted: '1', error: null },
    ]);
    expect(kernel.sysctl(FORWARD)).toBe('1');
    expect(kernel.sysctl(REUSE)).toBe('2');
    expect(checkSwitches(kernel, PLAIN)).toEqual([]);
  });

  it('are stable after one write, whatever the kernel does and has', () => {
    const value = fc.constantFrom('0', '1', '2', '3');
    const behaviour = fc.record({
      connectionReuse: fc.record({
        result: fc.constantFrom('served', 'dropped', 'sticks', 'unknown'),
        reason: fc.constant('r'),
      }),
      removedServer: fc.record({
        result: fc.constantFrom('ends', 'silent', 'absent', 'unknown'),
        reason: fc.constant('r'),
      }),
      estimation: fc.record({
        result: fc.constantFrom('threads', 'timer', 'unknown'),
        reason: fc.constant('r'),
        canSwitchOff: fc.boolean(),
        possibleCpus: fc.integer({ min: 1, max: 512 }),
      }),
      tookMs: fc.constant(1),
    });
    const options = fc.record({
      strictArp: fc.boolean(),
      timeouts: fc.constant({}),
      behaviour,
      estimation: fc.constantFrom('Auto', 'On', 'Off'),
    }) as fc.Arbitrary<SwitchOptions>;
    fc.assert(
      fc.property(
        options,
        fc.nat(1_000_000),
        fc.boolean(),
        fc.array(value, { minLength: 9, maxLength: 9 }),
        fc.subarray([REUSE, ESTIMATION, EXPIRE]),
        (each, objects, servesIPv6, values, missing) => {
          const facts = { objects, servesIPv6 };
          const kernel = new SwitchKernel();
          for (const path of missing) kernel.missing.add(path);
          wantedSwitches(each, facts).forEach(({ path }, index) =>
            kernel.switches.set(path, values[index] ?? '0'),
          );
          const writes = applySwitches(kernel, each, facts);
          expect(kernel.writes).toHaveLength(writes);
          expect(checkSwitches(kernel, each, facts)).toEqual([]);
          for (const { path, value: found, wanted, why } of reportSwitches(kernel, each, facts)) {
            // Forwarding of IPv6 is reported and left.
            if (found !== null && wanted !== null && !path.startsWith('net/ipv6/'))
              expect(found).toBe(wanted);
            expect(why).not.toBe('');
          }
        },
      ),
    );
  });
});

describe('timeouts', () => {
  const KERNEL = { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 };
  it.each([
    ['nothing configured on an untouched kernel', {}, KERNEL, { tcpSeconds: 9000 }],
    ['nothing, after an operator', {}, { ...KERNEL, tcpSeconds: 1200 }, {}],
    ['nothing, after an earlier run', {}, { ...KERNEL, tcpSeconds: 9000 }, {}],
    ["the kernel's own, by name", { tcpSeconds: 900 }, KERNEL, { tcpSeconds: 900 }],
    ['other ones', { udpSeconds: 10 }, KERNEL, { tcpSeconds: 9000, udpSeconds: 10 }],
    [
      'all',
      { tcpSeconds: 1, tcpFinSeconds: 2, udpSeconds: 3 },
      KERNEL,
      { tcpSeconds: 1, tcpFinSeconds: 2, udpSeconds: 3 },
    ],
  ])('with %s', (_, configured, current, wanted) => {
    expect(wantedTimeouts(configured, current)).toEqual(wanted);
  });

  // The fake kernel has 900, 120 and 300.
  it.each([
    [{ tcpSeconds: 900 }, 0],
    [{ tcpSeconds: 900, udpSeconds: 300 }, 0],
    [{}, 1],
    [{ tcpSeconds: 901 }, 1],
    [{ tcpSeconds: 900, tcpFinSeconds: 1 }, 1],
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
