import { describe, expect, it } from 'vitest';
import { FakeIpvsKernel } from '../../../test/fake-ipvs-kernel.ts';
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
