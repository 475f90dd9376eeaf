// The rules of the Kubernetes API for a Service, for manifests, which no API server has checked. A cluster IP must be written down,
// since nobody allocates one here. Pure. Source: Kubernetes 1.36, pkg/apis/core/validation (ValidateService).

import type { Path } from '../files/document.ts';
import { isAbsent, MAX_LIST_LENGTH, member, quote } from '../model/fields.ts';
import { FAMILIES, familyOf, type IpAddress } from '../model/ip.ts';
import { isDnsLabel, isDnsSubdomain, isLabelValue } from '../model/names.ts';
import { PROTOCOLS } from '../model/service-ports.ts';
import {
  checkAddress,
  checkBoolean,
  checkChoice,
  checkCidr,
  checkDifferentFamilies,
  checkInteger,
  checkKnown,
  checkList,
  checkObject,
  checkText,
  checkTextMap,
  isQualifiedName,
  type Report,
} from './manifest-rules.ts';

type Fields = Readonly<Record<string, unknown>>;
const SERVICE_TYPES = ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'] as const;
type ServiceType = (typeof SERVICE_TYPES)[number];
const POLICIES = ['Cluster', 'Local'] as const;
const LABEL_RULE = 'use lower-case letters, digits and hyphens, at most 63';

const KNOWN_SPEC = new Set(
  (
    'type clusterIP clusterIPs ipFamilies ipFamilyPolicy ports selector externalIPs externalName externalTrafficPolicy ' +
    'internalTrafficPolicy loadBalancerIP loadBalancerClass loadBalancerSourceRanges allocateLoadBalancerNodePorts ' +
    'healthCheckNodePort sessionAffinity sessionAffinityConfig publishNotReadyAddresses trafficDistribution'
  ).split(' '),
);
const KNOWN_PORT = new Set(['name', 'protocol', 'port', 'targetPort', 'nodePort', 'appProtocol']);
const KNOWN_TOP = new Set(['apiVersion', 'kind', 'metadata', 'spec', 'status']);

/** Reports what is wrong with the spec and status of a Service. Takes any JSON value; never throws. */
export function validateService(object: unknown, report: Report): void {
  checkKnown(checkObject(object, [], report) ?? {}, [], KNOWN_TOP, report);
  const spec = checkObject(member(object, 'spec'), ['spec'], report);
  if (spec === null) return;
  checkKnown(spec, ['spec'], KNOWN_SPEC, report);
  const type = checkChoice(member(spec, 'type'), ['spec', 'type'], report, SERVICE_TYPES, 'ClusterIP');
  if (type === null) return;
  if (type === 'ExternalName') {
    const name = member(spec, 'externalName');
    if (isAbsent(name)) report.invalid(['spec', 'externalName'], name, 'give the name it stands for');
    // Names of other systems may end with a dot.
    const isName = (text: string): boolean => isDnsSubdomain(text.replace(/\.$/, '').toLowerCase());
    checkText(name, ['spec', 'externalName'], report, isName, 'use a DNS name');
  }
  const isHeadless = validateClusterIPs(spec, type, report);
  validatePorts(spec, type, isHeadless, report);
  validateExternal(spec, type, report);
  validateAffinity(spec, report);
  checkChoice(
    member(spec, 'internalTrafficPolicy'),
    ['spec', 'internalTrafficPolicy'],
    report,
    POLICIES,
    'Cluster',
  );
  checkTextMap(
    member(spec, 'selector'),
    ['spec', 'selector'],
    report,
    isLabelValue,
    'use a valid label value',
  );
  for (const name of ['allocateLoadBalancerNodePorts', 'publishNotReadyAddresses'])
    checkBoolean(member(spec, name), ['spec', name], report);
  validateIngress(member(object, 'status'), report);
}

