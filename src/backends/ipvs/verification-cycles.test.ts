// Verification of virtual servers on the fake kernel, slice by slice: what a listing only claims changes nothing, foreign ones are learned and
// forgotten, and what changes between two slices is no drift.

import { describe, expect, it } from 'vitest';
import { change, foreignService, plan, type PortSpec } from '../../../test/ipvs-plans.ts';
import { compare, LyingKernel, repairsOf, stateOf, verified } from '../../../test/verified-backend.ts';
import { formatServiceKey, type IpvsService } from '../../kernel/ipvs-codec.ts';
import { PointsmanError } from '../../model/errors.ts';

const VIP = '172.30.0.41';
const ID = `TCP ${VIP}:80`;
const WEB = plan('web', [{ address: VIP, endpoints: ['10.0.0.1', '10.0.0.2'] }, { nodePort: 30_080 }]);
const OTHER = plan('other', [{ address: '172.30.0.42', endpoints: ['10.0.0.3'] }]);

/** Cannot always list real servers. */
class BrokenKernel extends LyingKernel {
  isBroken = false;

  override destinations(...key: Parameters<LyingKernel['destinations']>) {
    return this.isBroken ? Promise.reject(new Error('broken')) : super.destinations(...key);
  }
}

describe('a listing', () => {
  const lies: readonly (readonly [string, (piece: IpvsService[]) => IpvsService[]])[] = [
    ['with old settings', (piece) => piece.map((each) => ({ ...each, scheduler: 'wlc', timeoutSeconds: 9 }))],
    ['that misses a service', (piece) => piece.slice(1)],
    ['that misses all', () => []],
    ['with a service twice', (piece) => [...piece, ...piece]],
    ['with a foreign service that is gone', (piece) => [...piece, foreignService('192.0.2.1', 17, 53)]],
    [
      'with a service of ours that is gone',
      (piece) => [...piece, { ...foreignService('172.30.0.99', 6, 80), scheduler: 'rr' }],
    ],
  ];

  it.each(lies)('%s changes nothing', async (_, lie) => {
    const { kernel, backend } = await verified([WEB, OTHER]);
    kernel.lie = lie;
    for (let round = 0; round < 2; round++) await compare(backend);
    expect(kernel.writes).toEqual([]);
    expect(backend.verifier.repairs.total).toBe(0);
    expect(backend.foreignVirtualServers()).toEqual([]);
  });

  it.each(lies)('%s does not hide what a single read shows', async (_, lie) => {
    const { kernel, backend } = await verified([WEB, OTHER]);
    const wanted = stateOf(kernel);
    kernel.lie = lie;
    const found = kernel.table.get(ID);
    if (found !== undefined) found.service = { ...found.service, scheduler: 'sh' };
    kernel.table.delete('TCP 172.30.0.42:80');
    // What is listed as we know it is not asked for: at last the next listing shows it.
    await compare(backend);
    kernel.lie = (piece) => piece;
    await compare(backend);
    expect(stateOf(kernel)).toBe(wanted);
  });

  it('that misses a foreign service does not make it ours to take', async () => {
    const { kernel, backend } = await verified([OTHER]);
    kernel.table.set(ID, { service: foreignService(VIP, 6, 80), destinations: new Map() });
    expect((await backend.apply(change([WEB]))).failed).toEqual([WEB.key]);
    kernel.lie = (piece) => piece.filter(({ scheduler }) => scheduler !== 'wlc');
    await compare(backend);
    expect(backend.foreignVirtualServers()).toEqual([ID]);
  });

  it('finds what changed while it went on in the next comparison', async () => {
    const { kernel, backend } = await verified([WEB, OTHER]);
    const wanted = stateOf(kernel);
    await backend.verifier.checkSlice();
    kernel.table.delete(ID);
    await compare(backend);
    await compare(backend);
    expect(stateOf(kernel)).toBe(wanted);
  });
});

describe('virtual servers of others', () => {
  it('are learned and forgotten', async () => {
    const { kernel, backend } = await verified([WEB]);
    const foreign = foreignService('192.0.2.1', 17, 53);
    await kernel.applyIpvs([{ op: 'NEW_SERVICE', service: foreign }]);
    await compare(backend);
    expect(backend.foreignVirtualServers()).toEqual(['UDP 192.0.2.1:53']);
    await kernel.applyIpvs([{ op: 'DEL_SERVICE', service: foreign }]);
    await compare(backend);
    expect(backend.foreignVirtualServers()).toEqual([]);
  });

  it('that vanish all at once are asked for in many slices', async () => {
    const { kernel, backend } = await verified([WEB]);
    const foreign = Array.from({ length: 200 }, (_, i) => foreignService(`192.0.2.${i}`, 17, 53));
    await kernel.applyIpvs(foreign.map((service) => ({ op: 'NEW_SERVICE', service })));
    await compare(backend);
    await kernel.applyIpvs(foreign.map((service) => ({ op: 'DEL_SERVICE', service })));
    let reads = 0;
    kernel.service = () => void reads++;
    let mostReads = 0;
    for (let isLast = false; !isLast; reads = 0) {
      isLast = await backend.verifier.checkSlice();
      mostReads = Math.max(mostReads, reads);
    }
    expect([mostReads, backend.foreignVirtualServers()]).toEqual([32, []]);
  });

  it('keep a new Service from their key once they are learned, without a single write at it', async () => {
    const { kernel, backend } = await verified([OTHER]);
    await kernel.applyIpvs([{ op: 'NEW_SERVICE', service: foreignService(VIP, 6, 80) }]);
    await compare(backend);
    kernel.writes = [];
    expect((await backend.apply(change([WEB]))).failed).toEqual([WEB.key]);
    expect(kernel.writes.filter((write) => write.includes(VIP))).toEqual([]);
  });

  it('with a firewall mark are none of ours, whatever their number', async () => {
    const { kernel, backend } = await verified([WEB]);
    const service = { family: 'IPv4', fwmark: 7, scheduler: 'rr', flags: 0, timeoutSeconds: 0, netmask: 0 };
    kernel.table.set('FWM 7', { service: service as never, destinations: new Map() });
    await compare(backend);
    expect(kernel.writes).toEqual([]);
    expect(backend.foreignVirtualServers()).toHaveLength(1);
  });
});

