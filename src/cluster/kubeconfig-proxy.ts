// The proxy for an API server when its kubeconfig names none: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, as Go's client reads them and so
// kube-proxy does. Source: golang.org/x/net/http/httpproxy. Pure.

import { BlockList, isIP } from 'node:net';
import { parseProxy } from './kubeconfig-url.ts';

/** Longer lists are cut off. */
const MAX_EXCEPTIONS = 1_000;

/** The proxy for `server`; null: straight to it. A value that is no proxy's URL counts as none, as in Go. */
export function proxyFromEnvironment(
  server: URL,
  env: Readonly<Record<string, string | undefined>>,
): URL | null {
  const text = server.protocol === 'https:' ? either(env, 'HTTPS_PROXY') : either(env, 'HTTP_PROXY');
  if (text === '' || isException(server, either(env, 'NO_PROXY'))) return null;
  const proxy = parseProxy(text.includes('://') ? text : `http://${text}`);
  return proxy instanceof URL ? proxy : null;
}

/** Of both spellings the upper one wins, as in Go. */
function either(env: Readonly<Record<string, string | undefined>>, name: string): string {
  const upper = env[name] ?? '';
  return (upper === '' ? (env[name.toLowerCase()] ?? '') : upper).trim();
}

function isException(server: URL, list: string): boolean {
  const host = server.hostname
    .replaceAll(/^\[|\]$/g, '')
    .replace(/\.$/, '')
    .toLowerCase();
  const port = server.port === '' ? (server.protocol === 'https:' ? '443' : '80') : server.port;
  const family = isIP(host);
  if (host === 'localhost' || (family !== 0 && contains('127.0.0.0', 8, host)) || host === '::1') return true;
  return list
    .split(',', MAX_EXCEPTIONS)
    .map((entry) => entry.trim().toLowerCase())
    .some((entry) => entry !== '' && matches(entry, host, port, family));
}

function matches(entry: string, host: string, port: string, family: number): boolean {
  if (entry === '*') return true;
  const [, network = '', bits = ''] = /^([0-9a-f.:]+)\/(\d{1,3})$/.exec(entry) ?? [];
  if (network !== '') return family !== 0 && contains(network, Number(bits), host);
  const [, bracketed, bare, entryPort] = /^(?:\[([^\]]*)\]|([^:]*))(?::(\d+))?$/.exec(entry) ?? [];
  // An IPv6 address without brackets has no port.
  const name = bracketed ?? bare ?? entry;
  if (entryPort !== undefined && entryPort !== port) return false;
  if (isIP(name) !== 0) return family !== 0 && contains(name, isIP(name) === 4 ? 32 : 128, host);
  const suffix = name.replace(/^\*?\./, '.');
  return suffix.startsWith('.') ? host.endsWith(suffix) : host === suffix || host.endsWith(`.${suffix}`);
}

function contains(network: string, bits: number, host: string): boolean {
  const family = isIP(network) === 4 ? 'ipv4' : 'ipv6';
  if (isIP(network) === 0 || isIP(network) !== isIP(host) || bits > (family === 'ipv4' ? 32 : 128))
    return false;
  const list = new BlockList();
  list.addSubnet(network, bits, family);
  return list.check(host, family);
}
