// Virtual servers that go from one Service to another in one change, however many Services change with them: nothing of them is torn down and made
// anew, and nothing leaks in between.

import { describe, expect, it } from 'vitest';
import { change, ip, NODE, plan, started } from '../../../test/ipvs-plans.ts';
import { frontends, unmasqueraded } from '../../../test/ipvs-services.ts';
import { HERE, THERE } from '../../../test/one-service.ts';
import { serviceKey } from '../../model/names.ts';
import type { ServicePlan } from '../../plan/plan.ts';

const ENDPOINTS = { endpoints: ['10.0.0.1'] };
const OWN = { address: '172.30.0.1', ...ENDPOINTS };
const X = { address: '172.30.9.1', ...ENDPOINTS };
const Y = { address: '172.30.9.2', ...ENDPOINTS };
/** More than one step has. */
const MANY = Array.from({ length: 140 }, (_, i) =>
  plan(`m${i}`, [{ address: `172.30.1.${i}`, protocol: 'UDP', ...ENDPOINTS }]),
);

/** Writes at the shared addresses when Services change from the first plans to the others, with many in between. */
async function writesOf(
  before: readonly ServicePlan[],
  after: readonly (ServicePlan | ServicePlan['key'])[],
) {
  const { kernel, backend } = await started(...before);
  const [first, ...others] = after;
  const { failed } = await backend.apply(
    change([...(first === undefined ? [] : [first]), ...MANY, ...others]),
  );
  expect(failed).toEqual([]);
  return kernel.writes.filter((write) => write.includes('172.30.9.'));
}

describe('a virtual server that goes to another Service', () => {
  it.each([
    ['that is new', [plan('z', [OWN, X])], [plan('z', [OWN]), plan('a', [X])]],
    ['that is written first', [plan('z', [OWN, X])], [plan('a', [X]), plan('z', [OWN])]],
    ['of one that goes', [plan('z', [OWN, X])], [plan('a', [X]), serviceKey('default', 'z')]],
    ['for another', [plan('z', [X]), plan('a', [Y])], [plan('z', [Y]), plan('a', [X])]],
    [
      'in a row of three',
      [plan('z', [X]), plan('y', [Y])],
      [plan('z', [OWN]), plan('y', [X]), plan('a', [Y])],
    ],
    ['as one of several', [plan('z', [X, Y])], [plan('z', [OWN]), plan('y', [X]), plan('a', [Y])]],
  ])('%s stays as it is', async (_, before, after) => {
    expect(await writesOf(before, after)).toEqual([]);
  });

  it('stays as it is where the Service that had it had failed', async () => {
    const { kernel, backend } = await started(plan('z', [OWN, X]));
    kernel.faults.push({ matches: (write) => write.startsWith('NEW_DEST'), errno: 'ENOMEM', times: 1 });
    const more = { ...OWN, endpoints: ['10.0.0.1', '10.0.0.2'] };
    expect((await backend.apply(change([plan('z', [more, X])]))).failed).toHaveLength(1);
    kernel.writes = [];
    await backend.apply(change([plan('z', [more]), ...MANY, plan('a', [X])]));
    const removals = kernel.writes.filter((write) => /^(UNBIND|DEL)/.test(write));
    expect(removals.filter((write) => write.includes('172.30.9.'))).toEqual([]);
  });

  it('that lingers is taken over in place', async () => {
    const { kernel, backend } = await started(plan('z', [X]));
    kernel.connections.set('TCP 172.30.9.1:80 -> 10.0.0.1:8080', 1);
    await backend.apply(change([serviceKey('default', 'z')]));
    kernel.writes = [];
    await backend.apply(change([...MANY.slice(0, 127), plan('a', [X])]));
    expect(kernel.writes.filter((write) => write.includes('172.30.9.'))).toEqual([
      'SET_DEST TCP 172.30.9.1:80 -> 10.0.0.1:8080',
    ]);
    expect(kernel.addresses?.has(ip('172.30.9.1'))).toBe(true);
  });

  it('is masqueraded from its first server elsewhere on', async () => {
    const nodePort = (name: string, externalTrafficPolicy: string, endpoints: object[]) =>
      frontends({ type: 'NodePort', externalTrafficPolicy }, endpoints, { name });
    const { kernel, backend } = await started(nodePort('old', 'Local', [HERE]));
    kernel.onWrite = () => expect(unmasqueraded(kernel)).toEqual([]);
    const moved = [nodePort('new', 'Cluster', [HERE, THERE]), ...MANY, serviceKey('default', 'old')];
    expect((await backend.apply(change(moved, false, NODE))).failed).toEqual([]);
  });
});
