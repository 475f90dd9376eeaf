// A live kube-proxy is found by its process or by its port: made-up /proc trees, HTTP on loopback, and one real process.

import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { SocketAddress } from '../config/config.ts';
import type { IpAddress } from '../model/ip.ts';
import { describeRival, findRival, rivalError } from './rival.ts';

const OURS = 'net:[4026531840]';
const OTHER = 'net:[4026532999]';
const OWN_PID = 100;

let proc = '';
const servers: { close(): void }[] = [];
beforeEach(() => {
  proc = mkdtempSync(join(tmpdir(), 'rival-'));
  addProcess(OWN_PID, 'kube-proxy\0--config=x\0', 'node', OURS);
});
afterEach(() => {
  for (const server of servers.splice(0)) server.close();
  rmSync(proc, { recursive: true, force: true });
});

function addProcess(pid: number, cmdline: string, comm: string, namespace: string | null): void {
  const folder = join(proc, String(pid));
  mkdirSync(join(folder, 'ns'), { recursive: true });
  writeFileSync(join(folder, 'cmdline'), cmdline);
  writeFileSync(join(folder, 'comm'), `${comm}\n`);
  if (namespace !== null) symlinkSync(namespace, join(folder, 'ns', 'net'));
}

const address = (port: number, host = '127.0.0.1'): SocketAddress => ({
  address: host as IpAddress,
  port,
});

async function listen(
  server: Server | ReturnType<typeof createTcpServer>,
  host = '127.0.0.1',
): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  return (server.address() as AddressInfo).port;
}

/** A port at which nobody listens. */
async function closedPort(): Promise<number> {
  const server = createTcpServer();
  const port = await listen(server);
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('in /proc', () => {
  it.each<[string, string, string, string | null, boolean]>([
    ['its path and arguments', '/usr/local/bin/kube-proxy\0--config=/etc/x\0', 'kube-proxy', OURS, true],
    ['argv[0] alone', 'kube-proxy\0', 'sleep', OURS, true],
    ['comm alone', '/opt/hyperkube\0proxy\0', 'kube-proxy', OURS, true],
    ['another namespace', '/usr/local/bin/kube-proxy\0', 'kube-proxy', OTHER, false],
    ['a namespace that cannot be read', '/usr/local/bin/kube-proxy\0', 'kube-proxy', null, false],
    ['one that has ended', '', 'kube-proxy', OURS, false],
    ['a script of that name', '/bin/sh\0/usr/local/bin/kube-proxy\0--x\0', 'kube-proxy', OURS, false],
    ['a script with a flag', '/bin/sh\0-e\0/usr/local/bin/kube-proxy\0', 'kube-proxy', OURS, false],
    ['Pointsman under that name', '/n/bin/node\0/n/src/cli/main.ts\0run\0', 'node', OURS, false],
    [
      'our executable under that name',
      '/usr/local/bin/kube-proxy\0--config=/etc/x\0',
      'pointsman',
      OURS,
      false,
    ],
    ['an argument of that name', '/usr/bin/vim\0kube-proxy\0', 'vim', OURS, false],
    ['a longer name', '/usr/local/bin/kube-proxy-exporter\0', 'kube-proxy-expo', OURS, false],
  ])('%s', async (_, cmdline, comm, namespace, isFound) => {
    addProcess(7, '/sbin/init\0', 'init', OURS);
    addProcess(4242, cmdline, comm, namespace);
    const rival = await findRival({
      procFolder: proc,
      ownPid: OWN_PID,
      metricsAddress: address(await closedPort()),
    });
    expect(rival).toEqual(isFound ? { pid: 4242, mode: null, foundBy: '/proc' } : null);
  });

  it('finds a real process, and the mode that its port tells', async () => {
    const port = await listen(createServer((_, response) => response.end('nftables\n')));
    const child = spawn('sleep', ['60'], { argv0: 'kube-proxy', stdio: 'ignore' });
    await new Promise((resolve) => child.once('spawn', resolve));
    try {
      const rival = await findRival({ metricsAddress: address(port) });
      expect(rival).toEqual({ pid: child.pid, mode: 'nftables', foundBy: '/proc' });
      expect(readFileSync(`/proc/${child.pid}/comm`, 'utf8')).toBe('sleep\n');
    } finally {
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await ended;
    }
    expect((await findRival({ metricsAddress: address(await closedPort()) }))?.pid).not.toBe(child.pid);
  });

  it('a folder that is not there is no error', async () => {
    const options = { procFolder: '/nowhere', ownPid: 1, metricsAddress: address(await closedPort()) };
    expect(await findRival(options)).toBeNull();
  });
});

describe('at its port', () => {
  const ask = (metricsAddress: SocketAddress): ReturnType<typeof findRival> =>
    findRival({ procFolder: proc, ownPid: OWN_PID, metricsAddress });

  it.each<[string, number, Record<string, string>, string, string | null]>([
    ['ipvs', 200, {}, 'ipvs', 'ipvs'],
    ['iptables with a line feed', 200, {}, 'iptables\n', 'iptables'],
    ['another word', 200, {}, 'hello', null],
    ['nothing', 200, {}, '', null],
    ['a page', 200, {}, 'ipvs'.repeat(1000), null],
    ['an error', 404, {}, 'ipvs', null],
    ['Pointsman', 200, { server: 'pointsman/0.1.0' }, 'ipvs', null],
    ['another server', 200, { server: 'pointsmanish' }, 'ipvs', 'ipvs'],
  ])('%s', async (_, status, headers, text, mode) => {
    const paths: (string | undefined)[] = [];
    const port = await listen(
      createServer((incoming, response) => {
        paths.push(incoming.url);
        response.writeHead(status, headers).end(text);
      }),
    );
    const foundBy = `http://127.0.0.1:${port}/proxyMode`;
    expect(await ask(address(port))).toEqual(mode === null ? null : { pid: null, mode, foundBy });
    expect(paths).toEqual(['/proxyMode']);
  });

  it('a wildcard means loopback, in both families', async () => {
    const answer = createServer((_, response) => response.end('ipvs'));
    expect((await ask(address(await listen(answer), '0.0.0.0')))?.mode).toBe('ipvs');
    const six = createServer((_, response) => response.end('ipvs'));
    const port = await listen(six, '::1');
    expect(await ask(address(port, '::'))).toMatchObject({ foundBy: `http://[::1]:${port}/proxyMode` });
  });

  it.each<[string, (write: (text: string) => void) => void]>([
    ['says nothing', () => {}],
    ['stops in the middle', (write) => write('HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nipvs')],
    ['speaks something else', (write) => write('220 mail\r\n')],
  ])('somebody who %s is not waited for', async (_, speak) => {
    const port = await listen(
      createTcpServer((socket) => {
        socket.on('error', () => {});
        speak((text) => socket.write(text));
      }),
    );
    expect(await ask(address(port))).toBeNull();
  });
});

it('is told in one line with what to do', () => {
  expect(describeRival({ pid: 7, mode: 'ipvs', foundBy: '/proc' })).toBe(
    'kube-proxy runs in this network namespace (process 7, mode ipvs, found by /proc)',
  );
  const error = rivalError({ pid: null, mode: null, foundBy: 'x' });
  expect(error.code).toBe('RIVAL_PROXY');
  expect(error.message).toMatch(/\(its mode is not known, found by x\).*systemctl.*kubectl.*--force$/);
});
