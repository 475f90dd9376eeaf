// What a test of a real cluster tries, step by step: an object of ours is made, changed or removed, and the agent comes to see it. Endpoints
// have addresses of the documentation's ranges (RFC 5737, RFC 3849): nothing is ever sent there. Knows neither limits nor output.

import { ApiStatusError } from '../../src/cluster/api-client-status.ts';
import type { ApiTransport } from '../../src/cluster/api-client-transport.ts';
import { pause, type ApiTimers } from '../../src/cluster/api-timers.ts';
import { CONDITION } from '../../src/model/endpoint-slice.ts';
import { familyOf, type Family } from '../../src/model/ip.ts';
import { LABEL_PROXY_NAME, LABEL_SERVICE_NAME, serviceKey, type ServiceKey } from '../../src/model/names.ts';
import type { SnapshotEntry } from '../../src/model/snapshot.ts';
import type { SeeingAgent } from './real-cluster-agent.ts';
import { askJson, type Fields, type OwnNamespace } from './real-cluster-objects.ts';

/** What a step works with. `signal`: its time is up, or the run is stopped. */
export interface StepContext {
  readonly transport: ApiTransport;
  readonly own: OwnNamespace;
  readonly agent: SeeingAgent;
  /** '' when the cluster shows none. */
  readonly nodeName: string;
  readonly timers: ApiTimers;
  readonly signal: AbortSignal;
}

/** One step; `run` resolves with what was seen. */
export interface Step {
  readonly name: string;
  /** Of these steps, all must have passed. */
  readonly needs?: readonly string[];
  readonly run: (context: StepContext) => Promise<string>;
}

/** Thrown by a step that this cluster does not allow for. */
export class NotHere extends Error {}

const MANAGED_BY = { 'endpointslice.kubernetes.io/managed-by': 'pointsman-test' };
const PORTS = [
  { name: 'http', protocol: 'TCP', port: 80, targetPort: 8080 },
  { name: 'dns', protocol: 'UDP', port: 53, targetPort: 5353 },
];
const SLICE_PORTS = [
  { name: 'http', protocol: 'TCP', port: 8080 },
  { name: 'dns', protocol: 'UDP', port: 5353 },
];
const READY = { ready: true, serving: true, terminating: false };
const RELIST_PAUSE_MS = 1000;

const SERVICE = 'a Service without selector, two ports';
const SLICE = 'an EndpointSlice of ours';

/** In this order. */
export const STEPS: readonly Step[] = [
  { name: 'the Node with its addresses', run: seeNode },
  { name: SERVICE, run: seeService },
  { name: SLICE, needs: [SERVICE], run: seeSlice },
  { name: 'an endpoint that is not ready', needs: [SLICE], run: seeNotReady },
  { name: 'a second slice', needs: [SLICE], run: seeSecondSlice },
  { name: 'a Service of type NodePort', needs: [SERVICE], run: seeNodePort },
  { name: 'a headless Service is never seen', needs: [SERVICE], run: missHeadless },
  { name: `label ${LABEL_PROXY_NAME} takes a Service away`, needs: [SERVICE], run: loseByLabel },
  { name: 'external IPs', needs: [SERVICE], run: seeExternalIP },
  { name: 'dual stack', needs: [SERVICE], run: seeDualStack },
  { name: 'deletions', needs: [SLICE], run: seeDeletions },
  { name: 'a full list gives the same', run: compareList },
];

async function seeNode({ transport, agent, nodeName, signal }: StepContext): Promise<string> {
  if (nodeName === '') throw new NotHere('the cluster shows no Node');
  const node = await askJson(transport, { path: `/api/v1/nodes/${encodeURIComponent(nodeName)}` }, signal);
  const addresses = ((node['status']?.addresses ?? []) as Fields[])
    .filter(({ type }) => type === 'InternalIP')
    .map(({ address }) => String(address));
  const record = await agent.until(() => {
    const seen = agent.snapshot.node(nodeName);
    const isThere = addresses.every((address) => seen?.addresses.some((one) => String(one) === address));
    return seen !== undefined && isThere ? seen : null;
  }, signal);
  return `${nodeName}: ${record.addresses.join(', ') || 'no addresses'}`;
}