describe('a cycle', () => {
  it('that fails begins anew with the next slice', async () => {
    const { kernel, backend } = await verified([WEB, OTHER], new BrokenKernel());
    kernel.isBroken = true;
    let thrown: unknown = null;
    for (let slices = 0; thrown === null && slices < 10; slices++)
      await backend.verifier.checkSlice().catch((error: unknown) => (thrown = error));
    expect(thrown).toMatchObject({ message: 'broken' });
    expect(backend.verifier.status).toMatchObject({ cycles: 0, slice: 0 });
    kernel.isBroken = false;
    kernel.lists = [];
    await compare(backend);
    expect(kernel.lists[0]).toBe('service pieces');
    expect(backend.verifier.status.cycles).toBe(1);
  });

  it('that fails while it reads a listing gives the listing back', async () => {
    const { kernel, backend } = await verified([WEB, OTHER]);
    kernel.lie = () => {
      throw new Error('broken');
    };
    await expect(backend.verifier.checkSlice()).rejects.toThrow('broken');
    expect(kernel.openListings).toBe(0);
  });

  it('that is closed in the middle gives its listing back; the next one begins anew', async () => {
    const { kernel, backend } = await verified([WEB, OTHER]);
    kernel.pieceSize = 1;
    await backend.verifier.checkSlice();
    expect(kernel.openListings).toBe(1);
    await backend.verifier.close();
    expect([kernel.openListings, backend.verifier.status.slice]).toEqual([0, 0]);
    await backend.verifier.close();
    kernel.lists = [];
    await compare(backend);
    expect([kernel.lists[0], kernel.openListings]).toEqual(['service pieces', 0]);
  });

  it.each([1, 2, 3, 4, 5, 6])(
    'during which Services go, come and change after slice %i repairs nothing that is right',
    async (at) => {
      const { kernel, backend } = await verified([WEB, OTHER]);
      kernel.pieceSize = 1;
      for (let slice = 0; slice < at; slice++) await backend.verifier.checkSlice();
      const changed = plan('web', [{ address: VIP, endpoints: ['10.0.0.7'], scheduler: 'sh' }]);
      const added = plan('new', [{ address: '172.30.0.43', endpoints: ['10.0.0.8'] }]);
      await backend.apply(change([changed, OTHER.key, added]));
      const wanted = stateOf(kernel);
      await compare(backend);
      await compare(backend);
      expect(stateOf(kernel)).toBe(wanted);
      expect(repairsOf(backend)).toEqual([]);
    },
  );

  it('that stops in the middle of a large Service does not take its next change for drift', async () => {
    const ports = (endpoint: string): PortSpec[] =>
      Array.from({ length: 100 }, (_, index) => ({ address: VIP, port: index + 1, endpoints: [endpoint] }));
    const { kernel, backend } = await verified([plan('web', ports('10.0.0.1'))]);
    kernel.pieceSize = 100;
    await backend.verifier.checkSlice();
    await backend.verifier.checkSlice();
    await backend.verifier.checkSlice();
    await backend.apply(change([plan('web', ports('10.0.0.2'))]));
    // What one look does not reach is for the next.
    await backend.drain();
    kernel.writes = [];
    await compare(backend);
    expect(kernel.writes).toEqual([]);
    expect(repairsOf(backend)).toEqual([]);
  });

  it('in which something cannot be read goes on behind it, says so, and does not count', async () => {
    const { kernel, backend } = await verified([WEB, OTHER]);
    const setMembers = kernel.setMembers.bind(kernel);
    const destinations = kernel.destinations.bind(kernel);
    kernel.setMembers = async (set, family) => {
      if (set === 'KUBE-LOOP-BACK') throw new PointsmanError('KERNEL_PROTOCOL', 'cannot decode');
      return setMembers(set, family);
    };
    kernel.destinations = async (key) => {
      if (formatServiceKey(key) === `TCP ${VIP}:80`) throw new PointsmanError('KERNEL_TIMEOUT', 'no answer');
      return destinations(key);
    };
    kernel.addresses?.clear();
    const errors: unknown[] = [];
    for (let slice = 0; slice < 200 && errors.length < 6; slice++)
      await backend.verifier.checkSlice().catch((error: unknown) => errors.push(error));
    expect(new Set(errors.map(String)).size).toBe(2);
    expect([...(kernel.addresses ?? [])].sort()).toEqual([VIP, '172.30.0.42']);
    expect(backend.verifier.status.cycles).toBe(0);
  });
});
