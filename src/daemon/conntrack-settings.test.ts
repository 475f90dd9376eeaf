// Conntrack settings: the plan by a table, refusals by a kernel that is made up, and this machine's own kernel in a network namespace. The
// size of this machine's table is never touched.

import { spawnSync } from 'node:child_process';
import { describe, expect, it, test } from 'vitest';
import { linesOf } from '../../test/log-lines.ts';
import { KernelError, PointsmanError } from '../model/errors.ts';
import {
  applyConntrack,
  conntrackMax,
  MAX_PATH,
  planConntrack,
  wantedConntrack,
  type ConntrackConfig,
  type ConntrackPort,
} from './conntrack-settings.ts';

const NOTHING: ConntrackConfig = {
  maxPerCore: 0,
  min: 131_072,
  tcpEstablishedTimeoutSeconds: 0,
  tcpCloseWaitTimeoutSeconds: 0,
  udpTimeoutSeconds: 0,
  udpStreamTimeoutSeconds: 0,
  tcpBeLiberal: false,
};
const DEFAULTS: ConntrackConfig = {
  ...NOTHING,
  maxPerCore: 32_768,
  tcpEstablishedTimeoutSeconds: 86_400,
  tcpCloseWaitTimeoutSeconds: 3600,
};

const PREFIX = 'net/netfilter/nf_conntrack_';

describe('the size of the table', () => {
  it.each([
    ['0 leaves it, and min with it', 0, 131_072, 64, 0],
    ['few CPUs: min', 32_768, 131_072, 2, 131_072],
    ['as many', 32_768, 131_072, 4, 131_072],
    ['more CPUs', 32_768, 131_072, 5, 163_840],
    ['no min', 1000, 0, 3, 3000],
    ['exactly the limit', 32_768, 0, 32, 1_048_576],
    ['above the limit', 32_768, 131_072, 128, 1_048_576],
    ['the limit is stronger than min where it applies', 32_768, 2_000_000, 128, 1_048_576],
    ['min may be above the limit', 32_768, 2_000_000, 4, 2_000_000],
  ])('%s', (_row, maxPerCore, min, cpus, expected) =>
    expect(conntrackMax({ ...NOTHING, maxPerCore, min }, cpus)).toBe(expected),
  );
});

describe('the plan', () => {
  const current = (
    values: Record<string, string | null>,
    buckets: number | null = 262_144,
  ): Parameters<typeof planConntrack>[2] => ({
    switches: new Map(Object.entries(values).map(([name, value]) => [PREFIX + name, value])),
    buckets,
  });
  const KUBERNETES = { max: '131072', tcp_timeout_established: '86400', tcp_timeout_close_wait: '3600' };

  it.each<[string, ConntrackConfig, Parameters<typeof planConntrack>[2], Record<string, number>, number]>([
    ['nothing configured', NOTHING, current({}), {}, 0],
    [
      'what a kernel has by itself',
      DEFAULTS,
      current({ max: '65536', tcp_timeout_established: '432000', tcp_timeout_close_wait: '60' }, 16_384),
      { max: 131_072, tcp_timeout_established: 86_400, tcp_timeout_close_wait: 3600 },
      32_768,
    ],
    ['all is right already', DEFAULTS, current(KUBERNETES), {}, 0],
    [
      'a larger table is made smaller',
      DEFAULTS,
      current({ ...KUBERNETES, max: '262144' }),
      { max: 131_072 },
      0,
    ],
    ['the size is right, the buckets are too few', DEFAULTS, current(KUBERNETES, 32_767), {}, 32_768],
    ['just enough buckets', DEFAULTS, current(KUBERNETES, 32_768), {}, 0],
    ['buckets are not known', DEFAULTS, current(KUBERNETES, null), {}, 0],
    [
      'everything else',
      { ...NOTHING, tcpBeLiberal: true, udpTimeoutSeconds: 30, udpStreamTimeoutSeconds: 120 },
      current({ tcp_be_liberal: '0', udp_timeout: '30', udp_timeout_stream: null }),
      { tcp_be_liberal: 1, udp_timeout_stream: 120 },
      0,
    ],
    ['liberal as somebody else set it', NOTHING, current({ tcp_be_liberal: '1' }), {}, 0],
  ])('%s', (_row, conntrack, state, switches, buckets) => {
    const plan = planConntrack(conntrack, 2, state);
    expect(
      Object.fromEntries(plan.switches.map(({ path, value }) => [path.slice(PREFIX.length), value])),
    ).toEqual(switches);
    expect(plan.buckets).toBe(buckets);
  });

  it('sets the size first', () =>
    expect(wantedConntrack({ ...DEFAULTS, tcpBeLiberal: true }, 2).map(({ path }) => path)).toEqual([
      MAX_PATH,
      `${PREFIX}tcp_timeout_established`,
      `${PREFIX}tcp_timeout_close_wait`,
      `${PREFIX}tcp_be_liberal`,
    ]));
});

