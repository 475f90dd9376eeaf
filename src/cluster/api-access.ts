// How to reach an API server and with which credentials: what a kubeconfig or a pod's service account comes to. Types only.

/** What one request needs. A value, made anew when any file behind it changed. */
export interface ApiAccess {
  /** http: or https:, perhaps with a path in front of /api and /apis; no user, query or fragment. */
  readonly server: URL;
  /** http:, https: or socks5: proxy to go through, perhaps with a user and password; null: straight to the server. */
  readonly proxy: URL | null;
  readonly tls: {
    /** PEM; null: the roots that this Node.js trusts. */
    readonly ca: string | null;
    /** The name that the server's certificate must bear, and SNI; null: that of `server`. */
    readonly serverName: string | null;
    readonly insecureSkipVerify: boolean;
    /** PEM, both; null: none. */
    readonly client: { readonly certificate: string; readonly key: string } | null;
  };
  /** The whole value of the header Authorization, such as "Bearer ..."; null: none. Must never be in a message. */
  readonly authorization: string | null;
  /** Headers of impersonation (Impersonate-User, ...); mostly empty. */
  readonly headers: Readonly<Record<string, string | readonly string[]>>;
}

/** Where `ApiAccess` comes from. */
export interface CredentialSource {
  /** For messages, without secrets: 'kubeconfig /etc/kubernetes/kube-proxy.kubeconfig, context "default"' or 'in-cluster service account'. */
  readonly description: string;
  /**
   * Asked before each request, so it is cheap: files are looked at again at most once a minute, programs run again only when what they gave
   * has expired. What was mended on disk after an error counts at the next call. Rejects with INVALID_KUBECONFIG or CREDENTIALS_FAILED:
   * one line that names file, field and remedy, and no secret. The same object is returned as long as nothing changed.
   */
  access(signal: AbortSignal): Promise<ApiAccess>;
  /** `access` was answered with 401, or its TLS handshake failed: the next call reads everything anew. */
  reject(access: ApiAccess): void;
}
