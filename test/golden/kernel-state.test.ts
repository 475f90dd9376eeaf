// Golden cases of the kernel state in mode ipvs: what a case's state.txt says, at first and after each step, on the fake kernel.

import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { FakeIpvsKernel } from '../fake-ipvs-kernel.ts';
import { CASE_NAMES, readCase } from './cases.ts';
import { kernelAfter, startCase, syncWhole } from './kernel-state-agent.ts';
import { narrowState, parseExpectedState } from './kernel-state-file.ts';
import { parseKernelState, parseRules, parseSets, readKernelState } from './kernel-state.ts';

const CASES = CASE_NAMES.map(readCase).filter(({ stages }) =>
  stages.some(({ stateFile }) => existsSync(stateFile)),
);

describe.each(CASES.map((golden) => [golden.name, golden] as const))('%s', (_, golden) => {
  const stages = golden.stages.map((stage, index) => [stage.name, index, stage.stateFile] as const);

  it.each(stages.filter(([, , file]) => existsSync(file)))('%s gives the state', async (__, index, file) => {
    const expected = parseExpectedState(readFileSync(file, 'utf8'));
    const state = await readKernelState(await kernelAfter(golden, index + 1));
    expect(narrowState(state, expected)).toEqual(expected);
  });

  it('leaves nothing to write to a second start', async () => {
    const kernel = await kernelAfter(golden, stages.length);
    kernel.writes = [];
    await syncWhole(
      startCase(
        golden,
        kernel,
        golden.stages.flatMap(({ events }) => events),
      ),
    );
    expect(kernel.writes).toEqual([]);
  });
});

describe.each(
  CASES.filter(({ stages }) => stages.length > 1).map((golden) => [golden.name, golden] as const),
)('the steps of %s', (_, golden) => {
  it('lead where a start at their end leads', async () => {
    const atOnce = new FakeIpvsKernel();
    await syncWhole(
      startCase(
        golden,
        atOnce,
        golden.stages.flatMap(({ events }) => events),
      ),
    );
    const stepped = await kernelAfter(golden, golden.stages.length);
    expect(await readKernelState(stepped)).toEqual(await readKernelState(atOnce));
  });
});

describe('an expected state', () => {
  it.each([
    ['text before a section', '172.30.0.1', 'before any section: 172.30.0.1'],
    ['a section twice', 'sets\nsets', 'section sets twice'],
    ['a misspelt section', 'address\n', 'before any section: address'],
    [
      'a virtual server in another spelling',
      'virtual servers\nTCP 172.30.0.1:80 rr',
      'not a line of ipvsadm',
    ],
    ['a member without its set', 'sets\n172.30.0.1,tcp:80', 'not a line of ipset save'],
    ['a rule before its table', 'rules IPv4\n-A KUBE-SERVICES -j RETURN', 'before any table'],
    ['a rule of a chain that is not declared', 'rules IPv4\n*nat\n-A KUBE-X -j RETURN', 'declared chain'],
  ])('refuses %s', (_, text, message) => {
    expect(() => parseExpectedState(text)).toThrow(message);
  });

  it('compares what has a section only, and chains by name', async () => {
    const state = await readKernelState(await kernelAfter(readCase('ipvs-nothing'), 1));
    const empty = parseExpectedState('addresses\nrules IPv4\n*filter\n:KUBE-PROXY-FIREWALL');
    expect(empty).toEqual({ addresses: [], rules: { IPv4: { filter: { 'KUBE-PROXY-FIREWALL': [] } } } });
    expect(narrowState(state, empty)).toEqual(empty);
    const missing = parseExpectedState('rules IPv4\n*nat\n:KUBE-OTHER');
    expect(narrowState(state, missing)).not.toEqual(missing);
  });
});

describe('what tools print', () => {
  it('is read as one state', () => {
    const save = [
      '# Generated',
      '*raw',
      ':X - [0:0]',
      '-A X -j DROP',
      'COMMIT',
      '*nat',
      ':Y - [1:2]',
      '[3:4] -A Y -j Z',
      'COMMIT',
    ];
    const state = parseKernelState({
      ipvsadm: '-A -t 172.30.0.1:80 -s rr\n-a -t 172.30.0.1:80 -r 10.0.0.1:80 -m -w 1\n',
      ipset:
        'create S hash:ip family inet hashsize 1024\nadd S 10.0.0.2\nadd S 10.0.0.1\ncreate POINTSMAN-VS hash:ip,port\nadd POINTSMAN-VS 10.0.0.1,tcp:80\n',
      link: '[{"addr_info":[{"local":"172.30.0.2"},{"local":"172.30.0.1"}]}]',
      iptables: save.join('\n'),
      ip6tables: '',
    });
    expect(state).toMatchObject({
      virtualServers: ['-A -t 172.30.0.1:80 -s rr', '-a -t 172.30.0.1:80 -r 10.0.0.1:80 -m -w 1'],
      sets: { S: ['10.0.0.1', '10.0.0.2'] },
      addresses: ['172.30.0.1', '172.30.0.2'],
      rules: {
        IPv4: { nat: { Y: ['-j Z'], PREROUTING: [] }, filter: { INPUT: [] } },
        IPv6: { nat: { OUTPUT: [] } },
      },
    });
    expect(Object.keys(state.sets)).toEqual(['S']);
  });

  it.each([
    ['a chain of no table', () => parseRules(':X - [0:0]')],
    ['a rule of no chain', () => parseRules('*nat\n-A X -j DROP')],
    ['a set command', () => parseSets('del S 10.0.0.1')],
  ])('is refused with %s', (_, read) => {
    expect(read).toThrow(Error);
  });
});
