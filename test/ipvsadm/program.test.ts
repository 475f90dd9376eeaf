// bin/pointsman-ipvsadm as a shell calls it, under the original's names, with real streams and exit codes, in a guest.

import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { ipvsKernel } from '../../lab/boot.ts';

const BIN = fileURLToPath(new URL('../../bin', import.meta.url));
const SCRIPT = fileURLToPath(new URL('program.sh', import.meta.url));
const unavailable = ipvsKernel.probe();

const HEADER = `IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn
`;

describe.skipIf(unavailable !== null)(
  `the programs in a guest${unavailable === null ? '' : ` (skipped: ${unavailable})`}`,
  () => {
    /** What each part printed, its exit code in the last line. */
    const said = new Map<string, string>();

    beforeAll(async () => {
      const guest = await ipvsKernel.boot({
        program: ['/bin/bash', SCRIPT, BIN],
        env: { POINTSMAN_FROM_SOURCE: '1' },
      });
      for (const part of guest.stdout.split('== ').slice(1)) {
        const end = part.indexOf('\n');
        said.set(part.slice(0, end), part.slice(end + 1));
      }
      if (guest.exitCode !== 0) throw new Error(`the guest ended with ${guest.exitCode}: ${guest.stderr}`);
    });

    it('restore under the name ipvsadm-restore: the table is cleared first, comments are passed over', () => {
      expect(said.get('restore')).toBe('exit 0\n');
      expect(said.get('original')).toBe(
        '-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.0.1.1:8080 -m -w 1\nexit 0\n',
      );
    });

    it('save under the name ipvsadm-save, thresholds too, but not with --compat', () => {
      expect(said.get('save')).toBe(
        '-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.0.1.1:8080 -m -w 1 -x 9 -y 5\nexit 0\n',
      );
      expect(said.get('compatible')).toBe(said.get('original'));
    });

    it('list as the original does, also as a command of pointsman', () => {
      expect(said.get('list')).toBe(said.get('original list'));
      expect(said.get('list')).toContain(HEADER);
    });

    it('find no difference to the file that was restored', () => {
      expect(said.get('diff')).toBe('exit 0\n');
    });

    it('tell what the kernel refuses, and that CAP_NET_ADMIN is missing', () => {
      expect(said.get('refused')).toBe('Service already exists\nexit 255\n');
      expect(said.get('forbidden')).toMatch(/^Can't initialize ipvs: Permission denied .*\n.*\nexit 2\n$/);
      expect(said.get('forbidden')).toBe(said.get('original forbidden'));
    });

    it('end quietly when nobody reads on', () => {
      expect(said.get('no reader')).toMatch(/^IP Virtual Server version 1\.2\.1 \(size=4096\)\nexit \d+\n$/);
    });
  },
);
