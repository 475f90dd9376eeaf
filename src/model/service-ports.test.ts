// The ports of a Service, by the rows of the service model 1.2: one entry per port, and what becomes of a port that cannot be one.

import { describe, expect, test } from 'vitest';
import { plainService } from '../../test/objects.ts';
import { problemLines } from '../../test/problems.ts';
import { projectService } from './service.ts';
import { type ServicePortRecord } from './service-ports.ts';

const PORT = { name: 'http', port: 80 };
const HTTP: ServicePortRecord = { name: 'http', protocol: 'TCP', port: 80, nodePort: 0 };

/** The ports that are read, and the lines of problems without the Service's name. */
function read(ports: unknown): { ports: readonly ServicePortRecord[]; lines: string[] } {
  const { record, problems } = projectService(plainService({ ports }));
  expect(new Set(problems.map(({ reason }) => reason)).difference(new Set(['InvalidField']))).toEqual(
    new Set(),
  );
  const lines = problemLines(problems).map((line) => line.replace(/^Service default\/web: /, ''));
  return { ports: record?.ports ?? [], lines };
}

describe('1.2 one entry per port, by name and protocol', () => {
  test.each<[string, object[], object[]]>([
    [
      'two named UDP ports: two entries',
      [
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'alt', port: 5353, protocol: 'UDP' },
      ],
      [
        { name: 'dns', protocol: 'UDP', port: 53 },
        { name: 'alt', protocol: 'UDP', port: 5353 },
      ],
    ],
    [
      'one name and one number with UDP and TCP: two entries',
      [
        { name: 'dns', port: 53, protocol: 'UDP' },
        { name: 'dns', port: 53, protocol: 'TCP' },
      ],
      [
        { name: 'dns', protocol: 'UDP', port: 53 },
        { name: 'dns', protocol: 'TCP', port: 53 },
      ],
    ],
    ['SCTP', [{ name: 'sig', port: 9, protocol: 'SCTP' }], [{ name: 'sig', protocol: 'SCTP', port: 9 }]],
    ['an unnamed port', [{ port: 1 }], [{ name: '', protocol: 'TCP', port: 1 }]],
    [
      'nodePort 0 means none, and several have none',
      [
        { ...PORT, nodePort: 0 },
        { name: 'x', port: 65_535, nodePort: 0 },
      ],
      [HTTP, { ...HTTP, name: 'x', port: 65_535 }],
    ],
    [
      'one nodePort for UDP and TCP',
      [
        { ...PORT, nodePort: 30_053 },
        { name: 'u', port: 53, protocol: 'UDP', nodePort: 30_053 },
      ],
      [
        { ...HTTP, nodePort: 30_053 },
        { name: 'u', protocol: 'UDP', port: 53, nodePort: 30_053 },
      ],
    ],
    [
      'nodePort does not depend on the type',
      [{ ...PORT, nodePort: 65_535 }],
      [{ ...HTTP, nodePort: 65_535 }],
    ],
  ])('%s', (_row, ports, expected) => {
    expect(read(ports)).toEqual({ ports: expected.map((port) => ({ nodePort: 0, ...port })), lines: [] });
  });

  const TAKEN = 'and protocol: this one is left out; make each';
  test.each<[string, object[], object[], string[]]>([
    [
      'equal name and protocol: the last wins',
      [{ ...PORT, port: 1 }, { ...PORT, port: 2 }, { name: 'x', port: 3 }, PORT],
      [{ ...HTTP, name: 'x', port: 3 }, HTTP],
      [
        `spec.ports[1].name: a later port has the same name ${TAKEN} name unique`,
        `spec.ports[0].name: a later port has the same name ${TAKEN} name unique`,
      ],
    ],
    [
      'equal number and protocol: the last wins',
      [{ name: 'x', port: 80 }, PORT],
      [HTTP],
      [`spec.ports[0].port: a later port has the same port ${TAKEN} port unique`],
    ],
    [
      'equal nodePort and protocol: the last has it, the other port stays without',
      [
        { name: 'x', port: 81, nodePort: 30_080 },
        { ...PORT, nodePort: 30_080 },
      ],
      [
        { ...HTTP, name: 'x', port: 81 },
        { ...HTTP, nodePort: 30_080 },
      ],
      [
        'spec.ports[0].nodePort: a later port has the same node port and protocol: this one has none; make each node port unique',
      ],
    ],
    [
      'a port that cannot be read takes no name from an earlier one',
      [PORT, { ...PORT, port: 0 }],
      [HTTP],
      ['spec.ports[1].port: 0 is not valid: the port is left out; use a whole number from 1 to 65535'],
    ],
  ])('%s', (_row, ports, expected, lines) => {
    expect(read(ports)).toEqual({ ports: expected, lines });
  });
});

