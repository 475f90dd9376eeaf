// Services and EndpointSlices of any JSON value: nothing makes a projection throw, and whatever is wrong is said in printable lines, each
// with a field and a remedy. Values are put where fields are read, so that they get past the first check.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { serviceObject, sliceObject } from '../../test/arbitraries.ts';
import { plainService, plainSlice } from '../../test/objects.ts';
import { problemLines } from '../../test/problems.ts';
import { projectEndpointSlice } from './endpoint-slice.ts';
import { isSameData } from './equal.ts';
import { Interner } from './interner.ts';
import { projectService } from './service.ts';

/** Problems of one object that are listed, and one line that counts the others. */
const MAX_PROBLEMS = 17;

/** Texts that try to be more than a value: of a rule, a command, a terminal, a prototype. */
const evil = fc.constantFrom(
  '\u001B[31mred',
  'a\nb',
  '$(reboot)',
  '-j ACCEPT',
  '__proto__',
  'constructor',
  '\uD800',
  'x'.repeat(10_000),
);
const value = fc.oneof({ weight: 3, arbitrary: fc.jsonValue() }, evil);
/** An object with any values under some of these names. */
const nearly = (names: string): fc.Arbitrary<object> =>
  fc.dictionary(fc.constantFrom(...names.split(' '), '__proto__'), value);
const metadata = nearly('name namespace labels annotations creationTimestamp');
const annotations = nearly(
  'pointsman.dev/scheduler pointsman.dev/scheduler-flags pointsman.dev/weight pointsman.dev/\n kube-router.io/service.scheduler kube-router.io/service.schedflags service.cilium.io/lb-algorithm service.cilium.io/weight',
);

describe('a Service of any JSON value', () => {
  const spec = nearly(
    'type clusterIP clusterIPs ipFamilies ports externalIPs loadBalancerSourceRanges sessionAffinity sessionAffinityConfig externalTrafficPolicy internalTrafficPolicy healthCheckNodePort',
  );
  const list = fc.array(value, { maxLength: 3 });
  const any = fc.oneof(
    value,
    nearly('kind metadata spec status'),
    metadata.map((more) => plainService({}, { metadata: { name: 'web', ...more } })),
    annotations.map((more) => plainService({}, { metadata: { name: 'web', annotations: more } })),
    spec.map((more) => plainService(more)),
    fc.array(nearly('name protocol port nodePort')).map((ports) => plainService({ ports })),
    fc
      .record({ clusterIPs: list, ipFamilies: list, externalIPs: list, loadBalancerSourceRanges: list })
      .map((lists) => plainService(lists)),
    fc
      .array(nearly('ip ipMode'))
      .map((ingress) => plainService({}, { status: { loadBalancer: { ingress } } })),
    serviceObject,
  );

  test('never throws, and its problems are printable lines with field and remedy', () => {
    fc.assert(
      fc.property(any, (object) => {
        const { record, problems } = projectService(object);
        expect(problemLines(problems).length).toBeLessThanOrEqual(MAX_PROBLEMS);
        if (record !== null) expect([record.ports.length, record.clusterIPs.length]).not.toContain(0);
        else if (problems.length === 0) expect(isLeftToOthers(object)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  test('stays as it was, and projects the same a second time', () => {
    fc.assert(
      fc.property(serviceObject, (object) => {
        const before = JSON.stringify(object);
        const first = projectService(object);
        expect(JSON.stringify(object)).toBe(before);
        expect(projectService(object)).toEqual(first);
      }),
    );
  });
});

/** Headless, ExternalName, or labelled for another proxy: the only Services that may vanish without a word. */
function isLeftToOthers(object: unknown): boolean {
  return /"clusterIPs?":\[?"None"|"ExternalName"|service-proxy-name/.test(JSON.stringify(object));
}

describe('an EndpointSlice of any JSON value', () => {
  const any = fc.oneof(
    value,
    nearly('addressType ports endpoints metadata').map(plainSlice),
    metadata.map((more) => plainSlice({ metadata: { name: 'web-1', ...more } })),
    annotations.map((more) => {
      const labels = { 'kubernetes.io/service-name': 'web' };
      return plainSlice({ metadata: { name: 'web-1', labels, annotations: more } });
    }),
    fc.array(nearly('name protocol port')).map((ports) => plainSlice({ ports })),
    fc
      .array(nearly('addresses conditions hints nodeName'))
      .map((endpoints) =>
        plainSlice({ endpoints: endpoints.map((one) => ({ addresses: ['10.0.0.1'], ...one })) }),
      ),
    fc
      .array(
        fc.record({ conditions: nearly('ready serving terminating'), hints: nearly('forZones forNodes') }),
      )
      .map((endpoints) =>
        plainSlice({ endpoints: endpoints.map((one) => ({ addresses: ['10.0.0.1'], ...one })) }),
      ),
    sliceObject,
  );

  test('never throws, and its problems are printable lines with field and remedy', () => {
    fc.assert(
      fc.property(any, (object) => {
        const { record, problems } = projectEndpointSlice(object);
        expect(problemLines(problems).length).toBeLessThanOrEqual(MAX_PROBLEMS);
        if (record === null && problems.length === 0)
          expect(JSON.stringify(object)).toContain('service.kubernetes.io/headless');
        expect(isSameData(projectEndpointSlice(object, new Interner()), { record, problems })).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  test('stays as it was', () => {
    fc.assert(
      fc.property(sliceObject, (object) => {
        const before = JSON.stringify(object);
        projectEndpointSlice(object);
        expect(JSON.stringify(object)).toBe(before);
      }),
    );
  });
});
