// The smallest valid objects, for tests of what reads them: what a test is about stands in the test, spread over these.

/** Service default/web with one port, http 80, at 10.96.0.1; with changes to its spec and to the rest. */
export function plainService(spec: object, rest: object = {}): object {
  return {
    kind: 'Service',
    metadata: { name: 'web', namespace: 'default' },
    spec: { clusterIP: '10.96.0.1', ports: [{ name: 'http', port: 80 }], ...spec },
    ...rest,
  };
}

/** EndpointSlice default/web-1 of Service web with one endpoint, 10.244.1.1, port http 8080; with changes. */
export function plainSlice(rest: object): object {
  return {
    kind: 'EndpointSlice',
    metadata: { name: 'web-1', namespace: 'default', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints: [{ addresses: ['10.244.1.1'] }],
    ...rest,
  };
}
