// An HTTP client that shows the bytes: for tests of what really goes over the wire.

import { connect, type Socket } from 'node:net';

/** One connection. What the server sends gathers in `text`. */
export class RawClient {
  readonly socket: Socket;
  /** Latin-1, so that one character is one byte. */
  text = '';
  isClosed = false;
  private waiting: (() => void)[] = [];

  constructor(port: number, host = '127.0.0.1') {
    this.socket = connect({ port, host });
    this.socket.setEncoding('latin1');
    this.socket.on('data', (part: string) => {
      this.text += part;
      this.wake();
    });
    this.socket.on('error', () => {});
    this.socket.on('connect', () => this.wake());
    this.socket.on('close', () => {
      this.isClosed = true;
      this.wake();
    });
  }

  send(text: string): this {
    this.socket.write(text);
    return this;
  }

  /** Resolves when `condition` holds, or rejects when the connection ends before. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.isClosed) throw new Error(`the connection ended with: ${JSON.stringify(this.text)}`);
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }

  /** Until the server has closed the connection; all that it sent. */
  async closed(): Promise<string> {
    await this.until(() => this.isClosed);
    return this.text;
  }

  /** Until one whole answer is there, and takes it out of `text`. */
  async answer(method = 'GET'): Promise<string> {
    await this.until(() => this.text.includes('\r\n\r\n'));
    const head = this.text.indexOf('\r\n\r\n');
    const length = /^content-length: (\d+)\r$/im.exec(this.text.slice(0, head + 2))?.[1] ?? '0';
    const end = head + 4 + (method === 'HEAD' ? 0 : Number(length));
    await this.until(() => this.text.length >= end);
    const answer = this.text.slice(0, end);
    this.text = this.text.slice(end);
    return answer;
  }

  end(): void {
    this.socket.destroy();
  }

  private wake(): void {
    for (const resolve of this.waiting.splice(0)) resolve();
  }
}

/** One request on a connection of its own, and the whole answer with its head. */
export async function askRaw(
  port: number,
  target: string,
  { method = 'GET', host = '127.0.0.1', headers = '', body = '' } = {},
): Promise<string> {
  const client = new RawClient(port, host);
  try {
    client.send(`${method} ${target} HTTP/1.1\r\nHost: node1\r\n${headers}\r\n${body}`);
    return await client.answer(method);
  } finally {
    client.end();
  }
}

/** The status of an answer. */
export function statusOf(answer: string): number {
  return Number(/^HTTP\/1\.1 (\d+) /.exec(answer)?.[1]);
}

/** What follows the head of an answer. */
export function bodyOf(answer: string): string {
  return answer.slice(answer.indexOf('\r\n\r\n') + 4);
}

/** An answer with its times and lengths made equal, so that two can be compared byte by byte. */
export function withoutTimes(answer: string): string {
  return answer
    .replace(/^Date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r$/m, 'Date: DATE\r')
    .replace(/^Content-Length: \d+\r$/m, 'Content-Length: LENGTH\r')
    .replaceAll(/"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z"/g, '"TIME"');
}
