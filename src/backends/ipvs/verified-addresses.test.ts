// Verification of the addresses on kube-ipvs0, on the fake kernel.

import { describe, expect, it } from 'vitest';
import { change, ip, plan } from '../../../test/ipvs-plans.ts';
import { compare, LyingKernel, repairsOf, stateOf, verified } from '../../../test/verified-backend.ts';
import { PointsmanError } from '../../model/errors.ts';

const VIP = '172.30.0.41';
const ID = `TCP ${VIP}:80`;
const WEB = plan('web', [{ address: VIP, endpoints: ['10.0.0.1', '10.0.0.2'] }, { nodePort: 30_080 }]);
const OTHER = plan('other', [{ address: '172.30.0.42', endpoints: ['10.0.0.3'] }]);

/** Does not always answer when addresses are to be bound. */
class SilentKernel extends LyingKernel {
  isSilent = false;

  override bind(...addresses: Parameters<LyingKernel['bind']>) {
    if (this.isSilent) return Promise.reject(new PointsmanError('KERNEL_OVERRUN', 'the kernel lost replies'));
    return super.bind(...addresses);
  }
}

describe('addresses of ours', () => {
  it('that go while all of them are read are put back by the next repair', async () => {
    const { kernel, backend } = await verified([WEB]);
    const read = kernel.boundAddresses.bind(kernel);
    kernel.boundAddresses = async () => {
      const answer = await read();
      kernel.boundAddresses = read;
      kernel.addresses = null;
      backend.verifier.suspectAllAddresses();
      return answer;
    };
    backend.verifier.suspectAllAddresses();
    await backend.verifier.repairSuspects();
    await backend.verifier.repairSuspects();
    expect(kernel.addresses).toEqual(new Set([VIP]));
  });

  it('that were said to be gone are bound at once, if they are ours', async () => {
    const { kernel, backend } = await verified([WEB, OTHER]);
    kernel.addresses?.clear();
    expect(backend.verifier.suspectAddress(ip('192.0.2.7'))).toBe(false);
    expect(backend.verifier.suspectAddress(ip(VIP))).toBe(true);
    await backend.verifier.repairSuspects();
    expect(kernel.writes).toEqual([`BIND ${VIP}`]);
    expect(kernel.lists).toEqual([]);
    await backend.verifier.repairSuspects();
    expect(kernel.writes).toHaveLength(1);
    expect(repairsOf(backend)).toEqual([`address ${VIP} was missing`]);
  });

  it('that are back by themselves are no repair', async () => {
    const { kernel, backend } = await verified([WEB]);
    backend.verifier.suspectAddress(ip(VIP));
    await backend.verifier.repairSuspects();
    expect(backend.verifier.repairs.total).toBe(0);
    expect(kernel.addresses?.has(ip(VIP))).toBe(true);
  });

  it('of a Service that went meanwhile stay away', async () => {
    const { kernel, backend } = await verified([WEB]);
    backend.verifier.suspectAddress(ip(VIP));
    await backend.apply(change([WEB.key]));
    kernel.writes = [];
    await backend.verifier.repairSuspects();
    expect(kernel.writes).toEqual([]);
  });

  it('come back all with their link', async () => {
    const { kernel, backend } = await verified([WEB, OTHER]);
    const wanted = stateOf(kernel);
    kernel.addresses = null;
    backend.verifier.suspectAllAddresses();
    await backend.verifier.repairSuspects();
    expect(stateOf(kernel)).toBe(wanted);
    expect(repairsOf(backend)).toEqual(['link kube-ipvs0 was missing, with all its addresses']);
    kernel.lists = [];
    await backend.verifier.repairSuspects();
    expect(kernel.lists).toEqual([]);
  });

  it('are still suspect when the link could not be made', async () => {
    const { kernel, backend } = await verified([WEB]);
    kernel.addresses = null;
    kernel.faults.push({ matches: (write) => write.startsWith('LINK'), errno: 'ENOMEM', times: 1 });
    backend.verifier.suspectAllAddresses();
    await expect(backend.verifier.repairSuspects()).rejects.toThrow('ENOMEM');
    await backend.verifier.repairSuspects();
    expect(kernel.addresses).toEqual(new Set([ip(VIP)]));
  });

  it('that are refused count as a failure of the node until they are bound', async () => {
    const { kernel, backend } = await verified([WEB]);
    kernel.addresses?.clear();
    kernel.faults.push({ matches: (write) => write.startsWith('BIND'), errno: 'ENOMEM', times: 1 });
    await compare(backend);
    expect(backend.currentReport().nodeFailures).toEqual([VIP]);
    expect(backend.failedOperations()).toMatchObject([{ service: null, object: VIP, errnoName: 'ENOMEM' }]);
    expect(backend.verifier.repairs.total).toBe(0);
    await compare(backend);
    expect(backend.currentReport().nodeFailures).toEqual([]);
    expect(kernel.addresses?.has(ip(VIP))).toBe(true);
  });

  it('that are refused are bound by a retry, or still count as a failure behind it', async () => {
    const { kernel, backend } = await verified([WEB]);
    kernel.addresses?.clear();
    kernel.faults.push({ matches: (write) => write.startsWith('BIND'), errno: 'ENOMEM', times: 1 });
    await compare(backend);
    const { nodeFailures } = await backend.retry([]);
    expect(kernel.addresses?.has(ip(VIP)) ? [] : [VIP]).toEqual(nodeFailures);
  });

  it('that somebody else put back after they were refused are no failure any more', async () => {
    const { kernel, backend } = await verified([WEB]);
    kernel.addresses?.clear();
    kernel.faults.push({ matches: (write) => write.startsWith('BIND'), errno: 'ENOMEM', times: 1 });
    await compare(backend);
    kernel.addresses?.add(ip(VIP));
    await compare(backend);
    expect((await backend.retry([])).nodeFailures).toEqual([]);
  });

  it('are bound by the next comparison when it is unknown what became of them', async () => {
    const { kernel, backend } = await verified([WEB], new SilentKernel());
    kernel.addresses?.clear();
    kernel.isSilent = true;
    await compare(backend);
    kernel.isSilent = false;
    const { failed, nodeFailures } = backend.currentReport();
    expect([...failed, ...nodeFailures]).not.toEqual([]);
    await backend.retry(failed);
    await compare(backend);
    expect(kernel.addresses?.has(ip(VIP))).toBe(true);
  });

  it('at which one of two frontends stays shut are still watched for the other', async () => {
    const sibling = plan('sibling', [{ address: VIP, port: 81, endpoints: ['10.0.0.1'] }]);
    const { kernel, backend } = await verified([sibling]);
    kernel.faults.push({
      matches: (write) => write.startsWith(`NEW_SERVICE ${ID}`),
      errno: 'ENOMEM',
      times: 9,
    });
    await backend.retry((await backend.apply(change([WEB]))).failed);
    expect(kernel.addresses?.has(ip(VIP))).toBe(true);
    kernel.addresses?.clear();
    backend.verifier.suspectAddress(ip(VIP));
    await backend.verifier.repairSuspects();
    expect(kernel.addresses?.has(ip(VIP))).toBe(true);
  });

  it('are not bound while their guard is refused: undeclared ports would be open', async () => {
    const { kernel, backend } = await verified([WEB]);
    const wanted = stateOf(kernel);
    kernel.sets.get('KUBE-IPVS-IPS')?.clear();
    kernel.addresses = null;
    kernel.faults.push({
      matches: (write) => write.startsWith('ADD KUBE-IPVS-IPS'),
      errno: 'ENOMEM',
      times: 1,
    });
    await compare(backend);
    expect([...(kernel.addresses ?? [])]).toEqual([]);
    await backend.verifier.repairSuspects();
    await compare(backend);
    expect(stateOf(kernel)).toBe(wanted);
  });
});