/** A kernel of which a test says what it refuses. */
class MadeUpKernel implements ConntrackPort {
  readonly values = new Map<string, string>([
    [MAX_PATH, '65536'],
    [`${PREFIX}tcp_timeout_established`, '432000'],
    [`${PREFIX}tcp_timeout_close_wait`, '60'],
  ]);
  readonly refused = new Map<string, PointsmanError>();
  readonly fixed = new Set<string>();
  readonly loaded: string[] = [];
  bucketCount: number | null = 16_384;
  bucketError: PointsmanError | null = null;
  isLoaded = true;
  loadError: PointsmanError | null = null;

  cpus(): number {
    return 2;
  }
  sysctl(path: string): string | null {
    return this.isLoaded ? (this.values.get(path) ?? null) : null;
  }
  isFixed(path: string): boolean {
    return this.fixed.has(path);
  }
  writeSysctl(path: string, value: string): void {
    const refusal = this.refused.get(path);
    if (refusal !== undefined) throw refusal;
    this.values.set(path, value);
  }
  buckets(): number | null {
    return this.bucketCount;
  }
  writeBuckets(count: number): void {
    if (this.bucketError !== null) throw this.bucketError;
    this.bucketCount = count;
  }
  async loadModule(name: string): Promise<void> {
    this.loaded.push(name);
    if (this.loadError !== null) throw this.loadError;
    this.isLoaded = true;
  }
}

const state = ({ values, bucketCount }: MadeUpKernel): (string | number | null)[] => [
  ...values.values(),
  bucketCount,
];

describe('applying', () => {
  const run = async (kernel: MadeUpKernel, conntrack = DEFAULTS): Promise<string[]> => {
    const { log, lines } = linesOf();
    await applyConntrack(conntrack, log, kernel);
    return lines;
  };

  it('writes what differs, in order, and says so', async () => {
    const kernel = new MadeUpKernel();
    expect(await run(kernel)).toEqual([
      'I Setting nf_conntrack_max nfConntrackMax=131072',
      `I Set sysctl entry=${MAX_PATH} value=131072`,
      `I Set sysctl entry=${PREFIX}tcp_timeout_established value=86400`,
      `I Set sysctl entry=${PREFIX}tcp_timeout_close_wait value=3600`,
      'I Setting conntrack hashsize conntrackHashsize=32768',
    ]);
    expect(state(kernel)).toEqual(['131072', '86400', '3600', 32_768]);
    expect(kernel.loaded).toEqual([]);
    expect(await run(kernel)).toEqual(['I Setting nf_conntrack_max nfConntrackMax=131072']);
    expect(await run(kernel, NOTHING)).toEqual([]);
  });

  it('loads the module where the switches are not there', async () => {
    const kernel = new MadeUpKernel();
    kernel.isLoaded = false;
    await run(kernel);
    expect(kernel.loaded).toEqual(['nf_conntrack']);
    expect(state(kernel)).toEqual(['131072', '86400', '3600', 32_768]);
  });

  it('ends with what is missing when the module cannot be loaded', async () => {
    const kernel = new MadeUpKernel();
    kernel.isLoaded = false;
    kernel.loadError = new PointsmanError('MISSING_MODULE', 'kernel module nf_conntrack is not there');
    await expect(run(kernel)).rejects.toMatchObject({
      code: 'MISSING_MODULE',
      message:
        'could not set conntrack parameters from kube-proxy configuration: kernel module nf_conntrack is not there',
    });
    expect(kernel.values.get(MAX_PATH)).toBe('65536');
  });

  it('tries everything and then ends with the first refusal, in one line', async () => {
    const kernel = new MadeUpKernel();
    kernel.refused.set(MAX_PATH, new PointsmanError('MISSING_PRIVILEGE', 'it is read-only (EROFS)'));
    kernel.refused.set(
      `${PREFIX}tcp_timeout_established`,
      new KernelError('write', 'established', 22, 'EINVAL'),
    );
    await expect(run(kernel)).rejects.toMatchObject({
      code: 'MISSING_PRIVILEGE',
      message: expect.stringMatching(
        /^could not set conntrack parameters from kube-proxy configuration: it is read-only \(EROFS\) \(and 1 more\); or let an init container .*--init-only, or .*maxPerCore: 0[^\n]*$/,
      ),
      context: { failures: ['it is read-only (EROFS)', 'write established: EINVAL (errno 22)'] },
    });
    expect(state(kernel)).toEqual(['65536', '432000', '3600', 32_768]);
  });

  it('goes on with a warning where nobody can set the size, or the buckets', async () => {
    const kernel = new MadeUpKernel();
    kernel.fixed.add(MAX_PATH);
    kernel.bucketError = new KernelError('write', 'hashsize', 95, 'EOPNOTSUPP');
    const lines = await run(kernel);
    expect(lines.filter((line) => line.startsWith('W'))).toEqual([
      `W Only the machine itself can set this, not a network namespace; it stays as it is entry=${MAX_PATH} value=65536 wanted=131072`,
      'W The conntrack table keeps its buckets: it is slower when it is full, and holds as much err=write hashsize: EOPNOTSUPP (errno 95)',
    ]);
    expect(state(kernel)).toEqual(['65536', '86400', '3600', 16_384]);
  });

  it('lets a programmer error through', async () => {
    const kernel = new MadeUpKernel();
    kernel.writeSysctl = () => {
      throw new TypeError('wrong');
    };
    await expect(run(kernel)).rejects.toThrow(TypeError);
  });
});

