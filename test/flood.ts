// Thousands of clients that connect, say nothing or a part of a request, and stay.

import { connect, type Socket } from 'node:net';

/** Connections that are being made at once. */
const AT_ONCE = 100;
const ASKS = 20;

/**
 * Opens `count` connections to 127.0.0.1:`port` and keeps them as long as the server lets it; meanwhile, and afterwards, calls `ask` at least 20
 * times. Resolves with what it returned, when all connections are closed.
 */
export async function flood<T>(port: number, count: number, ask: () => Promise<T>): Promise<T[]> {
  const sockets: Socket[] = [];
  const results: T[] = [];
  let isDone = false;
  const asking = (async () => {
    while (!isDone || results.length < ASKS) results.push(await ask());
  })();
  try {
    for (let made = 0; made < count; made += AT_ONCE) {
      const next = Array.from({ length: Math.min(AT_ONCE, count - made) }, (_, index) => open(port, index));
      sockets.push(...next.map(({ socket }) => socket));
      await Promise.all(next.map(({ connected }) => connected));
    }
  } finally {
    isDone = true;
    try {
      await asking;
    } finally {
      for (const socket of sockets) socket.destroy();
    }
  }
  return results;
}

/** Every second one begins a request. */
function open(port: number, index: number): { readonly socket: Socket; readonly connected: Promise<void> } {
  const socket = connect({ port, host: '127.0.0.1' });
  socket.on('error', () => {});
  const connected = new Promise<void>((resolve) => {
    socket.once('connect', () => {
      if (index % 2 === 1) socket.write('GET /healthz HTTP/1.1\r\nHost:');
      resolve();
    });
    socket.once('close', () => resolve());
  });
  return { socket, connected };
}
