import { describe, expect, it } from 'vitest';
import { FakeIpvsKernel } from '../../../test/fake-ipvs-kernel.ts';
import { address } from '../../../test/addresses.ts';
import { PointsmanError } from '../../model/errors.ts';
import type { Family } from '../../model/ip.ts';
import { Rules } from './rules.ts';
import type { SetName } from './sets.ts';

const OPTIONS = {
  masqueradeMark: 0x4000,
  masqueradeAll: false,
  localDetector: { kind: 'none' },
  closedToNode: [],
} as const;
const NONE: ReadonlySet<SetName> = new Set();
const CLUSTER_IP: ReadonlySet<SetName> = new Set<SetName>(['KUBE-CLUSTER-IP']);

describe('the rules of a family', () => {
  it('are restored whole at first, then only the chains that differ, then not at all', async () => {
    const rules = new Rules(new FakeIpvsKernel(), 'IPv4');
    expect((await rules.ensure(OPTIONS, NONE)).match(/^:/gm)).toHaveLength(11);
    const changed = await rules.ensure(OPTIONS, CLUSTER_IP);
    expect(changed.match(/^[:*].*$/gm)).toEqual(['*nat', ':KUBE-SERVICES - [0:0]']);
    expect(await rules.ensure(OPTIONS, CLUSTER_IP)).toBe('');
  });

  it('are known from the kernel after a restart', async () => {
    const kernel = new FakeIpvsKernel();
    await new Rules(kernel, 'IPv6').ensure(OPTIONS, CLUSTER_IP);
    kernel.writes = [];
    expect(await new Rules(kernel, 'IPv6').ensure(OPTIONS, CLUSTER_IP)).toBe('');
    expect(kernel.writes).toEqual([]);
  });

  it('leave what others have in built-in chains, and put a jump back that somebody removed', async () => {
    const kernel = new FakeIpvsKernel();
    await kernel.restoreRules(
      'IPv4',
      '*nat\n:PREROUTING - [0:0]\n-A PREROUTING -j OTHERS\n:OTHERS - [0:0]\n-A OTHERS -j RETURN\nCOMMIT\n',
    );
    const rules = new Rules(kernel, 'IPv4');
    await rules.ensure(OPTIONS, NONE);
    const chains = (await kernel.rules('IPv4')).get('nat');
    expect(chains?.get('PREROUTING')).toEqual([
      '-m comment --comment "kubernetes service portals" -j KUBE-SERVICES',
      '-j OTHERS',
    ]);
    expect(chains?.get('OTHERS')).toEqual(['-j RETURN']);
    await kernel.restoreRules('IPv4', '*nat\n:PREROUTING - [0:0]\n-A PREROUTING -j OTHERS\nCOMMIT\n');
    expect(await new Rules(kernel, 'IPv4').ensure(OPTIONS, NONE)).toBe(
      '*nat\n-I PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES\nCOMMIT\n',
    );
  });

  it('are read again after a restore that failed', async () => {
    class Refusing extends FakeIpvsKernel {
      isRefusing = true;
      override async restoreRules(family: Family, text: string): Promise<void> {
        if (this.isRefusing) throw new Error('refused');
        return super.restoreRules(family, text);
      }
    }
    const kernel = new Refusing();
    const rules = new Rules(kernel, 'IPv4');
    await expect(rules.ensure(OPTIONS, NONE)).rejects.toThrow('refused');
    kernel.isRefusing = false;
    expect((await rules.ensure(OPTIONS, NONE)).match(/^:/gm)).toHaveLength(11);
    expect(kernel.lists).toEqual(['rules IPv4', 'rules IPv4']);
  });
});