/** True for a headless Service. */
function validateClusterIPs(spec: Fields, type: ServiceType, report: Report): boolean {
  const path = ['spec', 'clusterIP'];
  const single = member(spec, 'clusterIP');
  const listed = checkList(member(spec, 'clusterIPs'), ['spec', 'clusterIPs'], report, 2);
  if (!isAbsent(single) && listed.length > 0 && listed[0] !== single)
    report.add(path, `it differs from spec.clusterIPs[0]`, 'make them equal or remove one');
  const first = isAbsent(single) ? listed[0] : single;
  const pathOf = (index: number): Path => (listed.length > 0 ? ['spec', 'clusterIPs', index] : path);
  if (type === 'ExternalName') {
    if (!isAbsent(first) && first !== 'None')
      report.add(pathOf(0), 'a Service of type ExternalName has none', 'remove it');
    return true;
  }
  if (first === 'None') {
    if (type !== 'ClusterIP')
      report.add(
        pathOf(0),
        `None is not allowed with type ${type}`,
        'give a cluster IP, or use type ClusterIP',
      );
    if (listed.length > 1) report.add(pathOf(1), 'None stands alone', 'remove the second one');
    return true;
  }
  if (isAbsent(first)) {
    report.add(
      path,
      'no cluster IP is given, and manifests have nobody who allocates one',
      'write one down, or None',
    );
    return false;
  }
  const texts = listed.length > 0 ? listed : [single];
  const addresses = texts.map((text, index) => {
    const address = checkAddress(text, pathOf(index), report, true);
    if (address === null || familyOf(address) === 'IPv4') return address;
    return checkAddress(text, pathOf(index), report, false);
  });
  checkDifferentFamilies(addresses, pathOf, report);
  validateFamilies(spec, addresses, report);
  return false;
}

function validateFamilies(spec: Fields, addresses: readonly (IpAddress | null)[], report: Report): void {
  const policies = ['SingleStack', 'PreferDualStack', 'RequireDualStack'] as const;
  checkChoice(member(spec, 'ipFamilyPolicy'), ['spec', 'ipFamilyPolicy'], report, policies, 'SingleStack');
  checkList(member(spec, 'ipFamilies'), ['spec', 'ipFamilies'], report, 2).forEach((item, index) => {
    const path = ['spec', 'ipFamilies', index];
    const family = checkChoice(item, path, report, FAMILIES, 'IPv4');
    const address = addresses[index];
    if (family !== null && address !== undefined && address !== null && familyOf(address) !== family)
      report.add(path, `cluster IP ${address} is not of family ${family}`, 'make both lists agree');
  });
}

function validatePorts(spec: Fields, type: ServiceType, isHeadless: boolean, report: Report): void {
  const ports = checkList(member(spec, 'ports'), ['spec', 'ports'], report, MAX_LIST_LENGTH);
  if (ports.length === 0 && !isHeadless)
    report.add(['spec', 'ports'], 'it has no ports', 'give the Service at least one port');
  const taken = new Set<string>();
  /** Reports `what` of a port when an earlier one has the same. */
  const claim = (path: Path, what: string, id: string): void => {
    if (taken.has(`${what} ${id}`))
      report.add(path, `an earlier port has the same ${what} ${id}`, `make each ${what} unique`);
    taken.add(`${what} ${id}`);
  };
  ports.forEach((item, index) => {
    const path = ['spec', 'ports', index];
    const port = checkObject(item, path, report);
    if (port === null) return;
    checkKnown(port, path, KNOWN_PORT, report);
    const name = checkText(member(port, 'name'), [...path, 'name'], report, isDnsLabel, LABEL_RULE);
    if (name !== null) claim([...path, 'name'], 'name', name);
    else if (isAbsent(member(port, 'name')) && ports.length > 1)
      report.add([...path, 'name'], 'with several ports each needs a name', 'give it one');
    const protocol = checkChoice(member(port, 'protocol'), [...path, 'protocol'], report, PROTOCOLS, 'TCP');
    const number = checkInteger(member(port, 'port'), [...path, 'port'], report, 1, 65_535);
    if (isAbsent(member(port, 'port')))
      report.invalid([...path, 'port'], null, 'use a whole number from 1 to 65535');
    if (number !== null && protocol !== null) claim([...path, 'port'], 'port', `${number}/${protocol}`);
    const nodePort = checkInteger(member(port, 'nodePort'), [...path, 'nodePort'], report, 0, 65_535) ?? 0;
    if (nodePort !== 0 && type !== 'NodePort' && type !== 'LoadBalancer')
      report.add([...path, 'nodePort'], `type ${type} has no node ports`, 'remove it, or use type NodePort');
    else if (nodePort !== 0 && protocol !== null)
      claim([...path, 'nodePort'], 'nodePort', `${nodePort}/${protocol}`);
    validateTargetPort(member(port, 'targetPort'), [...path, 'targetPort'], report);
    checkText(
      member(port, 'appProtocol'),
      [...path, 'appProtocol'],
      report,
      isQualifiedName,
      'use [domain/]name',
    );
  });
}

