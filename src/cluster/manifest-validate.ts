// The rules of the Kubernetes API for Node and EndpointSlice, and for the metadata of every kind; Services are in
// manifest-validate-service.ts. An API server has checked these before we see an object; for manifests it is done here. Pure.
// Source: Kubernetes 1.36, pkg/apis/{core,discovery}/validation; spec of the service model.

import type { Path } from '../files/document.ts';
import { MAX_ENDPOINTS_PER_SLICE, MAX_PORTS_PER_SLICE } from '../model/endpoint-slice.ts';
import { isAbsent, member, objectOf } from '../model/fields.ts';
import { familyOf } from '../model/ip.ts';
import {
  isDnsLabel,
  isDnsSubdomain,
  isLabelValue,
  LABEL_HEADLESS,
  LABEL_SERVICE_NAME,
} from '../model/names.ts';
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
  Report,
} from './manifest-rules.ts';
import { validateService } from './manifest-validate-service.ts';

/** Kinds that make events. */
export type ManifestKind = 'Service' | 'EndpointSlice' | 'Node';

const DNS_LABEL_RULE = 'use lower-case letters, digits and hyphens, at most 63';
const DNS_NAME_RULE = 'use a DNS name in lower case';

const MAX_ADDRESSES = 100;
const MAX_HINTS = 8;
const MAX_NODE_ADDRESSES = 1000;

const KNOWN_SLICE = new Set(['apiVersion', 'kind', 'metadata', 'addressType', 'endpoints', 'ports']);
const KNOWN_ENDPOINT = new Set(
  'addresses conditions hostname targetRef deprecatedTopology nodeName zone hints'.split(' '),
);
const KNOWN_SLICE_PORT = new Set(['name', 'protocol', 'port', 'appProtocol']);

/** What is wrong with an object of a known kind. Takes any JSON value; never throws. */
export function validateObject(kind: ManifestKind, object: unknown): Report {
  const report = new Report();
  validateMetadata(kind, member(object, 'metadata'), report);
  if (kind === 'Service') validateService(object, report);
  else if (kind === 'EndpointSlice') validateEndpointSlice(object, report);
  else validateNode(object, report);
  return report;
}

function validateMetadata(kind: ManifestKind, value: unknown, report: Report): void {
  const metadata = checkObject(value, ['metadata'], report);
  if (metadata === null) return;
  const isLabel = kind === 'Service';
  const rule = isLabel ? DNS_LABEL_RULE : DNS_NAME_RULE;
  const name = member(metadata, 'name');
  const path = ['metadata', 'name'];
  if (isAbsent(name)) report.invalid(path, name, 'give the object a name');
  else checkText(name, path, report, isLabel ? isDnsLabel : isDnsSubdomain, rule);
  if (kind !== 'Node') {
    const namespace = member(metadata, 'namespace');
    checkText(namespace, ['metadata', 'namespace'], report, isDnsLabel, DNS_LABEL_RULE);
  }
  const labels = member(metadata, 'labels');
  checkTextMap(
    labels,
    ['metadata', 'labels'],
    report,
    isLabelValue,
    'use a valid label value, at most 63 characters',
  );
  checkTextMap(member(metadata, 'annotations'), ['metadata', 'annotations'], report, () => true, '');
  const isTime = (text: string): boolean =>
    /^\d{4}-\d\d-\d\dT/.test(text) && Number.isFinite(Date.parse(text));
  const time = member(metadata, 'creationTimestamp');
  checkText(
    time,
    ['metadata', 'creationTimestamp'],
    report,
    isTime,
    'write it as in 2026-01-31T12:00:00Z, or leave it out',
  );
}

function validateEndpointSlice(object: unknown, report: Report): void {
  checkKnown(objectOf(object) ?? {}, [], KNOWN_SLICE, report);
  const labels = objectOf(member(member(object, 'metadata'), 'labels'));
  if (member(labels, LABEL_HEADLESS) === undefined) {
    const path = ['metadata', 'labels', LABEL_SERVICE_NAME];
    const service = member(labels, LABEL_SERVICE_NAME);
    if (isAbsent(service))
      report.add(path, 'the slice belongs to no Service', `label it ${LABEL_SERVICE_NAME}: NAME`);
    else if (typeof service === 'string' && !isDnsLabel(service))
      report.invalid(path, service, 'write the name of a Service');
  }
  const type = member(object, 'addressType');
  if (isAbsent(type)) report.invalid(['addressType'], type, 'use one of IPv4, IPv6, FQDN');
  const addressType = checkChoice(type, ['addressType'], report, ['IPv4', 'IPv6', 'FQDN'], 'IPv4');
  const endpoints = checkList(member(object, 'endpoints'), ['endpoints'], report, MAX_ENDPOINTS_PER_SLICE);
  endpoints.forEach((endpoint, index) =>
    validateEndpoint(endpoint, ['endpoints', index], addressType, report),
  );
  validateSlicePorts(member(object, 'ports'), report);
}

