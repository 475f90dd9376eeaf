// Connections to an API server: TCP, perhaps a proxy, perhaps TLS, all within one time limit, and kept for the next request. One agent of
// node:http for each value of ApiAccess; when that value changes, requests begin on a new one, and the old one goes with its last request.
// Must not send anything of its own to the server.

import { Agent, type ClientRequestArgs } from 'node:http';
import { connect as connectTcp, isIP } from 'node:net';
import type { Duplex } from 'node:stream';
import {
  checkServerIdentity,
  connect as connectTls,
  createSecureContext,
  rootCertificates,
  type ConnectionOptions,
} from 'node:tls';
import { PointsmanError } from '../model/errors.ts';
import type { ApiAccess } from './api-access.ts';
import { codeOf, connectionError, timeoutError } from './api-connection-errors.ts';
import { tunnel } from './api-connection-proxy.ts';
import type { ApiTimers } from './api-timers.ts';

/** For a whole connection: name, TCP, proxy, TLS. */
const CONNECT_TIMEOUT_MS = 15_000;
/** Probes of the kernel when nothing is sent: finds a dead peer below a watch. */
const KEEPALIVE_MS = 30_000;
/** A connection without a request; servers and load balancers give up later than this, so that none is reused while it is closed. */
const IDLE_MS = 5000;
/** Requests of ours that run at once are fewer. */
const MAX_SOCKETS = 32;

/** A place on an agent; give it back once. */
export interface Lease {
  readonly agent: Agent;
  release(): void;
}

/** Hands out the agent that belongs to an access. */
export class ConnectionPool {
  private readonly timers: ApiTimers;
  private current: Entry | null = null;
  private readonly entries = new Set<Entry>();
  private isClosed = false;

  constructor(timers: ApiTimers) {
    this.timers = timers;
  }

  /** Throws CREDENTIALS_FAILED when certificate, key or CA are none, API_UNREACHABLE after `close`. */
  lease(access: ApiAccess): Lease {
    if (this.isClosed) throw timeoutError(whereIs(access), 'given up');
    if (this.current?.access !== access) {
      const entry: Entry = { access, agent: new AccessAgent(access, this.timers), leases: 0 };
      const before = this.current;
      this.current = entry;
      this.entries.add(entry);
      if (before !== null) this.endUnused(before);
    }
    const entry = this.current as Entry;
    entry.leases++;
    return {
      agent: entry.agent,
      release: () => {
        entry.leases--;
        this.endUnused(entry);
      },
    };
  }

  /** Cuts everything, used or not, for good. */
  close(): void {
    this.isClosed = true;
    this.current = null;
    for (const { agent } of this.entries) agent.destroy();
    this.entries.clear();
  }

  private endUnused(entry: Entry): void {
    if (entry === this.current || entry.leases > 0) return;
    entry.agent.destroy();
    this.entries.delete(entry);
  }
}

interface Entry {
  readonly access: ApiAccess;
  readonly agent: AccessAgent;
  leases: number;
}

/** The server, and the proxy on the way to it, as messages name them: no user, no password. */
export function whereIs({ server, proxy }: ApiAccess): string {
  const name = `the API server ${server.protocol}//${server.host}${server.pathname.replace(/\/$/, '')}`;
  return proxy === null ? name : `${name} through the proxy ${proxy.protocol}//${proxy.host}`;
}

class AccessAgent extends Agent {
  private readonly access: ApiAccess;
  private readonly timers: ApiTimers;
  private readonly secureOptions: ConnectionOptions | null;
  private readonly dials = new Set<AbortController>();

  constructor(access: ApiAccess, timers: ApiTimers) {
    super({
      keepAlive: true,
      maxSockets: MAX_SOCKETS,
      maxFreeSockets: 4,
      timeout: IDLE_MS,
      scheduling: 'lifo',
    });
    this.access = access;
    this.timers = timers;
    this.secureOptions = access.server.protocol === 'https:' ? makeSecureOptions(access) : null;
  }

  override createConnection(
    _options: ClientRequestArgs,
    callback?: (error: Error | null, socket: Duplex) => void,
  ): null {
    void this.connect(callback);
    return null;
  }

