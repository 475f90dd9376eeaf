// Addresses that are taken and those that are refused, and which proxy the environment asks for.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { proxyFromEnvironment } from './kubeconfig-proxy.ts';
import { parseProxy, parseServer } from './kubeconfig-url.ts';

const serverText = (text: string, assumeTls = false): string => {
  const url = parseServer(text, { assumeTls });
  return url instanceof URL ? url.href : url.message;
};

describe('the address of a server', () => {
  it.each([
    ['https://192.0.2.1:6443', 'https://192.0.2.1:6443/'],
    ['https://192.0.2.1:443', 'https://192.0.2.1/'],
    ['HTTPS://API.example/a/b/', 'https://api.example/a/b/'],
    ['http://localhost:8080', 'http://localhost:8080/'],
    ['https://[2001:DB8:0::1]:6443', 'https://[2001:db8::1]:6443/'],
    ['https://[::ffff:192.0.2.1]', 'https://[::ffff:c000:201]/'],
  ])('%s is taken', (text, href) => {
    expect(serverText(text)).toBe(href);
  });

  it('may lack its scheme when TLS is configured', () => {
    expect(serverText('192.0.2.1:6443', true)).toBe('https://192.0.2.1:6443/');
    expect(serverText('[2001:db8::1]:6443', true)).toBe('https://[2001:db8::1]:6443/');
    expect(serverText('api.example', true)).toBe('https://api.example/');
    expect(serverText('192.0.2.1:6443', false)).toContain('does not begin with https://');
  });

  it.each([
    '',
    ' ',
    'https://',
    'https:///a',
    'https:192.0.2.1',
    'https:/192.0.2.1',
    ' https://a',
    'https://a b',
    'https://a\n',
    'https://a\\b',
    'https://a:b',
    'https://a:65536',
    'https://a:0',
    'https://a:1:2',
    'https://2001:db8::1',
    'https://[2001:db8::1',
    'https://[1.2.3.4]',
    'https://user@a',
    'https://user:word@a',
    'https://a?b',
    'https://a/?',
    'https://a#b',
    'ws://a',
    'file:///a',
    'javascript://a',
    'https://010.0.0.1',
    'https://0x7f.1',
    'https://127.1',
    'https://1',
    'https://\u00e4.example',
    'https://a%41',
    'https://a@b@c',
    '//a',
  ])('%j is refused', (text) => {
    for (const assumeTls of [false, true]) expect(parseServer(text, { assumeTls })).not.toBeInstanceOf(URL);
  });

  it('never connects to another host than the one that is written, and no mistake repeats it', () => {
    const piece = fc.oneof(
      fc.constantFrom(
        'https://',
        'http://',
        '@',
        ':',
        '/',
        '.',
        '[',
        ']',
        '%',
        '?',
        '#',
        '\\',
        '::',
        'aa',
        '0x1',
        '10.0.0.1',
        '443',
      ),
      fc.string({ maxLength: 3 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 8 }), fc.boolean(), (pieces, assumeTls) => {
        const text = pieces.join('');
        const url = parseServer(text, { assumeTls });
        if (!(url instanceof URL)) return;
        const host = url.hostname.startsWith('[') ? '[' : url.hostname;
        expect(
          text
            .toLowerCase()
            .replace(/^https?:\/\//, '')
            .startsWith(host),
        ).toBe(true);
        expect(['http:', 'https:']).toContain(url.protocol);
        expect([url.username, url.password, url.search, url.hash]).toEqual(['', '', '', '']);
      }),
      { numRuns: 2_000 },
    );
  });
});

describe('the address of a proxy', () => {
  it('may have a user and a password', () => {
    for (const text of [
      'http://h:3128',
      'https://u:p@h',
      'socks5://u:p%40@192.0.2.1:1080',
      'socks5://[2001:db8::1]:1080',
    ])
      expect(parseProxy(text)).toBeInstanceOf(URL);
    expect(parseProxy('socks5://u:p%40@192.0.2.1:1080')).toMatchObject({
      hostname: '192.0.2.1',
      port: '1080',
      password: 'p%40',
    });
  });

  it.each(['', 'h:1', 'socks4://h', 'socks5h://h', 'http://', 'http://u:p@', 'http://a b'])(
    '%j is refused',
    (text) => {
      expect(parseProxy(text)).not.toBeInstanceOf(URL);
    },
  );
});

describe('the proxy of the environment', () => {
  const P = 'http://proxy.example:3128';
  it.each<[server: string, env: Record<string, string>, proxy: string | null]>([
    ['https://192.0.2.1:6443', {}, null],
    ['https://192.0.2.1:6443', { HTTPS_PROXY: P }, `${P}/`],
    ['https://192.0.2.1:6443', { https_proxy: P }, `${P}/`],
    ['https://192.0.2.1:6443', { HTTPS_PROXY: P, https_proxy: 'http://other' }, `${P}/`],
    ['https://192.0.2.1:6443', { HTTPS_PROXY: 'proxy.example:3128' }, `${P}/`],
    ['https://192.0.2.1:6443', { HTTPS_PROXY: '::' }, null],
    ['https://192.0.2.1:6443', { HTTP_PROXY: P }, null],
    ['http://192.0.2.1:8080', { HTTP_PROXY: P }, `${P}/`],
    ['https://127.0.0.1:6443', { HTTPS_PROXY: P }, null],
    ['https://127.9.9.9:6443', { HTTPS_PROXY: P }, null],
    ['https://[::1]:6443', { HTTPS_PROXY: P }, null],
    ['https://localhost:6443', { HTTPS_PROXY: P }, null],
    ['https://192.0.2.1', { HTTPS_PROXY: P, NO_PROXY: 'a, 192.0.2.0/24' }, null],
    ['https://192.0.3.1', { HTTPS_PROXY: P, NO_PROXY: '192.0.2.0/24,192.0.3.0/99' }, `${P}/`],
    ['https://192.0.2.1', { HTTPS_PROXY: P, no_proxy: '192.0.2.1' }, null],
    ['https://192.0.2.1:6443', { HTTPS_PROXY: P, no_proxy: '192.0.2.1:6443' }, null],
    ['https://192.0.2.1:6443', { HTTPS_PROXY: P, no_proxy: '192.0.2.1:443' }, `${P}/`],
    ['https://[2001:db8::1]', { HTTPS_PROXY: P, NO_PROXY: '2001:DB8:0::1' }, null],
    ['https://[2001:db8::1]', { HTTPS_PROXY: P, NO_PROXY: '[2001:db8::1]:443' }, null],
    ['https://[2001:db8::1]', { HTTPS_PROXY: P, NO_PROXY: '2001:db8::/32' }, null],
    ['https://api.example', { HTTPS_PROXY: P, NO_PROXY: 'example' }, null],
    ['https://api.example', { HTTPS_PROXY: P, NO_PROXY: '.example' }, null],
    ['https://api.example', { HTTPS_PROXY: P, NO_PROXY: '*.EXAMPLE' }, null],
    ['https://example', { HTTPS_PROXY: P, NO_PROXY: '.example' }, `${P}/`],
    ['https://api-example', { HTTPS_PROXY: P, NO_PROXY: 'example' }, `${P}/`],
    ['https://api.example', { HTTPS_PROXY: P, NO_PROXY: '*' }, null],
    ['https://api.example', { HTTPS_PROXY: P, NO_PROXY: ' , ' }, `${P}/`],
  ])('for %s with %j is %s', (server, env, proxy) => {
    expect(proxyFromEnvironment(new URL(server), env)?.href ?? null).toBe(proxy);
  });
});
