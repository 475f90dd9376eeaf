// What stands between the reflectors and the network: one request, and its answer as it arrives. Types only, so that tests can script it.

/** One request to an API server. */
export interface ApiRequest {
  /** Begins with a slash: '/api/v1/services'. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** Ask for a compressed answer. Not for watches: they trickle, and the server would have to flush each event. */
  readonly acceptsGzip: boolean;
  /** Default GET. */
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Sent as JSON. */
  readonly body?: unknown;
}

/** The body of an answer with a good status, uncompressed. Ending the iteration early gives the connection up. */
export type ApiAnswer = AsyncIterable<Uint8Array>;

/** Sends requests. */
export interface ApiTransport {
  /**
   * Resolves when the head of a good answer (2xx) is there. Rejects, as the iteration of the answer does, with API_REFUSED
   * (`ApiStatusError`), API_UNREACHABLE, API_PROTOCOL, or what the credentials reject with; soon after `signal` was aborted with anything.
   */
  open(request: ApiRequest, signal: AbortSignal): Promise<ApiAnswer>;
}
