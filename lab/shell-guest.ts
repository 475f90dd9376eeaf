// What `npm run lab` runs inside the guest: builds the network, starts the servers, then hands over to bash and ends with its code.

import { spawn, spawnSync } from 'node:child_process';
import { cpSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { createTopology, type Host, type Topology } from './topology.ts';
import { Traffic, type ServerOptions } from './traffic.ts';

const EXAMPLE = fileURLToPath(new URL('../examples/hello', import.meta.url));
/** A copy in the guest's memory, to be edited freely. */
const FOLDER = '/run/hello';
const BASHRC = '/run/lab.bashrc';
/** The hello Service's port, and DNS. */
const PORTS = [8080, 53] as const;

const isTerminal = process.stdin.isTTY;
cpSync(EXAMPLE, FOLDER, { recursive: true });
writeFileSync(BASHRC, "PS1='node1 (lab) \\W # '\n");
// As many pods as examples/hello names.
const net = createTopology({ pods: 3, remotePods: 1, clients: 1 });
const traffic = new Traffic();
await traffic.serve([...net.pods, ...net.remotePods].flatMap(serversOf));
if (isTerminal) {
  setWindowSize();
  process.stdout.write(orientation(net));
}
const code = await runShell();
await traffic.close();
net.dispose();
process.exitCode = code;

function serversOf(at: Host): ServerOptions[] {
  return PORTS.flatMap((port) =>
    (['TCP', 'UDP'] as const).map((protocol) => ({ at, name: at.name, protocol, port })),
  );
}

function runShell(): Promise<number> {
  const args = isTerminal ? ['--noprofile', '--rcfile', BASHRC, '-i'] : ['--noprofile', '--norc', '-s'];
  return new Promise((resolve, reject) => {
    const shell = spawn('/bin/bash', args, { cwd: FOLDER, stdio: 'inherit' });
    shell.on('error', reject);
    shell.on('exit', (exitCode, signal) => resolve(exitCode ?? (signal === null ? 1 : 128)));
  });
}

function setWindowSize(): void {
  const { POINTSMAN_TTY_COLUMNS: columns, POINTSMAN_TTY_ROWS: rows } = process.env;
  if (columns !== undefined && rows !== undefined)
    spawnSync('stty', ['columns', columns, 'rows', rows], { stdio: 'inherit' });
}

function orientation({ node, node2, pods, remotePods, clients }: Topology): string {
  const rows: [string, Host][] = [
    ['this node; you are root on it', node],
    ['the other node', node2],
    ...pods.map((host): [string, Host] => ['pod here; answers TCP and UDP on 8080 and 53', host]),
    ...remotePods.map((host): [string, Host] => ['pod on node2; answers the same', host]),
    ...clients.map((host): [string, Host] => ['client outside the cluster', host]),
  ];
  const hosts = rows.map(
    ([what, { name, ipv4, ipv6 }]) => `  ${name.padEnd(8)} ${ipv4.padEnd(15)} ${ipv6.padEnd(22)} ${what}`,
  );
  return `
A Linux with IPVS, made for this shell and gone with it. Files that you change here change nothing outside.

${hosts.join('\n')}

Try, here in ${FOLDER}:
  pointsman plan --manifests manifests --config config.yaml --hostname-override node1
  pointsman run --manifests manifests --config config.yaml --hostname-override node1 --once
  ipvsadm -Ln
  ip netns exec client1 bash -c 'head -n 1 </dev/tcp/${node.ipv4}/30080'
  pointsman run --manifests manifests --config config.yaml --hostname-override node1 2>/run/agent.log &
  pointsman status
exit or Ctrl-D ends it.

`;
}