/** Runs the settings in a network namespace, as `launcher` starts it, and returns what came of each. The table's size is left alone. */
function inNamespace(script: string): unknown {
  const source = (name: string): string => JSON.stringify(import.meta.resolve(name));
  const program = `
    const settings = await import(${source('./conntrack-settings.ts')});
    const sysctl = await import(${source('../kernel/sysctl.ts')});
    const log = { info() {}, error() {}, verbose() {}, warn(text) { warnings.push(text); } };
    const warnings = [];
    const timeouts = ${JSON.stringify({ ...NOTHING, udpTimeoutSeconds: 17, tcpCloseWaitTimeoutSeconds: 3601, tcpBeLiberal: true })};
    const attempt = (conntrack) => settings.applyConntrack(conntrack, log).then(() => 'done', (error) => error.code);
    const read = (name) => sysctl.readSysctl('${PREFIX}' + name);
    const values = () => ['udp_timeout', 'tcp_timeout_close_wait', 'tcp_be_liberal'].map(read);
    const phase = process.argv[1];
    ${script}
  `;
  const args = ['-n', '-m', '/bin/sh', '-ec'];
  // Twice: once with a /proc/sys that can be written, once as in a container without privileges.
  const shell = `"$0" --input-type=module -e "$1" first
mount --bind /proc/sys /proc/sys
mount -o remount,ro,bind /proc/sys
exec setpriv --bounding-set=-all,+net_admin --inh-caps=-all "$0" --input-type=module -e "$1" second`;
  const { stdout, stderr, status } = spawnSync('unshare', [...args, shell, process.execPath, program], {
    encoding: 'utf8',
    timeout: 100_000,
  });
  if (status !== 0) throw new Error(stderr);
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

// Needs root, for a namespace of its own.
test.runIf(process.getuid?.() === 0)(
  'this kernel takes them; where /proc/sys is read-only, what is right needs no write, and what is not is refused',
  () => {
    const outcome = inNamespace(`
      const results = [await attempt(timeouts), ...values()];
      if (phase === 'second') results.push(await attempt({ ...timeouts, udpTimeoutSeconds: 18 }), ...values());
      // Where the kernel lets namespaces write the size, writing would change that of this machine.
      const isFixed = sysctl.isFixedSysctl(settings.MAX_PATH);
      const before = sysctl.readSysctl(settings.MAX_PATH);
      if (isFixed) results.push(await attempt({ ...timeouts, maxPerCore: 1, min: 1 }), warnings.length);
      else results.push('done', 1);
      results.push(sysctl.readSysctl(settings.MAX_PATH) === before);
      console.log(JSON.stringify(results));`);
    const right = ['17', '3601', '1'];
    expect(outcome).toEqual([
      ['done', ...right, 'done', 1, true],
      ['done', ...right, 'MISSING_PRIVILEGE', ...right, 'done', 1, true],
    ]);
  },
);
