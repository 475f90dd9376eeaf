// The listening side of the fake API server: TCP on 127.0.0.1, with TLS or without, that can go away and come back on its port, cut each
// of its connections in either manner, or take connections and never say a word. Knows nothing of Kubernetes.

import { once } from 'node:events';
import { createServer as createHttpServer, type RequestListener, type Server as HttpServer } from 'node:http';
import { createServer as createHttpsServer, type Server as HttpsServer } from 'node:https';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { CutManner } from './faults.ts';

/** What the server shows and whom it believes; PEM. */
export interface ServerTls {
  readonly certificate: string;
  readonly key: string;
  /** Client certificates that this CA signed are believed; null: none is. */
  readonly clientCa: string | null;
}

/** What happens to connections when they come: served, never answered, or torn. */
export type Welcome = 'serve' | 'stall' | 'RST';

const HOST = '127.0.0.1';
const LISTEN_TRIES = 200;

/** One TCP connection. */
export class Connection {
  readonly id: number;
  private readonly socket: Socket;

  constructor(id: number, socket: Socket) {
    this.id = id;
    this.socket = socket;
  }

  cut(manner: CutManner): void {
    if (manner === 'RST') this.socket.resetAndDestroy();
    else this.socket.destroySoon();
  }
}

/** See above. */
export class Listener {
  welcome: Welcome = 'serve';
  /** How many connections came, ever. */
  accepted = 0;
  private readonly http: HttpServer | HttpsServer;
  private readonly isTls: boolean;
  private server: Server | null = null;
  private boundPort = 0;
  private readonly sockets = new Map<Socket, Connection>();

  constructor(onRequest: RequestListener, tls: ServerTls | null) {
    this.isTls = tls !== null;
    this.http =
      tls === null
        ? createHttpServer(onRequest)
        : createHttpsServer({ requestCert: true, rejectUnauthorized: false, ...contextOf(tls) }, onRequest);
    // Clients that hang up in mid-handshake are no news.
    this.http.on('tlsClientError', () => {});
    this.http.on('clientError', (_error, socket) => socket.destroy());
    // A watch is silent for as long as nothing changes.
    this.http.timeout = 0;
    this.http.requestTimeout = 0;
    // Go's servers announce no such time; 0: Node.js does not either, and keeps idle connections.
    this.http.keepAliveTimeout = 0;
  }

  get port(): number {
    return this.boundPort;
  }

  get openConnections(): number {
    return this.sockets.size;
  }

  /** Handshakes from now on use these; open connections stay as they are. */
  replaceTls(tls: ServerTls): void {
    (this.http as HttpsServer).setSecureContext(contextOf(tls));
  }

  /** Listens, if it does not: on a free port at first, on the same one afterwards. */
  async open(): Promise<void> {
    if (this.server !== null) return;
    // Someone's outgoing connection may have the port for a moment.
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.listen();
      } catch (error) {
        if (attempt === LISTEN_TRIES || (error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
  }

  private listen(): Promise<void> {
    const server = createServer((socket) => this.welcomeSocket(socket));
    return new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.boundPort, HOST, () => {
        this.boundPort = (server.address() as AddressInfo).port;
        this.server = server;
        resolve();
      });
    });
  }

  private welcomeSocket(socket: Socket): void {
    const connection = new Connection(++this.accepted, socket);
    this.sockets.set(socket, connection);
    socket.on('error', () => {});
    socket.once('close', () => this.sockets.delete(socket));
    socket.setNoDelay(true);
    if (this.welcome === 'RST') socket.resetAndDestroy();
    else if (this.welcome === 'serve') this.http.emit('connection', socket);
    // Read, so that its end is noticed.
    else socket.resume();
  }

  /** The connection under a request's socket. */
  connectionOf(socket: Socket | TLSSocket): Connection {
    const raw = this.isTls ? ((socket as TLSSocket & { _parent?: Socket })._parent ?? socket) : socket;
    const connection = this.sockets.get(raw);
    // It may have ended by now, and is known no more.
    return connection ?? new Connection(0, raw);
  }

  cutAll(manner: CutManner): void {
    for (const connection of [...this.sockets.values()]) connection.cut(manner);
  }

  /** Closes the port and all connections; `open` comes back on the same port. */
  async close(): Promise<void> {
    const { server } = this;
    this.server = null;
    const closed = [...this.sockets.keys()].map((socket) => once(socket, 'close'));
    this.cutAll('RST');
    await Promise.all(closed);
    if (server !== null) await new Promise((resolve) => server.close(resolve));
  }
}

function contextOf({ certificate, key, clientCa }: ServerTls): { cert: string; key: string; ca?: string } {
  // Without a CA of its own, Node.js would believe the public ones.
  return { cert: certificate, key, ca: clientCa ?? certificate };
}
