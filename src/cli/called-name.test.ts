import { describe, expect, it } from 'vitest';
import { calledCommand } from './called-name.ts';

const words = ['-v', 'x'];

describe('calledCommand', () => {
  it.each([
    ['pointsman', words],
    ['/usr/local/bin/kube-proxy', ['run', ...words]],
    ['/opt/kube/bin/kube-proxy', ['run', ...words]],
    ['kube-proxy', ['run', ...words]],
    ['ipvsadm', ['ipvsadm', ...words]],
    ['/sbin/ipvsadm-save', ['ipvsadm', ...words]],
    ['./ipvsadm-restore', ['ipvsadm', ...words]],
    ['pointsman-ipvsadm', ['ipvsadm', ...words]],
    ['/kube-proxy/', words],
    ['kube-proxy-1.36', words],
    ['constructor', words],
    ['', words],
  ])('takes an executable called "%s" for what it is', (argv0, expected) => {
    const call = { argv0, launcherName: undefined, isExecutable: true };
    expect(calledCommand(call, words)).toEqual({ words: expected, name: argv0.replace(/^.*\//, '') });
  });

  it('takes the name of the launcher, because argv[0] is that of Node.js there', () => {
    const call = { argv0: 'ipvsadm', launcherName: 'kube-proxy', isExecutable: false };
    expect(calledCommand(call, words)).toEqual({ words: ['run', ...words], name: 'kube-proxy' });
  });

  it('does not let the environment rename an executable', () => {
    const call = { argv0: 'pointsman', launcherName: 'kube-proxy', isExecutable: true };
    expect(calledCommand(call, words)).toEqual({ words, name: 'pointsman' });
  });

  it('knows no name where nobody says it', () => {
    const call = { argv0: 'node', launcherName: undefined, isExecutable: false };
    expect(calledCommand(call, [])).toEqual({ words: [], name: '' });
  });
});