function validateTargetPort(value: unknown, path: Path, report: Report): void {
  if (isAbsent(value) || value === 0) return;
  const isName =
    typeof value === 'string' &&
    value.length <= 15 &&
    /[a-z]/.test(value) &&
    isDnsLabel(value) &&
    !value.includes('--');
  const isNumber = typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= 65_535;
  if (!isName && !isNumber) report.invalid(path, value, 'use a port from 1 to 65535 or the name of a port');
}

/** What concerns clients from outside. */
function validateExternal(spec: Fields, type: ServiceType, report: Report): void {
  const externalIPs = checkList(
    member(spec, 'externalIPs'),
    ['spec', 'externalIPs'],
    report,
    MAX_LIST_LENGTH,
  );
  externalIPs.forEach((text, index) => checkAddress(text, ['spec', 'externalIPs', index], report, false));
  const ranges = checkList(
    member(spec, 'loadBalancerSourceRanges'),
    ['spec', 'loadBalancerSourceRanges'],
    report,
    MAX_LIST_LENGTH,
  );
  ranges.forEach((text, index) => checkCidr(text, ['spec', 'loadBalancerSourceRanges', index], report));
  if (ranges.length > 0 && type !== 'LoadBalancer')
    report.add(
      ['spec', 'loadBalancerSourceRanges'],
      `type ${type} has no load balancer`,
      'remove it, or use type LoadBalancer',
    );

  const path = ['spec', 'externalTrafficPolicy'];
  const given = member(spec, 'externalTrafficPolicy');
  const policy = checkChoice(given, path, report, POLICIES, 'Cluster');
  const isReachable = type === 'NodePort' || type === 'LoadBalancer' || externalIPs.length > 0;
  if (!isAbsent(given) && !isReachable)
    report.add(path, 'nothing outside can reach this Service', 'remove it');

  const port =
    checkInteger(member(spec, 'healthCheckNodePort'), ['spec', 'healthCheckNodePort'], report, 0, 65_535) ??
    0;
  if (port !== 0 && (type !== 'LoadBalancer' || policy !== 'Local')) {
    const remedy = 'remove it, or use type LoadBalancer with externalTrafficPolicy: Local';
    report.add(['spec', 'healthCheckNodePort'], 'only load balancers with the policy Local have one', remedy);
  }
}

function validateAffinity(spec: Fields, report: Report): void {
  const affinity = checkChoice(
    member(spec, 'sessionAffinity'),
    ['spec', 'sessionAffinity'],
    report,
    ['None', 'ClientIP'],
    'None',
  );
  const path = ['spec', 'sessionAffinityConfig'];
  const config = checkObject(member(spec, 'sessionAffinityConfig'), path, report);
  const clientIP = checkObject(member(config, 'clientIP'), [...path, 'clientIP'], report);
  const at = [...path, 'clientIP', 'timeoutSeconds'];
  const timeoutSeconds = checkInteger(member(clientIP, 'timeoutSeconds'), at, report, 1, 86_400);
  if (affinity === 'None' && timeoutSeconds !== null)
    report.add(
      at,
      `it means nothing with sessionAffinity ${quote(affinity)}`,
      'remove it, or use sessionAffinity: ClientIP',
    );
}

function validateIngress(status: unknown, report: Report): void {
  const path = ['status', 'loadBalancer', 'ingress'];
  const ingress = member(member(checkObject(status, ['status'], report), 'loadBalancer'), 'ingress');
  checkList(ingress, path, report, MAX_LIST_LENGTH).forEach((item, index) => {
    const at = [...path, index];
    const entry = checkObject(item, at, report);
    if (entry === null) return;
    const ip = member(entry, 'ip');
    if (!isAbsent(ip)) {
      const address = checkAddress(ip, [...at, 'ip'], report, true);
      if (address !== null && familyOf(address) === 'IPv6') checkAddress(ip, [...at, 'ip'], report, false);
    }
    checkText(
      member(entry, 'hostname'),
      [...at, 'hostname'],
      report,
      isDnsSubdomain,
      'use a DNS name in lower case',
    );
    checkChoice(member(entry, 'ipMode'), [...at, 'ipMode'], report, ['VIP', 'Proxy'], 'VIP');
  });
}
