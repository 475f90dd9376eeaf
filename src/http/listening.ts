// Listening on an address as Go does, for those who know where kube-proxy listens. Each attempt makes a new listening socket.

import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { SocketAddress } from '../config/config.ts';
import { formatEndpoint } from '../model/endpoints.ts';
import { PointsmanError } from '../model/errors.ts';
import { isUnspecified, type IpAddress } from '../model/ip.ts';

/**
 * any: an unspecified address of either family means all addresses of both, as far as the kernel has them (Go's network "tcp").
 * own: the address means what it is, :: only IPv6 (Go's "tcp4" and "tcp6").
 */
export type Families = 'any' | 'own';

/** What a listening socket tells. */
export interface ListenerEvents {
  /** A new connection; allowHalfOpen. */
  readonly onConnection: (socket: Socket) => void;
  /** A connection could not be accepted (EMFILE); the socket goes on listening. */
  readonly onError: (error: Error) => void;
}

/** A socket that listens. */
export interface Listener {
  /** Where it really listens. */
  readonly bound: SocketAddress;
  /** Accepts nothing more; connections that are open stay. Resolves when its port is free again. */
  close(): Promise<void>;
}

/** Connections that the kernel holds until they are accepted. */
const BACKLOG = 511;

/** Listens. Throws LISTEN_FAILED with the errno's name in context.errno. Port 0 takes any that is free. */
export async function listen(
  { address, port }: SocketAddress,
  families: Families,
  events: ListenerEvents,
): Promise<Listener> {
  const isBoth = families === 'any' && isUnspecified(address);
  try {
    if (!isBoth) return await listenAt({ address, port }, true, events);
    return await listenAt({ address: '::' as IpAddress, port }, false, events);
  } catch (error) {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    const hasNoIpv6 = code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL';
    if (isBoth && hasNoIpv6) return listen({ address: '0.0.0.0' as IpAddress, port }, 'own', events);
    throw new PointsmanError(
      'LISTEN_FAILED',
      `cannot listen on ${formatEndpoint(address, port)}: ${code}; ${REMEDIES[code] ?? 'choose another address'}`,
      { address, port, errno: code },
      { cause: error },
    );
  }
}

const REMEDIES: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program listens there: stop it or choose another port',
  EADDRNOTAVAIL: 'this machine does not have the address: choose one that it has',
  EACCES: 'the port needs root or CAP_NET_BIND_SERVICE',
  EMFILE: 'this process has no free descriptor: raise its limit (LimitNOFILE)',
};

function listenAt(
  { address, port }: SocketAddress,
  ipv6Only: boolean,
  { onConnection, onError }: ListenerEvents,
): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, onConnection);
    server.once('error', reject);
    server.listen({ host: address, port, ipv6Only, backlog: BACKLOG, exclusive: true }, () => {
      server.off('error', reject);
      server.on('error', onError);
      const { port: bound } = server.address() as AddressInfo;
      resolve({ bound: { address, port: bound }, close: () => close(server) });
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    // The port is free as soon as this returns; the callback would wait for connections.
    server.close();
    setImmediate(resolve);
  });
}
