// Reads golden cases. CASE/input.yaml holds, in one file, an optional KubeProxyConfiguration (without one: the defaults), the Nodes, the
// Services and the EndpointSlices; the plan is for node1, whose addresses are those of its Node object and loopback.
// step-N.yaml has what comes after that, step-N.delete.yaml what goes (kind and metadata suffice; it goes first). Each stage has its
// plan(-N).json, where packets are followed trace(-N).txt, and where it is about mode ipvs state(-N).txt (see kernel-state-file.ts).
// Directives stand in comments at the beginning of input.yaml:
//   # @mode iptables      iptables.localhostNodePorts of the configuration counts (true when not given); mode ipvs has no such thing
//   # @families IPv4      the node forwards only these; both when not given
//   # @addresses fe80::1  the machine has these beside the addresses of its Node object and loopback
//   # @only state         the case is about kernel state: it has state.txt, and neither plan.json nor trace.txt

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import type { Config } from '../../src/config/config.ts';
import { defaultConfig, parseConfig } from '../../src/config/parse.ts';
import { KIND } from '../../src/config/schema.ts';
import { nodeSettings } from '../../src/daemon/settings.ts';
import { member } from '../../src/model/fields.ts';
import type { Family, IpAddress } from '../../src/model/ip.ts';
import type { ClusterEvent, ClusterObject } from '../../src/model/objects.ts';
import type { Snapshot } from '../../src/model/snapshot.ts';
import { makeNodeOptions } from '../../src/plan/node-options.ts';
import type { NodeOptions } from '../../src/plan/plan.ts';
import { address, NODE1 } from '../addresses.ts';

/** The objects as they are at first or after a step, and the files with what is expected then. */
export interface Stage {
  /** "input", "step-1", ... */
  readonly name: string;
  readonly events: readonly ClusterEvent[];
  readonly planFile: string;
  readonly traceFile: string;
  readonly stateFile: string;
}

/** One folder. */
export interface GoldenCase {
  readonly name: string;
  readonly stages: readonly Stage[];
  readonly config: Config;
  /** False for a case that is about kernel state only. */
  readonly hasPlans: boolean;
  /** The options of node1, by what the snapshot says of its Node. */
  readonly nodeOptions: (snapshot: Snapshot) => NodeOptions;
}

const ROOT = import.meta.dirname;
/** Steps of one case; a bound, so that a misspelt file name is found. */
const MAX_STEPS = 20;

/** All folders with an input, sorted; the others hold what was recorded of something else. */
export const CASE_NAMES: readonly string[] = readdirSync(ROOT)
  .filter((name) => existsSync(join(ROOT, name, 'input.yaml')))
  .sort();

/** Reads a case; throws on one that is not well made. */
export function readCase(name: string): GoldenCase {
  const folder = join(ROOT, name);
  const text = readFileSync(join(folder, 'input.yaml'), 'utf8');
  const isConfig = (document: unknown): boolean => member(document, 'kind') === KIND;
  const documents = documentsOf(text);
  const configText = text.split(/^---$/m).find((part) => documentsOf(part).some(isConfig));
  const config = configText === undefined ? defaultConfig() : parseConfig(configText, name).config;
  const localhostNodePorts =
    /^# @mode iptables$/m.test(text) &&
    member(member(documents.find(isConfig), 'iptables'), 'localhostNodePorts') !== false;
  const objects = documents.filter((document) => !isConfig(document));

  const stages: Stage[] = [stageOf(folder, 'input', '', applied(objects))];
  for (let step = 1; step <= MAX_STEPS; step++) {
    const [gone, come] = [join(folder, `step-${step}.delete.yaml`), join(folder, `step-${step}.yaml`)];
    if (!existsSync(gone) && !existsSync(come)) break;
    const read = (file: string): unknown[] =>
      existsSync(file) ? documentsOf(readFileSync(file, 'utf8')) : [];
    const events = [...deleted(read(gone)), ...applied(read(come))];
    stages.push(stageOf(folder, `step-${step}`, `-${step}`, events));
  }
  const node = { families: familiesOf(text), addresses: addressesOf(text), localhostNodePorts };
  return {
    name,
    stages,
    config,
    hasPlans: !/^# @only state$/m.test(text),
    nodeOptions: (snapshot) => nodeOptions(config, node, snapshot),
  };
}

function stageOf(folder: string, name: string, suffix: string, events: readonly ClusterEvent[]): Stage {
  const file = (base: string, extension: string): string => join(folder, `${base}${suffix}.${extension}`);
  return {
    name,
    events,
    planFile: file('plan', 'json'),
    traceFile: file('trace', 'txt'),
    stateFile: file('state', 'txt'),
  };
}

function documentsOf(text: string): unknown[] {
  return parseAllDocuments(text).flatMap((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw error;
    const value: unknown = document.toJS();
    return value === null ? [] : [value];
  });
}

function applied(objects: readonly unknown[]): ClusterEvent[] {
  return objects.map((object) => ({ type: 'apply', object: object as ClusterObject }));
}

function deleted(objects: readonly unknown[]): ClusterEvent[] {
  return (objects as ClusterObject[]).map(({ kind, metadata }) => ({
    type: 'delete',
    kind,
    namespace: kind === 'Node' ? '' : (metadata?.namespace ?? 'default'),
    name: metadata?.name ?? '',
  }));
}

function familiesOf(text: string): readonly Family[] {
  const listed = /^# @families (.+)$/m.exec(text)?.[1]?.split(' ') ?? ['IPv4', 'IPv6'];
  return listed.map((family) => {
    if (family === 'IPv4' || family === 'IPv6') return family;
    throw new Error(`no family: ${family}`);
  });
}

/** Addresses of the machine that its Node object does not name. */
function addressesOf(text: string): readonly IpAddress[] {
  return (/^# @addresses (.+)$/m.exec(text)?.[1]?.split(' ') ?? []).map(address);
}

/** What the directives say of the node. */
interface DirectedNode {
  readonly families: readonly Family[];
  readonly addresses: readonly IpAddress[];
  readonly localhostNodePorts: boolean;
}

function nodeOptions(config: Config, directed: DirectedNode, snapshot: Snapshot): NodeOptions {
  const node = snapshot.node(NODE1);
  const nodeIps = node?.addresses ?? [];
  return makeNodeOptions(
    {
      ...nodeSettings(config, NODE1, directed.families, node),
      localhostNodePorts: directed.localhostNodePorts,
    },
    {
      zone: node?.zone ?? '',
      nodeIps,
      localAddresses: [...nodeIps, ...directed.addresses, address('127.0.0.1'), address('::1')],
    },
  );
}