describe('a bad port is reported and the others go on', () => {
  const NUMBER = 'is not valid: the port is left out; use a whole number from 1 to 65535';
  const NAME = 'is not valid: the port is left out; use lower-case letters, digits and hyphens, at most 63';
  const PROTOCOL = 'is not valid: the port is left out; use one of TCP, UDP, SCTP';
  const NODE_PORT = 'is not valid: it is ignored; use a whole number from 0 to 65535';
  const long = 'x'.repeat(64);
  test.each<[string, unknown, string]>([
    ['port', 0, `0 ${NUMBER}`],
    ['port', 65_536, `65536 ${NUMBER}`],
    ['port', 80.5, `80.5 ${NUMBER}`],
    ['port', '81', `"81" ${NUMBER}`],
    ['port', null, `null ${NUMBER}`],
    ['port', '', `"" ${NUMBER}`],
    ['protocol', 'QUIC', `"QUIC" ${PROTOCOL}`],
    ['protocol', 'tcp', `"tcp" ${PROTOCOL}`],
    ['protocol', 6, `6 ${PROTOCOL}`],
    ['name', 'a b; reboot', `"a b; reboot" ${NAME}`],
    ['name', 'HTTP', `"HTTP" ${NAME}`],
    ['name', long, `"${long}" ${NAME}`],
    ['name', 7, `7 ${NAME}`],
    ['name', ['x'], `a list ${NAME}`],
  ])('%s %j: the port is left out', (field, value, line) => {
    const ports = [PORT, { name: 'x', port: 81, [field]: value }];
    expect(read(ports)).toEqual({ ports: [HTTP], lines: [`spec.ports[1].${field}: ${line}`] });
  });

  test.each([-1, 65_536, 30_080.5, '30080'])('nodePort %j: the port stays without', (nodePort) => {
    expect(read([PORT, { name: 'x', port: 81, nodePort }])).toEqual({
      ports: [HTTP, { ...HTTP, name: 'x', port: 81 }],
      lines: [`spec.ports[1].nodePort: ${JSON.stringify(nodePort)} ${NODE_PORT}`],
    });
  });

  test('a port with several bad fields has a problem for each', () => {
    const lines = [`protocol: 1 ${PROTOCOL}`, `name: 2 ${NAME}`, `port: "3" ${NUMBER}`];
    const ports = [PORT, { protocol: 1, name: 2, port: '3' }];
    expect(read(ports)).toEqual({ ports: [HTTP], lines: lines.map((line) => `spec.ports[1].${line}`) });
  });

  test.each([
    [
      'a list of numbers',
      [80],
      ['spec.ports[0].port: null is not valid: the port is left out; use a whole number from 1 to 65535'],
    ],
    [
      'no list',
      { http: 80 },
      [
        'spec.ports: an object is not valid: it must be a list and is ignored; write it as a list',
        'spec.ports: it has no ports: the Service is skipped; give it at least one port',
      ],
    ],
  ])('%s', (_row, ports, lines) => {
    expect(read(ports)).toEqual({ ports: [], lines });
  });
});