describe('rules that somebody may have changed', () => {
  const KUBE_SERVICES = ['IPv4', 'nat'] as const;
  async function ensured<Kernel extends FakeIpvsKernel>(kernel: Kernel = new FakeIpvsKernel() as Kernel) {
    const rules = new Rules(kernel, 'IPv4');
    await rules.ensure(OPTIONS, CLUSTER_IP);
    kernel.writes = [];
    kernel.lists = [];
    return { kernel, rules };
  }

  it('are not suspect after our own restore, and are after a change by others', async () => {
    const { kernel, rules } = await ensured();
    expect(rules.mayHaveChanged()).toBe(false);
    kernel.changeRules('IPv6', 'nat', () => {});
    expect(rules.mayHaveChanged()).toBe(false);
    kernel.changeRules(...KUBE_SERVICES, () => {});
    expect(rules.mayHaveChanged()).toBe(true);
    expect(await rules.recheck()).toBe('');
    expect(rules.mayHaveChanged()).toBe(false);
    expect(kernel.writes).toEqual([]);
  });

  it('are not suspect before they were ensured, and then there is nothing to recheck', async () => {
    const kernel = new FakeIpvsKernel();
    const rules = new Rules(kernel, 'IPv4');
    kernel.changeRules(...KUBE_SERVICES, () => {});
    expect(rules.mayHaveChanged()).toBe(false);
    expect(await rules.recheck()).toBe('');
    expect(kernel.lists).toEqual([]);
  });

  it('are suspect when they were changed while they were read', async () => {
    class Interrupted extends FakeIpvsKernel {
      isInterrupted = true;
      override async rules(family: Family) {
        const read = await super.rules(family);
        if (this.isInterrupted) this.changeRules(...KUBE_SERVICES, (chains) => chains.set('OTHERS', []));
        this.isInterrupted = false;
        return new Map([...read].map(([table, chains]) => [table, new Map(chains)]));
      }
    }
    const { kernel } = await ensured(new Interrupted());
    kernel.isInterrupted = true;
    const rules = new Rules(kernel, 'IPv4');
    expect(await rules.ensure(OPTIONS, CLUSTER_IP)).toBe('');
    expect(rules.mayHaveChanged()).toBe(true);
    await rules.recheck();
    expect(rules.mayHaveChanged()).toBe(false);
  });

  it('are put right by a recheck, only where they differ', async () => {
    const { kernel, rules } = await ensured();
    kernel.changeRules(...KUBE_SERVICES, (chains) => chains.delete('KUBE-MARK-MASQ'));
    const text = await rules.recheck();
    expect(text.match(/^[:*].*$/gm)).toEqual(['*nat', ':KUBE-MARK-MASQ - [0:0]']);
    expect(kernel.lists).toEqual(['rules IPv4']);
    expect(await rules.recheck()).toBe('');
  });

  it('are not read again for the same wish, and are for a new one only by a recheck', async () => {
    const { kernel, rules } = await ensured();
    expect(await rules.ensure({ ...OPTIONS }, new Set(CLUSTER_IP))).toBe('');
    expect(await rules.ensure(OPTIONS, NONE)).not.toBe('');
    expect(kernel.lists).toEqual([]);
  });

  it('stay wanted as last asked for when a restore fails, and are put right by the next ensure', async () => {
    const { kernel, rules } = await ensured();
    kernel.faults.push({ matches: (write) => write.startsWith('RESTORE'), errno: 'ENOMEM', times: 1 });
    await expect(rules.ensure(OPTIONS, NONE)).rejects.toThrow('failed');
    expect(rules.mayHaveChanged()).toBe(false);
    expect(await rules.ensure(OPTIONS, NONE)).not.toBe('');
    const fresh = await ensured();
    await fresh.rules.ensure(OPTIONS, NONE);
    expect(kernel.dump()).toBe(fresh.kernel.dump());
  });

  it('that cannot be read now are read at the next attempt', async () => {
    class Busy extends FakeIpvsKernel {
      isBusy = true;
      override rules(family: Family) {
        return this.isBusy ? Promise.reject(new Error('busy')) : super.rules(family);
      }
    }
    const kernel = new Busy();
    const rules = new Rules(kernel, 'IPv4');
    rules.load();
    await expect(rules.ensure(OPTIONS, NONE)).rejects.toThrow('busy');
    kernel.isBusy = false;
    expect(await rules.ensure(OPTIONS, NONE)).not.toBe('');
  });

  it('are looked at when the kernel cannot say whether they changed', async () => {
    const { kernel, rules } = await ensured();
    kernel.rulesFingerprint = () => {
      throw new PointsmanError('KERNEL_REFUSED', 'no fingerprint');
    };
    expect(await rules.recheck()).toBe('');
    kernel.rulesFingerprint = FakeIpvsKernel.prototype.rulesFingerprint.bind(kernel);
    expect(rules.mayHaveChanged()).toBe(true);
  });

  it.each([
    ['mark', { masqueradeMark: 0x8000 }],
    ['wish to masquerade everything', { masqueradeAll: true }],
    ['detector', { localDetector: { kind: 'bridge', interfaceName: 'cni0' } as const }],
    [
      'virtual servers that are closed to the node',
      {
        closedToNode: [{ family: 'IPv4', protocol: 6, address: address('198.51.100.9'), port: 80 } as const],
      },
    ],
  ])('are restored for another %s', async (_, options) => {
    const { rules } = await ensured();
    expect(await rules.ensure({ ...OPTIONS, ...options }, CLUSTER_IP)).not.toBe('');
    expect(await rules.ensure({ ...OPTIONS, ...options }, CLUSTER_IP)).toBe('');
  });
});
