// Servers of a test on 127.0.0.1, and whatever else it opened, closed when it ends. Import it, and each test of the file is followed by that.

import type { Server as HttpServer } from 'node:http';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterEach } from 'vitest';

const toClose: (() => void)[] = [];

afterEach(closeAll);

/** Closes what is open now. */
export function closeAll(): void {
  for (const close of toClose.splice(0)) close();
}

/** Called when the test ends. */
export function closeAfterwards(close: () => void): void {
  toClose.push(close);
}

/** The port on which it listens, until the test ends. */
export async function listen(server: HttpServer | Server): Promise<number> {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    // Cut by us or by them: no news.
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  closeAfterwards(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return (server.address() as AddressInfo).port;
}