function validateEndpoint(
  value: unknown,
  path: Path,
  type: 'IPv4' | 'IPv6' | 'FQDN' | null,
  report: Report,
): void {
  const endpoint = checkObject(value, path, report);
  if (endpoint === null) return;
  checkKnown(endpoint, path, KNOWN_ENDPOINT, report);
  const addresses = checkList(member(endpoint, 'addresses'), [...path, 'addresses'], report, MAX_ADDRESSES);
  if (addresses.length === 0)
    report.add([...path, 'addresses'], 'it has no address', 'give the endpoint an address');
  addresses.forEach((text, index) => {
    const at = [...path, 'addresses', index];
    if (type === 'FQDN') {
      if (isAbsent(text)) report.invalid(at, text, DNS_NAME_RULE);
      checkText(text, at, report, isDnsSubdomain, DNS_NAME_RULE);
      return;
    }
    const address = checkAddress(text, at, report, false);
    if (address !== null && type !== null && familyOf(address) !== type)
      report.add(
        at,
        `${address} is not of the slice's addressType ${type}`,
        `move it to a slice of type ${familyOf(address)}`,
      );
  });
  const conditions = checkObject(member(endpoint, 'conditions'), [...path, 'conditions'], report);
  for (const name of ['ready', 'serving', 'terminating'])
    checkBoolean(member(conditions, name), [...path, 'conditions', name], report);
  checkText(member(endpoint, 'nodeName'), [...path, 'nodeName'], report, isDnsSubdomain, DNS_NAME_RULE);
  checkText(member(endpoint, 'hostname'), [...path, 'hostname'], report, isDnsLabel, DNS_LABEL_RULE);
  checkText(member(endpoint, 'zone'), [...path, 'zone'], report, isLabelValue, 'use a valid label value');
  const hints = checkObject(member(endpoint, 'hints'), [...path, 'hints'], report);
  validateHints(member(hints, 'forZones'), [...path, 'hints', 'forZones'], isLabelValue, report);
  validateHints(member(hints, 'forNodes'), [...path, 'hints', 'forNodes'], isDnsSubdomain, report);
}

function validateHints(value: unknown, path: Path, isValid: (text: string) => boolean, report: Report): void {
  checkList(value, path, report, MAX_HINTS).forEach((hint, index) => {
    const name = member(hint, 'name');
    if (isAbsent(name)) report.invalid([...path, index, 'name'], name, 'give the hint a name');
    checkText(name, [...path, index, 'name'], report, isValid, DNS_NAME_RULE);
  });
}

function validateSlicePorts(value: unknown, report: Report): void {
  const names = new Set<string>();
  checkList(value, ['ports'], report, MAX_PORTS_PER_SLICE).forEach((item, index) => {
    const path = ['ports', index];
    const port = checkObject(item, path, report);
    if (port === null) return;
    checkKnown(port, path, KNOWN_SLICE_PORT, report);
    const name = checkText(member(port, 'name'), [...path, 'name'], report, isDnsLabel, DNS_LABEL_RULE) ?? '';
    if (names.has(name))
      report.add(
        [...path, 'name'],
        `an earlier port is named ${name === '' ? "''" : name} too`,
        'make each name unique',
      );
    names.add(name);
    checkChoice(member(port, 'protocol'), [...path, 'protocol'], report, PROTOCOLS, 'TCP');
    const number = member(port, 'port');
    if (isAbsent(number)) report.invalid([...path, 'port'], number, 'give the port of the endpoints');
    checkInteger(number, [...path, 'port'], report, 1, 65_535);
    checkText(
      member(port, 'appProtocol'),
      [...path, 'appProtocol'],
      report,
      isQualifiedName,
      'use [domain/]name',
    );
  });
}

function validateNode(object: unknown, report: Report): void {
  const spec = checkObject(member(object, 'spec'), ['spec'], report);
  const listed = checkList(member(spec, 'podCIDRs'), ['spec', 'podCIDRs'], report, 2);
  const pathOf = (index: number): Path => ['spec', 'podCIDRs', index];
  const cidrs = listed.map((text, index) => checkCidr(text, pathOf(index), report));
  checkDifferentFamilies(cidrs, pathOf, report);
  const single = member(spec, 'podCIDR');
  const cidr = isAbsent(single) ? null : checkCidr(single, ['spec', 'podCIDR'], report);
  if (cidr !== null && listed.length > 0 && cidrs[0] !== cidr)
    report.add(['spec', 'podCIDR'], 'it differs from spec.podCIDRs[0]', 'make them equal or remove one');
  const status = checkObject(member(object, 'status'), ['status'], report);
  checkList(member(status, 'addresses'), ['status', 'addresses'], report, MAX_NODE_ADDRESSES).forEach(
    (item, index) => {
      const path = ['status', 'addresses', index];
      const address = checkObject(item, path, report);
      if (address === null) return;
      const type = member(address, 'type');
      if (isAbsent(type))
        report.invalid([...path, 'type'], type, 'use one of InternalIP, ExternalIP, Hostname');
      checkText(
        type,
        [...path, 'type'],
        report,
        (text) => /^[A-Za-z]{1,32}$/.test(text),
        'use one of InternalIP, ExternalIP, Hostname',
      );
      // Link-local and loopback addresses are odd for a node, and allowed.
      if (type === 'InternalIP' || type === 'ExternalIP')
        checkNodeAddress(member(address, 'address'), [...path, 'address'], report);
    },
  );
}

function checkNodeAddress(value: unknown, path: Path, report: Report): void {
  const probe = new Report();
  const isSpecial = checkAddress(value, path, probe, true) === null;
  const [finding] = probe.findings;
  if (isSpecial && finding !== undefined) report.add(finding.path, finding.message, finding.remedy);
}
