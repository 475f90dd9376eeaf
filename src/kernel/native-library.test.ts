// Real folders, the real library. What the system refuses to load is simulated by a loader that throws: noexec is tried on real file systems
// in test/release/.

import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makePrivateFolder } from '../../test/private-folder.ts';
import { dangerOf, loadFromBytes } from './native-library.ts';

const LIBRARY = `node_modules/@koromix/koffi-linux-${process.arch}/linux_${process.arch}/koffi.node`;
const OTHER_USER = 12_345;
const isRoot = process.geteuid?.() === 0;
const place = makePrivateFolder();
const none = (): unknown => {
  throw new Error('must not be loaded');
};

describe.skipIf(place === null)('a library out of bytes', () => {
  let folder = '';
  let bytes = new Uint8Array();
  let count = 0;
  beforeAll(() => {
    bytes = readFileSync(join(import.meta.dirname, '../..', LIBRARY));
  });
  beforeEach(() => {
    folder = join(place ?? '', String(count++));
    mkdirSync(folder, { mode: 0o700 });
  });
  afterAll(() => rmSync(place ?? '', { recursive: true, force: true }));

  it('is loaded by the system and leaves no file', () => {
    const library = loadFromBytes(bytes, [folder]) as { load(path: null): unknown };
    expect(library.load(null)).toBeDefined();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('has no name, one owner and all bytes when the system sees it', () => {
    const seen = loadFromBytes(bytes, [folder], (path) => ({
      mode: statSync(path).mode & 0o777,
      uid: statSync(path).uid,
      isWhole: readFileSync(path).equals(bytes),
      name: readlinkSync(path).replace(folder, ''),
      beside: readdirSync(folder),
    }));
    expect(seen).toEqual({
      mode: 0o600,
      uid: process.geteuid?.(),
      isWhole: true,
      name: expect.stringMatching(/^\/\.[0-9a-f]{32}\.node \(deleted\)$/),
      beside: [],
    });
  });

  it('makes the last folder for this user alone', () => {
    const made = join(folder, 'made');
    loadFromBytes(bytes, [made], () => null);
    expect(statSync(made).mode & 0o777).toBe(0o700);
  });

  const hostile: readonly (readonly [string, (path: string) => void, RegExp])[] = [
    ['that everybody can write to', (path) => chmodSync(path, 0o777), /can be written to by everybody/],
    ['with the sticky bit', (path) => chmodSync(path, 0o1777), /can be written to by everybody/],
    [
      'below one that everybody can write to',
      (path) => {
        chmodSync(path, 0o1777);
        mkdirSync(join(path, 'inner'), { mode: 0o700 });
      },
      /can be written to by everybody/,
    ],
    [
      'that is a link to a good one',
      (path) => {
        mkdirSync(`${path}-good`, { mode: 0o700 });
        rmSync(path, { recursive: true });
        symlinkSync(`${path}-good`, path);
      },
      /is a link/,
    ],
    [
      'that is a link to nothing',
      (path) => {
        rmSync(path, { recursive: true });
        symlinkSync(`${path}-missing`, path);
      },
      /is a link/,
    ],
    [
      'that is a file',
      (path) => {
        rmSync(path, { recursive: true });
        writeFileSync(path, '');
      },
      /ENOTDIR/,
    ],
    ...(isRoot
      ? ([
          ['of another user', (path) => chownSync(path, OTHER_USER, 0), /belongs to user 12345/],
          [
            'that another group can write to',
            (path) => {
              chownSync(path, 0, OTHER_USER);
              chmodSync(path, 0o770);
            },
            /can be written to by group 12345/,
          ],
        ] satisfies (readonly [string, (path: string) => void, RegExp])[])
      : []),
  ];
  it.each(hostile)('refuses a folder %s in one line', (_case, spoil, reason) => {
    spoil(folder);
    const inner = existsSync(join(folder, 'inner')) ? join(folder, 'inner') : folder;
    let message = '';
    try {
      loadFromBytes(bytes, [inner], none);
    } catch (error) {
      message = (error as Error).message;
      expect((error as { code: string }).code).toBe('NO_NATIVE_LIBRARY');
    }
    expect(message).toMatch(reason);
    expect(message).not.toContain('\n');
    expect(message).toContain(folder);
  });

  it('goes on to the next folder where the system does not load from the first', () => {
    const second = join(folder, 'second');
    const loaded = loadFromBytes(bytes, [join(folder, 'first'), second], (path) => {
      if (readlinkSync(path).includes('first')) throw new Error('failed to map segment');
      return 'loaded';
    });
    expect(loaded).toBe('loaded');
  });

  it('tells of every folder why it could not be', () => {
    chmodSync(folder, 0o777);
    const second = `${folder}-second`;
    const load = (): never => {
      throw new Error('failed to map segment');
    };
    expect(() => loadFromBytes(bytes, [folder, second], load)).toThrow(
      new RegExp(
        `^no library .*: ${folder} can be written to by everybody; ${second}: failed to map segment; (?:run as root, or )?make `,
      ),
    );
  });
});

describe('dangerOf', () => {
  it('finds none in a program of the system', () => {
    expect(dangerOf('/usr/bin/env')).toBeNull();
  });

  it('finds it in whatever is in the folder for temporary files', () => {
    expect(dangerOf(join(tmpdir(), 'nothing-of-this-name'))).toMatch(/does not exist$/);
    expect(dangerOf('/tmp')).toBe('/tmp can be written to by everybody');
  });
});
