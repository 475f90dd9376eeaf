// The recording port: reads come from the kernel behind it, the growth of a set is written down and not made.

import { describe, expect, it } from 'vitest';
import type { IpvsService } from '../../kernel/ipvs-codec.ts';
import type { SetHeader } from './port.ts';
import { EMPTY_KERNEL, RecordingPort } from './recording-port.ts';

const header: SetHeader = { type: 'hash:ip', family: 'IPv4', members: 3, maxMembers: 65_536 };
const service: IpvsService = {
  family: 'IPv4',
  fwmark: 7,
  scheduler: 'rr',
  flags: 0,
  timeoutSeconds: 0,
  netmask: 0xffffffff,
};

async function gather<T>(pieces: AsyncIterable<readonly T[]>): Promise<T[]> {
  const all: T[] = [];
  for await (const piece of pieces) all.push(...piece);
  return all;
}

describe('the recording port', () => {
  it('reads headers, pieces and fingerprints from its kernel', async () => {
    const port = new RecordingPort({
      ...EMPTY_KERNEL,
      setHeaders: async () => new Map([['S', header]]),
      async *servicePieces() {
        yield [service];
        yield [service, service];
      },
      rulesFingerprint: (family) => `of ${family}`,
    });
    expect(await port.setHeaders()).toEqual(new Map([['S', header]]));
    expect(await gather(port.servicePieces())).toEqual([service, service, service]);
    expect(port.rulesFingerprint('IPv6')).toBe('of IPv6');
    expect(port.writes).toEqual([]);
  });

  it('finds nothing on an empty kernel', async () => {
    const port = new RecordingPort(EMPTY_KERNEL);
    expect(await port.setHeaders()).toEqual(new Map());
    expect(await gather(port.servicePieces())).toEqual([]);
    expect(port.rulesFingerprint('IPv4')).toBeNull();
  });

  it('writes down that a set would grow, under its name in the kernel', async () => {
    const port = new RecordingPort(EMPTY_KERNEL);
    await port.growSet('KUBE-LOOP-BACK', 'IPv6', 131_072);
    expect(port.writes).toEqual([
      { kind: 'set', action: 'change', object: 'KUBE-6-LOOP-BACK', detail: 'room for 131072' },
    ]);
  });
});
