// Addresses of API servers and proxies. Stricter than the URL class, which takes blanks, odd numbers and missing slashes, and so would
// connect to another host than the one that a person reads. A URL is never repeated in a message: it may hold a password. Pure.

/** Why a text is no such address, and what to do. */
export interface UrlMistake {
  readonly message: string;
  readonly remedy: string;
}

/** What `parseServer` must know. */
export interface ServerOptions {
  /**
   * TLS is configured (authority, client certificate or insecure): then 'host:port' means https, as in client-go. Without, it is refused,
   * where client-go would go on in clear.
   */
  readonly assumeTls: boolean;
}

/** The URL of an API server, or what is wrong with it. */
export function parseServer(text: string, options: ServerOptions): URL | UrlMistake {
  const hasScheme = text.includes('://');
  if (!hasScheme && !options.assumeTls)
    return { message: 'it does not begin with https:// or http://', remedy: 'write https://HOST:PORT' };
  const url = parseUrl(hasScheme ? text : `https://${text}`, ['https', 'http'], 'https://HOST:PORT');
  if (!(url instanceof URL)) return url;
  if (/^(?:[^/]*\/\/)?[^/]*@/.test(text))
    return {
      message: 'it has a user or password in it',
      remedy: 'write them as username and password of the user',
    };
  if (text.includes('?') || text.includes('#'))
    return { message: 'it has a query or fragment', remedy: 'end it after the path' };
  return url;
}

/** The URL of a proxy, or what is wrong with it. */
export function parseProxy(text: string): URL | UrlMistake {
  return parseUrl(
    text,
    ['http', 'https', 'socks5'],
    'http://HOST:PORT, https://HOST:PORT or socks5://HOST:PORT',
  );
}

function parseUrl(text: string, schemes: readonly string[], form: string): URL | UrlMistake {
  const remedy = `write ${form}`;
  const match =
    /^([A-Za-z][A-Za-z0-9+.-]*):\/\/(?:[^/?#@]*@)?(\[[0-9A-Fa-f:.]+\]|[^/?#@:[\]]+)(?::\d+)?(?:[/?#]|$)/.exec(
      text,
    );
  const [, scheme = '', host = ''] = match ?? [];
  if (match === null || /[^\x21-\x7e]|\\/.test(text)) return { message: 'it is no URL with a host', remedy };
  if (!schemes.includes(scheme.toLowerCase()))
    return { message: `it begins with none of ${schemes.map((each) => `${each}://`).join(', ')}`, remedy };
  if (!URL.canParse(text)) return { message: 'it is no valid URL', remedy };
  const url = new URL(text);
  // The class reads 010.0.0.1 and 0x7f.1 as other addresses; for schemes that it does not know it keeps hosts as they are.
  if (!host.startsWith('[') && url.hostname.toLowerCase() !== host.toLowerCase())
    return {
      message: 'its host is written in an unusual way',
      remedy: 'write an address as four plain numbers, a name in ASCII',
    };
  if (url.port === '0') return { message: 'its port is 0', remedy };
  return url;
}
