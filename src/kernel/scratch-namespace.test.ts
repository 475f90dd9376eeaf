import { spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { whyNoNamespaces } from '../../test/kernel/in-namespace.ts';
import { inScratchNamespace, LOST_NAMESPACE_EXIT_CODE, raiseLoopback } from './scratch-namespace.ts';
import { readSysctl, writeSysctl } from './sysctl.ts';

const MODULE = new URL('./scratch-namespace.ts', import.meta.url).href;
const here = (): string => readlinkSync('/proc/thread-self/ns/net');
const links = (): string[] =>
  [...readFileSync('/proc/thread-self/net/dev', 'utf8').matchAll(/^ *(\S+):/gm)].map(([, name = '']) => name);

/** A Node of its own that runs `script`; ended after 20 s. */
function runNode(script: string, program: readonly string[] = []): SpawnSyncReturns<string> {
  return spawnSync('/usr/bin/env', [...program, process.execPath, '--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 100_000,
    cwd: fileURLToPath(new URL('.', MODULE)),
  });
}

describe.skipIf(whyNoNamespaces !== null)(
  `a scratch namespace${whyNoNamespaces === null ? '' : ` (skipped: ${whyNoNamespaces})`}`,
  () => {
    it('is another, empty one, and gives back what the function returns', () => {
      const before = here();
      const inside = inScratchNamespace(() => ({ namespace: here(), links: links() }));
      expect(inside.namespace).not.toBe(before);
      expect(inside.links).toContain('lo');
      expect(inside.links).not.toContain('eth0');
      expect(here()).toBe(before);
    });

    it('has switches of its own', () => {
      const path = 'net/ipv4/conf/lo/arp_ignore';
      const before = readSysctl(path);
      const inside = inScratchNamespace(() => {
        writeSysctl(path, '8');
        return readSysctl(path);
      });
      expect([inside, readSysctl(path)]).toEqual(['8', before]);
      expect(inScratchNamespace(() => readSysctl(path))).not.toBe('8');
    });

    it('has a loopback that is down until it is raised', () => {
      const addresses = (): string => readFileSync('/proc/thread-self/net/fib_trie', 'utf8');
      const [down, up] = inScratchNamespace(() => {
        const first = addresses();
        raiseLoopback();
        return [first, addresses()];
      });
      expect(down).not.toContain('127.0.0.1');
      expect(up).toContain('127.0.0.1');
    });

    it('is left when the function throws', () => {
      const before = here();
      expect(() =>
        inScratchNamespace(() => {
          throw new Error('from inside');
        }),
      ).toThrow('from inside');
      expect(here()).toBe(before);
    });

    it('takes no asynchronous function', () => {
      const before = here();
      expect(() => inScratchNamespace(async () => {})).toThrow(/only synchronous code/);
      expect(here()).toBe(before);
    });

    it('ends the process with one line when there is no way back', () => {
      const outcome = runNode(`
        import { closeSync, readdirSync, readlinkSync } from 'node:fs';
        const { inScratchNamespace } = await import(${JSON.stringify(MODULE)});
        process.on('exit', () => console.log('an exit handler ran'));
        inScratchNamespace(() => {
          for (const fd of readdirSync('/proc/self/fd')) {
            try { if (readlinkSync('/proc/self/fd/' + fd).startsWith('net:')) closeSync(Number(fd)); } catch {}
          }
        });
        console.log('went on');
      `);
      expect([outcome.status, outcome.stdout]).toEqual([LOST_NAMESPACE_EXIT_CODE, '']);
      expect(outcome.stderr).toBe(
        'pointsman: cannot return from a scratch network namespace (setns: EBADF); ending, start it again\n',
      );
    });

    it.skipIf(!existsSync('/usr/bin/setpriv'))('needs a privilege, and says so', () => {
      const script = `
        const { inScratchNamespace } = await import(${JSON.stringify(MODULE)});
        try { inScratchNamespace(() => console.log('ran')); } catch (error) { console.log(error.code, error.message); }
      `;
      const outcome = runNode(script, ['setpriv', '--bounding-set=-sys_admin', '--inh-caps=-sys_admin']);
      expect(outcome.stdout).toBe(
        'MISSING_PRIVILEGE cannot make a scratch network namespace (unshare: EPERM); run as root with CAP_SYS_ADMIN\n',
      );
    });
  },
);
