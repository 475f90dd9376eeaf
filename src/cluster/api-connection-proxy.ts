// Through a proxy to an API server: CONNECT of HTTP proxies and SOCKS 5, on a socket that is connected to the proxy already. Ends with the
// same socket, on which the API server listens from then on. What the proxy says is short, or it is refused.
// Source: RFC 9110 9.3.6 (CONNECT), RFC 1928 (SOCKS 5), RFC 1929 (its user name and password).

import type { Duplex } from 'node:stream';
import { PointsmanError } from '../model/errors.ts';

/** What a proxy is asked for. */
export interface ProxyTarget {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

const MAX_HEAD_BYTES = 16 * 1024;

/** By number in the answer of a SOCKS proxy. */
const SOCKS_ERRORS = [
  'no error',
  'general failure',
  'not allowed by its rules',
  'network unreachable',
  'host unreachable',
  'connection refused',
  'TTL expired',
  'command not supported',
  'address type not supported',
];

/** Asks the proxy `proxy` (http:, https: or socks5:) on `socket` for a way to `target`. Rejects with API_UNREACHABLE, or as the socket does. */
export async function tunnel(socket: Duplex, proxy: URL, target: ProxyTarget): Promise<void> {
  const reader = new Reader(socket);
  try {
    await (proxy.protocol === 'socks5:' || proxy.protocol === 'socks5h:'
      ? socks(socket, reader, proxy, target)
      : connect(socket, reader, proxy, target));
  } finally {
    reader.release();
  }
}

async function connect(
  socket: Duplex,
  reader: Reader,
  proxy: URL,
  { host, port }: ProxyTarget,
): Promise<void> {
  const authority = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const { user, password } = userOf(proxy);
  const header =
    user === '' && password === ''
      ? ''
      : `Proxy-Authorization: Basic ${Buffer.from(`${user}:${password}`).toString('base64')}\r\n`;
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${header}\r\n`);
  const head = await reader.until('\r\n\r\n');
  const status = /^HTTP\/1\.[01] (\d{3})/.exec(head)?.[1] ?? '';
  if (status.startsWith('2') && status !== '') return;
  const hint =
    status === '407'
      ? 'it wants a user and password: set them in proxy-url'
      : 'does it let CONNECT to that port?';
  throw refused(proxy, status === '' ? 'it does not answer in HTTP' : `it answered ${status}; ${hint}`);
}

async function socks(socket: Duplex, reader: Reader, proxy: URL, { host, port }: ProxyTarget): Promise<void> {
  const { user, password } = userOf(proxy);
  const method = user === '' ? 0 : 2;
  socket.write(Buffer.from([5, 1, method]));
  const [version, chosen] = await reader.bytes(2);
  if (version !== 5) throw refused(proxy, 'it does not answer in SOCKS 5');
  if (chosen !== method)
    throw refused(proxy, 'it does not take this way of authentication; set user and password in proxy-url');
  if (method === 2) {
    socket.write(Buffer.concat([Buffer.from([1]), sized(user), sized(password)]));
    const [, status] = await reader.bytes(2);
    if (status !== 0) throw refused(proxy, 'it refuses user and password');
  }
  // By name: the proxy resolves it, as Go's transport does.
  socket.write(Buffer.concat([Buffer.from([5, 1, 0, 3]), sized(host), Buffer.from([port >> 8, port & 255])]));
  const [, reply = 255, , type] = await reader.bytes(4);
  if (reply !== 0) throw refused(proxy, `it cannot connect: ${SOCKS_ERRORS[reply] ?? `error ${reply}`}`);
  const [first = 0] = await reader.bytes(1);
  // The address it connects from: no use to us, but it must be read.
  await reader.bytes((type === 1 ? 4 : type === 4 ? 16 : first + 1) + 1);
}

function userOf(proxy: URL): { readonly user: string; readonly password: string } {
  return { user: decodeURIComponent(proxy.username), password: decodeURIComponent(proxy.password) };
}

function sized(text: string): Buffer {
  const bytes = Buffer.from(text).subarray(0, 255);
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
}

function refused(proxy: URL, why: string): PointsmanError {
  const name = `${proxy.protocol}//${proxy.host}`;
  return new PointsmanError('API_UNREACHABLE', `the proxy ${name} gives no way to the API server: ${why}`, {
    proxy: name,
  });
}

/** Reads exactly what is asked for from a socket and gives back what is beyond. */
class Reader {
  private readonly socket: Duplex;
  private kept: Buffer = Buffer.alloc(0);
  private wake: () => void = () => {};
  private ended: Error | null = null;
  private readonly onReadable = (): void => this.wake();
  private readonly onEnd = (error?: Error): void => {
    this.ended ??= error ?? Object.assign(new Error('cut'), { code: 'ECONNRESET' });
    this.wake();
  };

  constructor(socket: Duplex) {
    this.socket = socket;
    socket.on('readable', this.onReadable);
    socket.on('error', this.onEnd);
    socket.on('end', this.onEnd);
    socket.on('close', this.onEnd);
  }

  async bytes(count: number): Promise<Buffer> {
    await this.have(() => this.kept.length >= count);
    return this.cut(count);
  }

  async until(mark: string): Promise<string> {
    await this.have(() => this.kept.includes(mark));
    return this.cut(this.kept.indexOf(mark) + mark.length).toString('latin1');
  }

  release(): void {
    this.socket.off('readable', this.onReadable);
    this.socket.off('error', this.onEnd);
    this.socket.off('end', this.onEnd);
    this.socket.off('close', this.onEnd);
    if (this.kept.length > 0) this.socket.unshift(this.kept);
  }

  private cut(count: number): Buffer {
    const bytes = this.kept.subarray(0, count);
    this.kept = this.kept.subarray(count);
    return bytes;
  }

  private async have(isThere: () => boolean): Promise<void> {
    for (;;) {
      const chunk = this.socket.read() as Buffer | null;
      if (chunk !== null) this.kept = Buffer.concat([this.kept, chunk]);
      if (isThere()) return;
      if (this.kept.length > MAX_HEAD_BYTES)
        throw new PointsmanError(
          'API_UNREACHABLE',
          `a proxy says more than ${MAX_HEAD_BYTES} bytes before it connects`,
          {},
        );
      if (this.ended !== null) throw this.ended;
      if (chunk === null) await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }
}
