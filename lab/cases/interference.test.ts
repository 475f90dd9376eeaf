import { beforeAll, describe, expect, it } from 'vitest';
import { ipvsKernel, runInGuest } from '../boot.ts';

interface Results {
  readonly repairedMs: Readonly<Record<string, number | null>>;
  readonly difference: string;
  readonly text: string;
  readonly status: { readonly repairs: { readonly total: number; readonly byKind: Record<string, number> } };
  readonly metrics: string;
  readonly others: readonly boolean[];
  readonly log: string;
}

const INTERFERENCES = [
  'an address',
  'the link',
  'the rules of a chain',
  'a rule',
  'a jump',
  'members of a set',
  'a member too many',
  'a kernel switch',
];

const missing = ipvsKernel.probe();

describe.skipIf(missing !== null)('a running agent with which somebody interferes', () => {
  let results: Results;
  beforeAll(async () => {
    const guest = await runInGuest(new URL('./interference.ts', import.meta.url), [], {
      memoryMb: 1024,
    });
    const found = guest.files.get('result.json');
    if (guest.exitCode !== 0 || found === undefined)
      throw new Error(`the guest ended with ${guest.exitCode}: ${guest.stderr.slice(-3000)}`);
    results = JSON.parse(found.toString()) as Results;
  });

  it.each(INTERFERENCES)('puts right %s', (what) => {
    expect(results.repairedMs[what], results.log).not.toBeNull();
    expect(results.repairedMs[what]).toBeDefined();
  });

  it('leaves everything as it was', () => {
    expect(results.difference).toBe('');
  });

  it('counts and shows what it put right, and logs each object once', () => {
    const { byKind } = results.status.repairs;
    expect(byKind).toMatchObject({ link: 1, rules: 3, switch: 1 });
    expect(byKind['address']).toBeGreaterThanOrEqual(1);
    expect(byKind['member']).toBeGreaterThanOrEqual(2);
    expect(results.text).toContain('Put right after somebody else changed it:');
    expect(results.metrics).toMatch(/^pointsman_repairs_total\{kind="rules"\} 3$/m);
    expect(results.log.match(/it was put right.*object="rules IPv4"/g)).toHaveLength(1);
    expect(results.log.match(/it was put right.*object="kube-ipvs0"/g)).toHaveLength(1);
  });

  it('leaves alone what others have beside it', () => {
    expect(results.others).toEqual([true, true, true]);
  });
});
