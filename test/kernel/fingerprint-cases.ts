// Cases for the fingerprints of rules, run by runInNamespace in a fresh network namespace. `record` makes what
// test/fixtures/iptables-tables.json holds: unshare -n node test/kernel/fingerprint-cases.ts record > test/fixtures/iptables-tables.json

import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import {
  openLegacyTables,
  openNftFingerprint,
  openRulesFingerprint,
} from '../../src/kernel/iptables-fingerprint.ts';
import { openTransport } from '../../src/kernel/netlink-transport.ts';
import { NETLINK_NETFILTER } from '../../src/kernel/nfnetlink.ts';
import type { Family } from '../../src/model/ip.ts';
import { serveCases } from './in-namespace.ts';

function shell(script: string): string {
  return execFileSync('sh', ['-c', script], { encoding: 'utf8', timeout: 120_000 });
}

/** Sends a datagram to this machine; it passed all rules when this resolves. */
function sendOne(family: Family): Promise<void> {
  const [type, address] = family === 'IPv4' ? (['udp4', '127.0.0.1'] as const) : (['udp6', '::1'] as const);
  return new Promise((resolve, reject) => {
    const socket = createSocket(type);
    socket.send('x', 9, address, (error) => {
      socket.close();
      if (error === null || error === undefined) resolve();
      else reject(error);
    });
  });
}

/** After which steps the text of each family was another one. */
async function nft(): Promise<unknown> {
  shell('ip link set lo up');
  const results = [];
  for (const [family, tool] of [
    ['IPv4', 'iptables-nft'],
    ['IPv6', 'ip6tables-nft'],
  ] as const) {
    const fingerprint = openRulesFingerprint(family, 'nft');
    let text = fingerprint.read();
    const first = text;
    const changes: string[] = [];
    for (const [what, script] of [
      ['nothing', ':'],
      ['rule', `${tool} -A OUTPUT -p udp -j ACCEPT`],
      ['listed', `${tool}-save -c; ${tool} -L`],
      ['rule of the same size', `${tool} -R OUTPUT 1 -p tcp -j ACCEPT`],
      ['chain', `${tool} -t nat -N X`],
      ['refused', `${tool} -t nat -A X -j NOWHERE 2>/dev/null || :`],
      ['restored', `printf '*nat\\n:Y - [0:0]\\nCOMMIT\\n' | ${tool}-restore --noflush`],
    ] as const) {
      shell(script);
      const next = fingerprint.read();
      if (next !== text) changes.push(what);
      text = next;
    }
    await sendOne(family);
    if (fingerprint.read() !== text) changes.push('packets');
    fingerprint.close();
    results.push({ family, first, changes });
  }
  return results;
}

interface Recorded {
  readonly family: Family;
  readonly setup: string;
  readonly command: string;
  readonly output: string;
  readonly names: string | null;
  /** Base64 of what the kernel gave for IPT_SO_GET_INFO and IPT_SO_GET_ENTRIES of table filter. */
  readonly info: string;
  readonly entries: string;
}

async function record(): Promise<unknown> {
  shell('ip link set lo up');
  const tables: Recorded[] = [];
  for (const family of ['IPv4', 'IPv6'] as const) {
    const tool = family === 'IPv4' ? 'iptables-legacy' : 'ip6tables-legacy';
    const kernel = openLegacyTables(family);
    for (const [setup, isSent] of [
      [`${tool} -N X; ${tool} -A OUTPUT -p udp -m udp --dport 9 -j X; ${tool} -A X -p udp -j ACCEPT`, false],
      ['a datagram to port 9', true],
      [`${tool} -R X 1 -p tcp -j ACCEPT`, false],
    ] as const) {
      if (isSent) await sendOne(family);
      else shell(setup);
      const asked = (option: number, size: number): Uint8Array => {
        const bytes = Buffer.alloc(size);
        bytes.write('filter');
        if (option === 65) bytes.writeUInt32LE(size - 40, 32);
        const errno = kernel.ask(option, bytes);
        if (errno !== 0) throw new Error(`option ${option}: errno ${errno}`);
        return bytes;
      };
      const info = asked(64, 84);
      const entries = asked(65, 40 + new DataView(info.buffer, info.byteOffset).getUint32(80, true));
      const command = `${tool}-save -c -t filter`;
      const output = shell(command).replaceAll(/^#.*\n/gm, '');
      tables.push({
        family,
        setup,
        command,
        output,
        names: kernel.names(),
        info: Buffer.from(info).toString('base64'),
        entries: Buffer.from(entries).toString('base64'),
      });
    }
    kernel.close();
  }
  shell('iptables-nft -N X; iptables-nft -A X -j ACCEPT; iptables-nft -A X -j RETURN');
  const replies: string[] = [];
  const nftFingerprint = openNftFingerprint(() => {
    const real = openTransport(NETLINK_NETFILTER);
    return {
      send: (bytes, length) => real.send(bytes, length),
      receive(buffer) {
        const length = real.receive(buffer);
        if (length > 0) replies.push(Buffer.from(buffer.subarray(0, length)).toString('base64'));
        return length;
      },
      get senderPort() {
        return real.senderPort;
      },
      wait: (timeoutMs) => real.wait(timeoutMs),
      reopen: () => real.reopen(),
      close: () => real.close(),
    };
  });
  return { tables, generation: { text: nftFingerprint.read(), replies } };
}

await serveCases({ nft, record });
