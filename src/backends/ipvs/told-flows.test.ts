// What the backend tells of UDP virtual servers, for whoever looks after flows.

import { expect, it } from 'vitest';
import { NODE, service, slice } from '../../../test/agent-events.ts';
import { FakeIpvsKernel } from '../../../test/fake-ipvs-kernel.ts';
import { Agent } from '../../daemon/agent.ts';
import { openLog } from '../../daemon/log.ts';
import type { FlowChange } from '../stale-flows.ts';
import { IpvsBackend } from './backend.ts';

it('tells each of them when it was written, and all again when asked', async () => {
  const told: FlowChange[] = [];
  const backend = new IpvsBackend(
    new FakeIpvsKernel(),
    NODE.families,
    {
      strictArp: false,
      timeouts: {},
      masqueradeMark: 0x4000,
      excludeCIDRs: [],
      now: () => 0,
      pace: () => Promise.resolve(),
    },
    { onFlowChange: (change) => told.push(change) },
  );
  const agent = new Agent({
    backend,
    node: NODE,
    log: openLog({ write: () => {}, now: () => new Date(0), pid: 1 }),
    pace: () => Promise.resolve(),
    onDirty: () => {},
  });
  const ports = [{ port: 53, protocol: 'UDP' }];
  agent.onEvents([service('web', '172.30.0.41'), slice('web', ['10.0.0.1'])]);
  agent.onEvents([service('dns', '172.30.0.10', { ports })]);
  agent.setComplete();
  await agent.sync('request');
  const portals = (): string[] => told.splice(0).map(({ portal }) => `${portal.address} ${portal.port}`);
  expect(portals()).toEqual(['172.30.0.10 53']);
  backend.currentReport();
  expect(portals()).toEqual([]);
  backend.retellFlows();
  expect(portals()).toEqual(['172.30.0.10 53']);
});