async function seeService(context: StepContext): Promise<string> {
  const made = await context.own.create('Service', 'web', { spec: { ports: PORTS } }, context.signal);
  const clusterIP = String(made['spec']?.clusterIP);
  return await see(context, 'web', ({ service }) => {
    const ports = service.ports.map(({ port }) => port);
    return service.clusterIPs.some((one) => String(one) === clusterIP) && isSameSet(ports, [80, 53]);
  });
}

async function seeSlice(context: StepContext): Promise<string> {
  const family = familyOfWeb(context);
  await makeSlice(context, 'web-1', family, [1, 2]);
  return await see(context, 'web', ({ slices }) =>
    isSameSet(
      slices.flatMap(({ endpoints }) => endpoints.map(({ address }) => String(address))),
      [1, 2].map((place) => addressOf(family, place)),
    ),
  );
}

async function seeNotReady(context: StepContext): Promise<string> {
  const gone = addressOf(familyOfWeb(context), 2);
  await context.own.change(
    'EndpointSlice',
    'web-1',
    (slice) => {
      for (const endpoint of slice['endpoints'] as Fields[])
        if (endpoint['addresses'][0] === gone)
          endpoint['conditions'] = { ready: false, serving: false, terminating: false };
    },
    context.signal,
  );
  return await see(context, 'web', ({ slices }) => {
    const endpoints = slices.flatMap((slice) => slice.endpoints);
    return (
      endpoints.length === 2 &&
      endpoints.every(
        ({ address, conditions }) => ((conditions & CONDITION.READY) === 0) === (String(address) === gone),
      )
    );
  });
}

async function seeSecondSlice(context: StepContext): Promise<string> {
  await makeSlice(context, 'web-2', familyOfWeb(context), [3, 4, 5]);
  return await see(
    context,
    'web',
    ({ slices }) => slices.length === 2 && slices.some((slice) => slice.endpoints.length === 3),
  );
}

async function seeNodePort(context: StepContext): Promise<string> {
  const spec = { type: 'NodePort', ports: PORTS };
  const made = await context.own.create('Service', 'node-port', { spec }, context.signal);
  const wanted = (made['spec'].ports as Fields[]).map(({ nodePort }) => Number(nodePort));
  return await see(
    context,
    'node-port',
    ({ service }) =>
      service.type === 'NodePort' &&
      isSameSet(
        service.ports.map(({ nodePort }) => nodePort),
        wanted,
      ),
  );
}

/** What comes after it is seen, so it would have been. */
async function missHeadless(context: StepContext): Promise<string> {
  const { own, agent, signal } = context;
  await own.create('Service', 'headless', { spec: { clusterIP: 'None', ports: PORTS } }, signal);
  await own.create('Service', 'after-headless', { spec: { ports: PORTS } }, signal);
  await see(context, 'after-headless', () => true);
  if (agent.wasTold('headless')) throw new Error('the agent was told of it');
  return 'the Service made after it is seen';
}

async function loseByLabel(context: StepContext): Promise<string> {
  const { own, agent, signal } = context;
  const label = (value: string | null) => (service: Fields) => {
    const { [LABEL_PROXY_NAME]: _before, ...labels } = (service['metadata'].labels ?? {}) as Fields;
    service['metadata'].labels = value === null ? labels : { ...labels, [LABEL_PROXY_NAME]: value };
  };
  await own.change('Service', 'web', label('other'), signal);
  await agent.until(() => (agent.snapshot.get(keyOf(context, 'web')) === undefined ? true : null), signal);
  await own.change('Service', 'web', label(null), signal);
  return `gone, and without it back: ${await see(context, 'web', () => true)}`;
}

async function seeExternalIP(context: StepContext): Promise<string> {
  const address = addressOf(familyOfWeb(context), 200);
  try {
    await context.own.change(
      'Service',
      'web',
      (service) => void (service['spec'].externalIPs = [address]),
      context.signal,
    );
  } catch (error) {
    // The admission plugin DenyServiceExternalIPs.
    if (isRefused(error, 403)) throw new NotHere(`the cluster refuses them: ${saidBy(error)}`);
    throw error;
  }
  return await see(context, 'web', ({ service }) =>
    service.externalIPs.some((one) => String(one) === address),
  );
}