  private async connect(callback?: (error: Error | null, socket: Duplex) => void): Promise<void> {
    const controller = new AbortController();
    this.dials.add(controller);
    let error: Error | null = null;
    let socket: Duplex | null = null;
    try {
      socket = await dial(this.access, this.secureOptions, this.timers, controller.signal);
    } catch (cause) {
      error = cause as Error;
    }
    this.dials.delete(controller);
    // Node.js looks at no socket when there is an error.
    callback?.(error, socket as Duplex);
  }

  override destroy(): void {
    for (const controller of this.dials) controller.abort();
    super.destroy();
  }
}

/** Once for each access: reading PEM is not cheap. */
function makeSecureOptions(access: ApiAccess): ConnectionOptions {
  const { ca, client, insecureSkipVerify } = access.tls;
  const name = access.tls.serverName ?? hostOf(access.server);
  try {
    return {
      secureContext: createSecureContext({
        minVersion: 'TLSv1.2',
        ...(ca === null ? {} : { ca }),
        ...(client === null ? {} : { cert: client.certificate, key: client.key }),
      }),
      rejectUnauthorized: !insecureSkipVerify,
      // SNI holds names only; addresses are compared with the certificate all the same.
      ...(isIP(name) === 0 ? { servername: name } : { host: name }),
      checkServerIdentity: (_host: string, certificate) => checkServerIdentity(name, certificate),
    };
  } catch (error) {
    const code = codeOf(error) || 'no reason given';
    const message = `the CA, client certificate or key for ${whereIs(access)} cannot be used (${code}); they must be PEM, and the key that of the certificate`;
    throw new PointsmanError('CREDENTIALS_FAILED', message, { code });
  }
}

/** Connects. Rejects with API_UNREACHABLE (`TlsError` for what certificates are to blame for) or API_PROTOCOL. */
async function dial(
  access: ApiAccess,
  secureOptions: ConnectionOptions | null,
  timers: ApiTimers,
  signal: AbortSignal,
): Promise<Duplex> {
  const { server, proxy } = access;
  const where = whereIs(access);
  let phase = 'no TCP connection';
  let socket: Duplex | null = null;
  let failure: Error | null = null;
  const fail = (error: Error): void => {
    failure ??= error;
    socket?.destroy(error);
  };
  const timer = timers.set(
    () => fail(timeoutError(where, `${phase} within ${CONNECT_TIMEOUT_MS / 1000} s`)),
    CONNECT_TIMEOUT_MS,
  );
  const onAbort = (): void => fail(timeoutError(where, 'given up'));
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const first = proxy ?? server;
    const tcp = connectTcp({ host: hostOf(first), port: portOf(first) });
    socket = tcp;
    await event(tcp, 'connect');
    tcp.setNoDelay(true);
    tcp.setKeepAlive(true, KEEPALIVE_MS);
    if (proxy !== null) {
      if (proxy.protocol === 'https:') {
        phase = 'no TLS with the proxy';
        const ca = access.tls.ca === null ? {} : { ca: [...rootCertificates, access.tls.ca] };
        const name = hostOf(proxy);
        socket = connectTls({ socket, ...ca, ...(isIP(name) === 0 ? { servername: name } : { host: name }) });
        await event(socket, 'secureConnect');
      }
      phase = 'no answer of the proxy';
      await tunnel(socket, proxy, { host: hostOf(server), port: portOf(server) });
    }
    if (secureOptions !== null) {
      phase = 'no TLS handshake';
      socket = connectTls({ ...secureOptions, socket });
      await event(socket, 'secureConnect');
    }
    if (failure !== null) throw failure as Error;
    return socket;
  } catch (error) {
    socket?.destroy();
    throw connectionError(failure ?? error, where);
  } finally {
    timers.clear(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

/** Resolves with the event; rejects when the socket fails or closes first. An error after that is for the next listener. */
function event(socket: Duplex, name: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (error?: Error): void => {
      socket.off(name, onEvent).off('error', settle).off('close', onClose);
      // A socket that fails between two listeners must not end the process; who uses it next hears of its close.
      socket.on('error', () => {});
      if (error === undefined) resolve();
      else reject(error);
    };
    const onEvent = (): void => settle();
    const onClose = (): void => settle(Object.assign(new Error('closed'), { code: 'ECONNRESET' }));
    socket.once(name, onEvent).once('error', settle).once('close', onClose);
  });
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[(.*)\]$/, '$1');
}

function portOf(url: URL): number {
  if (url.port !== '') return Number(url.port);
  if (url.protocol === 'https:') return 443;
  return url.protocol === 'http:' ? 80 : 1080;
}
