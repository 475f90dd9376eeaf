// The EndpointSlice that tests of its projection change, what it is read as, and what is said of it.

import { CONDITION, projectEndpointSlice, type SliceRecord } from '../src/model/endpoint-slice.ts';
import { plainSlice } from './objects.ts';
import { problemLines } from './problems.ts';

/** The ports, the endpoint and the whole of `plainSlice` as they are read. */
export const PORTS = [{ name: 'http', port: 8080, protocol: 'TCP' }];
export const ONE = {
  address: '10.244.1.1',
  conditions: CONDITION.READY | CONDITION.SERVING,
  nodeName: '',
  zoneHints: [],
  nodeHints: [],
};
export const DEFAULTS = {
  name: 'web-1',
  serviceKey: 'default/web',
  family: 'IPv4',
  ports: PORTS,
  endpoints: [ONE],
  triggeredAtMs: 0,
  weight: null,
};

/** What is read of a slice, and the lines of problems without its name. */
export function readSlice(rest: object): { record: SliceRecord | null; lines: string[] } {
  const { record, problems } = projectEndpointSlice(plainSlice(rest));
  const lines = problemLines(problems).map((line) => line.replace(/^EndpointSlice default\/web-1: /, ''));
  return { record, lines };
}

/** A slice whose first endpoint has these fields. */
export const endpoint = (fields: object): object => ({
  endpoints: [{ addresses: ['10.244.1.1'], ...fields }],
});