async function seeDualStack(context: StepContext): Promise<string> {
  const spec = { ipFamilyPolicy: 'RequireDualStack', ports: PORTS };
  try {
    await context.own.create('Service', 'dual', { spec }, context.signal);
  } catch (error) {
    if (isRefused(error, 422)) throw new NotHere(`the cluster has one family: ${saidBy(error)}`);
    throw error;
  }
  for (const family of ['IPv4', 'IPv6'] as const)
    await makeSlice(context, `dual-${family.toLowerCase()}`, family, [6], 'dual');
  return await see(
    context,
    'dual',
    ({ service, slices }) => service.clusterIPs.length === 2 && slices.length === 2,
  );
}

async function seeDeletions(context: StepContext): Promise<string> {
  const { own, agent, signal } = context;
  await own.remove('EndpointSlice', 'web-1', signal);
  await see(context, 'web', ({ slices }) => slices.every(({ name }) => name !== 'web-1'));
  await own.remove('Service', 'web', signal);
  await agent.until(() => (agent.snapshot.get(keyOf(context, 'web')) === undefined ? true : null), signal);
  return 'a slice and a Service are gone';
}

/** Others change things while lists are read: only what stays different is. */
async function compareList({ agent, timers, signal }: StepContext): Promise<string> {
  let different: Set<string> | null = null;
  try {
    for (let lists = 1; ; lists++) {
      const now = await agent.differences(signal);
      different = different === null ? now : different.intersection(now);
      if (different.size === 0) return `${[...agent.snapshot.services()].length} Services, ${lists} lists`;
      await pause(timers, RELIST_PAUSE_MS, signal);
      signal.throwIfAborted();
    }
  } catch (error) {
    if (different === null || different.size === 0) throw error;
    const names = [...different].slice(0, 5).join(', ');
    throw new Error(`${different.size} are not as the list says: ${names}`, { cause: error });
  }
}

async function makeSlice(
  { own, signal }: StepContext,
  name: string,
  family: Family,
  places: readonly number[],
  service = 'web',
): Promise<void> {
  const labels = { [LABEL_SERVICE_NAME]: service, ...MANAGED_BY };
  const endpoints = places.map((place) => ({ addresses: [addressOf(family, place)], conditions: READY }));
  await own.create(
    'EndpointSlice',
    name,
    { metadata: { labels }, addressType: family, endpoints, ports: SLICE_PORTS },
    signal,
  );
}

/** Resolves with the Service in a few words as soon as it is as `isAsWanted` says. */
async function see(
  context: StepContext,
  name: string,
  isAsWanted: (entry: SnapshotEntry) => boolean,
): Promise<string> {
  const { agent, signal } = context;
  const key = keyOf(context, name);
  try {
    await agent.until(() => {
      const entry = agent.snapshot.get(key);
      return entry !== undefined && isAsWanted(entry) ? entry : null;
    }, signal);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`${why}; the agent sees of ${name}: ${agent.shown(key)}`, { cause: error });
  }
  return agent.shown(key);
}

function keyOf({ own }: StepContext, name: string): ServiceKey {
  return serviceKey(own.name, name);
}

/** The cluster's first family. */
function familyOfWeb(context: StepContext): Family {
  const [first] = context.agent.snapshot.get(keyOf(context, 'web'))?.service.clusterIPs ?? [];
  return first === undefined ? 'IPv4' : familyOf(first);
}

function addressOf(family: Family, place: number): string {
  return family === 'IPv4' ? `192.0.2.${place}` : `2001:db8::${place.toString(16)}`;
}

function isSameSet<T>(a: readonly T[], b: readonly T[]): boolean {
  return a.length === b.length && new Set(a).symmetricDifference(new Set(b)).size === 0;
}

function isRefused(error: unknown, status: number): error is ApiStatusError {
  return error instanceof ApiStatusError && error.status === status;
}

function saidBy(error: ApiStatusError): string {
  return String(error.context['said']);
}
