// GET of a list: which version it is of, which page, and its text. Source: the API concepts page "Resource versions" and
// "Retrieving large results sets in chunks"; apiserver pkg/storage/cacher (shouldDelegateList), pkg/storage/etcd3/store.go,
// metainternalversionvalidation. Must know nothing of HTTP beyond the query.

import type { ApiTarget } from './api-resources.ts';
import type { Selector } from './api-selectors.ts';
import { expiredContinue, invalidOptions, makeStatus, Refusal, tooLarge, tooOld } from './api-status.ts';
import type { ApiStore, Entry } from './api-store.ts';

/** One page, ready to be sent. */
export interface ListPage {
  readonly chunks: Iterable<Buffer>;
  readonly bytes: number;
}

interface Token {
  readonly rv: number;
  readonly start: string;
}

const CHUNK_BYTES = 256 * 1024;
/** In a token: goes on with what is there now. */
const INCONSISTENT = -1;

/**
 * Throws Refusal. `select` is what is in the target and in the selectors; `isSelective`: they leave something out.
 * `pagesAtZero`: the limit counts at version 0 too.
 */
export function listPage(
  store: ApiStore,
  { resource }: ApiTarget,
  query: URLSearchParams,
  select: Selector,
  isSelective: boolean,
  pagesAtZero = false,
): ListPage {
  const match = query.get('resourceVersionMatch') ?? '';
  const wanted = query.get('resourceVersion') ?? '';
  const token = query.get('continue') ?? '';
  validate(query, match, wanted, token);
  // A list at version "0" comes from the watch cache, which knows no pages: the limit is not honoured (shouldDelegateList). A server
  // without a watch cache, and one whose cache keeps snapshots (KEP-4988), may honour it.
  const isWhole = wanted === '0' && token === '' && !pagesAtZero;
  const limit = isWhole ? 0 : Number(query.get('limit') ?? 0);
  const { version, entries, start } =
    token === ''
      ? {
          ...fromVersion(store, resource.name, wanted, match === 'Exact' || (match === '' && limit > 0)),
          start: '',
        }
      : fromToken(store, resource.name, token);
  const rest = entries.filter((entry) => entry.key >= start && select(entry));
  const page = limit > 0 ? rest.slice(0, limit) : rest;
  const last = page.at(-1);
  const hasMore = page.length < rest.length && last !== undefined;
  const metadata = {
    resourceVersion: String(version),
    ...(hasMore ? { continue: encodeToken({ rv: version, start: `${last.key}\0` }) } : {}),
    // "Servers older than v1.15 do not set this field", nor does anyone who would have to filter what is left.
    ...(hasMore && !isSelective ? { remainingItemCount: rest.length - page.length } : {}),
  };
  const head = `{"kind":"${resource.kind}List","apiVersion":"${resource.apiVersion}","metadata":${JSON.stringify(metadata)},"items":[`;
  const bytes = page.reduce((sum, { json }) => sum + json.length + 1, head.length);
  return { chunks: joined(head, page), bytes };
}

function* joined(head: string, page: readonly Entry[]): Generator<Buffer> {
  const comma = Buffer.from(',');
  let parts: Buffer[] = [Buffer.from(head)];
  let size = 0;
  for (const [index, { json }] of page.entries()) {
    if (index > 0) parts.push(comma);
    parts.push(json);
    size += json.length;
    if (size < CHUNK_BYTES) continue;
    yield Buffer.concat(parts);
    parts = [];
    size = 0;
  }
  parts.push(Buffer.from(']}\n'));
  yield Buffer.concat(parts);
}

function fromVersion(
  store: ApiStore,
  name: ApiTarget['resource']['name'],
  wanted: string,
  isExact: boolean,
): { version: number; entries: readonly Entry[] } {
  const asked = wanted === '' ? 0 : parseVersion(wanted);
  if (asked > store.version) throw new Refusal(tooLarge(asked, store.version), 1);
  if (asked === 0 || !isExact) return { version: store.version, entries: store.entries(name) };
  const entries = store.entriesAt(name, asked);
  if (entries === null) throw new Refusal(tooOld(asked, store.oldest));
  return { version: asked, entries };
}

function fromToken(
  store: ApiStore,
  name: ApiTarget['resource']['name'],
  text: string,
): { version: number; entries: readonly Entry[]; start: string } {
  const { rv, start } = decodeToken(text);
  if (rv === INCONSISTENT) return { version: store.version, entries: store.entries(name), start };
  const entries = rv > store.version ? null : store.entriesAt(name, rv);
  if (entries === null) throw new Refusal(expiredContinue(encodeToken({ rv: INCONSISTENT, start })));
  return { version: rv, entries, start };
}

function validate(query: URLSearchParams, match: string, wanted: string, token: string): void {
  const refuse = (message: string): never => {
    throw new Refusal(invalidOptions('resourceVersionMatch', message));
  };
  if (match !== '') {
    if (wanted === '') refuse('resourceVersionMatch is forbidden unless resourceVersion is provided');
    if (token !== '') refuse('resourceVersionMatch is forbidden when continue is provided');
    if (match !== 'Exact' && match !== 'NotOlderThan')
      refuse(`supported values: "Exact", "NotOlderThan", ""`);
    if (match === 'Exact' && wanted === '0')
      refuse('resourceVersionMatch "exact" is forbidden for resourceVersion "0"');
  }
  if (query.has('sendInitialEvents'))
    throw new Refusal(invalidOptions('sendInitialEvents', 'sendInitialEvents is forbidden for list'));
  if (token !== '' && wanted !== '' && wanted !== '0')
    throw new Refusal(makeStatus(400, 'specifying resource version is not allowed when using continue'));
}

/** Throws Refusal 400 for what is no version. */
export function parseVersion(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new Refusal(makeStatus(400, `invalid resource version "${text}"`));
}

function encodeToken({ rv, start }: Token): string {
  return Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv, start })).toString('base64url');
}

function decodeToken(text: string): Token {
  try {
    const { rv, start } = JSON.parse(Buffer.from(text, 'base64url').toString()) as Token;
    if (Number.isInteger(rv) && typeof start === 'string') return { rv, start };
  } catch {
    // Said below.
  }
  throw new Refusal(makeStatus(400, 'continue key is not valid: illegal base64 or JSON'));
}
