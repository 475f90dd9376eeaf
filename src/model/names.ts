// Names: the key of a Service, and the API's own rules for the names we let into plans, rules and reports. Pure.
// Source: k8s.io/apimachinery/pkg/util/validation (RFC 1123, RFC 1035); Linux dev_valid_name (net/core/dev.c).

declare const serviceKeyBrand: unique symbol;

/** "namespace/name" of a Service; both parts are valid names. */
export type ServiceKey = string & { readonly [serviceKeyBrand]: true };

/** The key of a Service whose namespace and name were validated. */
export function serviceKey(namespace: string, name: string): ServiceKey {
  // join makes one flat text; a template would stay a tree of its parts, and tens of thousands of keys are kept.
  return [namespace, name].join('/') as ServiceKey;
}

/** Reads "namespace/name" (for arguments of commands); null when either part is no valid name. */
export function parseServiceKey(text: string): ServiceKey | null {
  const parts = text.split('/', 3);
  return parts.length === 2 && parts.every(isDnsLabel) ? (text as ServiceKey) : null;
}

/** The two parts of a key. */
export function splitServiceKey(key: ServiceKey): { readonly namespace: string; readonly name: string } {
  const slash = key.indexOf('/');
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}

/** RFC 1123 label: 1 to 63 of [a-z0-9-], no hyphen at an end. Namespaces, Service names (Kubernetes 1.34 and later) and port names. */
export function isDnsLabel(text: string): boolean {
  return text.length <= 63 && /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/.test(text);
}

/** RFC 1035 label: as RFC 1123, and it begins with a letter. Service names before Kubernetes 1.34. */
export function isDns1035(text: string): boolean {
  return text.length <= 63 && /^[a-z](?:[a-z0-9-]*[a-z0-9])?$/.test(text);
}

/** RFC 1123 subdomain: labels joined by dots, at most 253 characters. Node and EndpointSlice names. */
export function isDnsSubdomain(text: string): boolean {
  return (
    text.length <= 253 && /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/.test(text)
  );
}

/** Name of a port of a Service or EndpointSlice: a DNS label, or '' for an unnamed port. */
export function isPortName(text: string): boolean {
  return text === '' || isDnsLabel(text);
}

/** Value of a label: '' or at most 63 of [A-Za-z0-9_.-] with alphanumerics at both ends. */
export function isLabelValue(text: string): boolean {
  return text.length <= 63 && /^(?:[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?)?$/.test(text);
}

/** Name of a network interface as the kernel takes it: 1 to 15 bytes of printable ASCII, no '/', ':' or blank, not '.' or '..'. */
export function isInterfaceName(text: string): boolean {
  return /^[!-.0-9;-~]{1,15}$/.test(text) && text !== '.' && text !== '..';
}

/** Label of a Service that another proxy serves; its mere presence counts. */
export const LABEL_PROXY_NAME = 'service.kubernetes.io/service-proxy-name';
/** Label of the EndpointSlices of headless Services; its mere presence counts. */
export const LABEL_HEADLESS = 'service.kubernetes.io/headless';
/** Label of an EndpointSlice that names its Service. */
export const LABEL_SERVICE_NAME = 'kubernetes.io/service-name';
/** Label of a Node that names its zone. */
export const LABEL_ZONE = 'topology.kubernetes.io/zone';
/** Annotation of an EndpointSlice: when the change that led to it happened (RFC 3339). */
export const ANNOTATION_TRIGGER_TIME = 'endpoints.kubernetes.io/last-change-trigger-time';
