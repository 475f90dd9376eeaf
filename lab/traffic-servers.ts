// The lab's servers, in the traffic worker: they answer every question with their name and the client's address and port.
// They decide nothing and keep no record; the clients report. A stream connection stays until its client ends it.
// Source of truth for the words is traffic-wire.ts.

import {
  EAGAIN,
  ECONNREFUSED,
  MSG_NOSIGNAL,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  accept4,
  close,
  listen,
  recv,
  recvfrom,
  send,
  sendto,
  type Fd,
} from '../src/kernel/libc.ts';
import type { NetnsSwitch } from './netns-switch.ts';
import { SOCKADDR_BYTES, decodeSocketAddress, type SocketAddress } from './socket-address.ts';
import type { ServerOptions } from './traffic-messages.ts';
import { WatchedSocket, check, openSocket } from './traffic-socket.ts';
import { LineBuffer, MAX_LINE_BYTES, encodeAnswer, parseRequest } from './traffic-wire.ts';

const BACKLOG = 4096;
const MAX_SERVERS = 1024;
const MAX_CONNECTIONS = 16_384;

interface Server {
  readonly name: string;
  readonly sockets: WatchedSocket[];
  readonly connections: Set<WatchedSocket>;
}

/** All servers of a worker. */
export class TrafficServers {
  readonly #netns: NetnsSwitch;
  readonly #servers: Server[] = [];
  readonly #bytes = new Uint8Array(4 * MAX_LINE_BYTES);
  readonly #address = new Uint8Array(SOCKADDR_BYTES);
  #connectionCount = 0;

  constructor(netns: NetnsSwitch) {
    this.#netns = netns;
  }

  /** Starts one server; it listens when this returns. Throws SocketError and then leaves nothing behind. */
  serve(options: ServerOptions): void {
    if (this.#servers.length >= MAX_SERVERS) throw new Error(`The lab has ${MAX_SERVERS} servers at most`);
    const server: Server = { name: options.name, sockets: [], connections: new Set() };
    this.#netns.enter(options.at.netnsPath);
    try {
      for (const address of listenAddresses(options)) {
        const fd = openSocket(options.protocol, address, { address, port: options.port });
        try {
          if (options.protocol !== 'UDP') check('listen', listen(fd, BACKLOG).errno);
        } catch (error) {
          close(fd);
          throw error;
        }
        const watched: WatchedSocket = new WatchedSocket(fd, () => {
          if (options.protocol === 'UDP') this.#answerDatagrams(server, watched);
          else this.#acceptAll(server, watched);
        });
        server.sockets.push(watched);
      }
    } catch (error) {
      for (const watched of server.sockets) watched.close();
      throw error;
    }
    this.#servers.push(server);
  }

  /** Closes the servers with that name and their connections; throws when there is none. */
  stop(name: string): void {
    const stopped = this.#servers.filter((server) => server.name === name);
    if (stopped.length === 0) throw new Error(`There is no server ${name}`);
    for (const server of stopped) {
      this.#closeServer(server);
      this.#servers.splice(this.#servers.indexOf(server), 1);
    }
  }

  /** Closes all servers. */
  close(): void {
    for (const server of this.#servers.splice(0)) this.#closeServer(server);
  }

  #closeServer(server: Server): void {
    for (const watched of server.sockets) watched.close();
    for (const connection of server.connections) this.#end(server, connection);
  }

  #acceptAll(server: Server, listening: WatchedSocket): void {
    for (;;) {
      const accepted = accept4(listening.fd, SOCK_NONBLOCK | SOCK_CLOEXEC, this.#address);
      // Besides EAGAIN: the client went away while it waited in the queue; the next wake-up tries again.
      if (accepted.errno !== 0) return;
      if (this.#connectionCount >= MAX_CONNECTIONS) close(accepted.value);
      else this.#converse(server, accepted.value, decodeSocketAddress(this.#address));
    }
  }

  #converse(server: Server, fd: Fd, client: SocketAddress): void {
    const lines = new LineBuffer();
    const connection: WatchedSocket = new WatchedSocket(fd, () => {
      for (;;) {
        const received = recv(fd, this.#bytes, 0);
        if (received.errno === EAGAIN) return;
        if (received.value <= 0) return this.#end(server, connection);
        for (const line of lines.push(this.#bytes.subarray(0, received.value))) {
          const request = parseRequest(line);
          if (typeof request !== 'number') return this.#end(server, connection);
          if (!say(fd, server.name, client, request)) return this.#end(server, connection);
        }
      }
    });
    server.connections.add(connection);
    this.#connectionCount += 1;
    if (!say(fd, server.name, client, 0)) this.#end(server, connection);
  }

  #end(server: Server, connection: WatchedSocket): void {
    connection.close();
    if (server.connections.delete(connection)) this.#connectionCount -= 1;
  }

  #answerDatagrams(server: Server, watched: WatchedSocket): void {
    for (;;) {
      const received = recvfrom(watched.fd, this.#bytes, 0, this.#address);
      if (received.errno === ECONNREFUSED) {
        watched.restart();
        continue;
      }
      if (received.errno !== 0) return;
      const line = Buffer.from(this.#bytes.subarray(0, received.value)).toString('utf8').trimEnd();
      const seq = parseRequest(line);
      if (typeof seq !== 'number') continue;
      const answer = { server: server.name, ...decodeSocketAddress(this.#address), seq };
      const to = this.#address.subarray(0, this.#address[0] === 2 ? 16 : SOCKADDR_BYTES);
      // A full or unreachable way back is what UDP loses; the client reports the missing answer.
      sendto(watched.fd, encodeAnswer(answer), 0, to);
    }
  }
}

function listenAddresses(options: ServerOptions): readonly string[] {
  if (options.address !== undefined) return [options.address];
  return options.protocol === 'TCP' ? ['0.0.0.0', '::'] : [options.at.ipv4, options.at.ipv6];
}

function say(fd: Fd, server: string, client: SocketAddress, seq: number): boolean {
  const answer = encodeAnswer({ server, ...client, seq });
  return send(fd, answer, answer.length, MSG_NOSIGNAL).value === answer.length;
}
