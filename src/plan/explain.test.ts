// Why endpoints get no connections, one reason for each.

import { expect, test } from 'vitest';
import { projectEndpointSlice } from '../model/endpoints.ts';
import { projectService } from '../model/service.ts';
import { explainEndpoints } from './explain.ts';
import type { NodeOptions } from './plan.ts';

const OPTIONS: NodeOptions = {
  nodeName: 'node1',
  zone: 'zone-a',
  families: ['IPv4'],
  nodePortAddresses: [],
  scheduler: 'rr',
  masqueradeAll: false,
  localDetector: { kind: 'none' },
};

const zone = (name: string): object => ({ hints: { forZones: [{ name }] } });
const node = (name: string): object => ({ hints: { forNodes: [{ name }] } });
const NOT_READY = { conditions: { ready: false } };
const LEAVING = { conditions: { ready: false, terminating: true } };
const HERE = { nodeName: 'node1' };
const THERE = { nodeName: 'node2' };

test.each([
  ['all are used', {}, [HERE, THERE], []],
  ['one is not ready', {}, [HERE, NOT_READY], ['2 NotReady']],
  ['one is going away', {}, [HERE, LEAVING], ['2 Terminating']],
  ['all are going away and stand in', {}, [LEAVING, LEAVING], []],
  [
    'hints for another zone',
    {},
    [zone('zone-a'), zone('zone-b'), { ...zone('zone-b'), ...NOT_READY }],
    ['2 OtherZone', '3 NotReady'],
  ],
  ['hints for another node', {}, [node('node1'), node('node2')], ['2 OtherNode']],
  [
    'external Local leaves out other nodes for clients outside',
    { type: 'NodePort', externalTrafficPolicy: 'Local' },
    [HERE, THERE],
    ['2 NotLocal'],
  ],
  [
    'internal Local without a way in',
    { internalTrafficPolicy: 'Local' },
    [HERE, THERE, NOT_READY],
    ['2 NotLocal', '3 NotReady'],
  ],
  [
    'external Local, all going away',
    { type: 'NodePort', externalTrafficPolicy: 'Local' },
    [
      { ...HERE, ...LEAVING },
      { ...THERE, ...LEAVING },
    ],
    ['2 NotLocal'],
  ],
])('%s', (_name, spec, endpoints, expected) => {
  const nodePort = 'type' in spec ? 30_080 : 0;
  const service = {
    metadata: { name: 'web' },
    spec: { clusterIP: '10.96.0.1', ports: [{ name: 'http', port: 80, nodePort }], ...spec },
  };
  const slice = {
    metadata: { name: 'web-1', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080 }],
    endpoints: endpoints.map((one, index) => ({ addresses: [`10.244.0.${index + 1}`], ...one })),
  };
  const leftOut = explainEndpoints(
    projectService(service).record!,
    [projectEndpointSlice(slice).record!],
    OPTIONS,
  );
  expect(leftOut.map(({ address, reason }) => `${address.split('.')[3]} ${reason}`)).toEqual(expected);
  for (const one of leftOut) expect(one).toMatchObject({ port: 8080, portName: 'http' });
});
