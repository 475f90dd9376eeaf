import { describe, expect, it } from 'vitest';
import type { Explanation } from '../daemon/explanation.ts';
import { formatExplanation, parseDestination, parseInput, parseSource } from './explain.ts';

describe('--from', () => {
  it.each<[string, object]>([
    ['10.244.1.5', { kind: 'address', address: '10.244.1.5' }],
    ['010.244.001.005', { kind: 'address', address: '10.244.1.5' }],
    ['fd00:10:244::5', { kind: 'address', address: 'fd00:10:244::5' }],
    ['[fd00:10:244::5]', { kind: 'address', address: 'fd00:10:244::5' }],
    ['pod/web-1', { kind: 'pod', namespace: '', name: 'web-1' }],
    ['pod/shop/web-1', { kind: 'pod', namespace: 'shop', name: 'web-1' }],
    ['node', { kind: 'node' }],
  ])('%s', (text, source) => expect(parseSource(text)).toEqual(source));

  it.each([
    '',
    'web-1',
    'pod/',
    'pod/a/b/c',
    'pod/A',
    'svc/web',
    '10.244.1',
    '[10.244.1.5]',
    '10.244.1.5:80',
    'pod//web',
  ])('not "%s"', (text) => expect(() => parseSource(text)).toThrow(/--from takes ADDRESS, pod\/NAME/));
});

describe('--to', () => {
  it.each<[string, string, number, string]>([
    ['10.96.0.1:443', '10.96.0.1', 443, 'TCP'],
    ['10.96.0.1:53/udp', '10.96.0.1', 53, 'UDP'],
    ['10.96.0.1:53/UDP', '10.96.0.1', 53, 'UDP'],
    ['010.096.000.001:65535/sctp', '10.96.0.1', 65_535, 'SCTP'],
    ['[fd00:10:96::1]:443/tcp', 'fd00:10:96::1', 443, 'TCP'],
  ])('%s', (text, destination, port, protocol) =>
    expect(parseDestination(text)).toEqual({ destination, port, protocol }),
  );

  it.each([
    '',
    '10.96.0.1',
    '10.96.0.1:',
    '10.96.0.1:0',
    '10.96.0.1:65536',
    '10.96.0.1:http',
    '10.96.0.1:80/icmp',
    '10.96.0.1:80/',
    '10.96.0.1:80/tcp/x',
    'fd00:10:96::1:443',
    '[10.96.0.1]:443',
    '[fd00:10:96::1]443',
    'web:80',
  ])('not "%s"', (text) => expect(() => parseDestination(text)).toThrow(/--to takes ADDRESS:PORT/));
});

describe('--input', () => {
  it('is the node or an interface', () => {
    expect(parseInput('node')).toEqual({ from: 'node' });
    expect(parseInput('cali1234')).toEqual({ from: 'interface', interfaceName: 'cali1234' });
    for (const text of ['', 'a/b', 'sixteencharacter'])
      expect(() => parseInput(text)).toThrow(/--input takes/);
  });
});

describe('an explanation as text', () => {
  const explanation = {
    node: 'node1',
    title: 'TCP 10.244.1.5 -> 10.96.0.1:80',
    outcome: 'forwarded',
    steps: [
      { step: 'client', reason: 'DetectedPod', text: 'a pod' },
      { step: 'masquerade', reason: 'SourceKept', text: 'kept' },
    ],
    targets: [
      {
        address: '10.244.1.5',
        port: 8080,
        weight: 1,
        isLocal: true,
        isMasqueraded: true,
        text: 'masqueraded',
      },
      { address: 'fd00::5', port: 8080, weight: 10, isLocal: false, isMasqueraded: false, text: '' },
    ],
    leftOut: [{ address: '10.244.2.5', port: 8080, text: 'not ready' }],
    notes: ['the node is unknown'],
    problems: ['Service default/web: something is wrong'],
  } as unknown as Explanation;

  it('has the outcome first, then steps, real servers, what was left out, notes and problems', () => {
    expect(formatExplanation(explanation)).toBe(`TCP 10.244.1.5 -> 10.96.0.1:80 on node1: forwarded

  client      a pod
  masquerade  kept

Real servers, one of:
  10.244.1.5:8080  weight 1   local  masqueraded
  [fd00::5]:8080   weight 10

Left out:
  10.244.2.5:8080  not ready

Note: the node is unknown.

Problems:
  Service default/web: something is wrong
`);
  });

  it('says only what there is to say', () => {
    const bare = { ...explanation, outcome: 'dropped', targets: [], leftOut: [], notes: [], problems: [] };
    expect(formatExplanation(bare)).toBe(
      'TCP 10.244.1.5 -> 10.96.0.1:80 on node1: dropped\n\n  client      a pod\n  masquerade  kept\n',
    );
  });
});
