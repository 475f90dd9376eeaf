import { beforeAll, describe, expect, it } from 'vitest';
import { ipvsKernel, runInGuest } from '../../lab/boot.ts';
import { IPVS_SCENARIOS } from '../fixtures/netlink/ipvs-scenarios.ts';
import { recording, type Recording } from '../fixtures/netlink/replay.ts';

const reason = ipvsKernel.probe();

describe.skipIf(reason !== null)(
  `the IPVS client on a real kernel${reason === null ? '' : ` (skipped: ${reason})`}`,
  () => {
    let live: readonly Recording[] = [];

    beforeAll(async () => {
      const guest = await runInGuest(new URL('../fixtures/netlink/record.ts', import.meta.url), []);
      const json = guest.files.get('ipvs.json');
      if (json === undefined)
        throw new Error(`the guest did not finish (exit ${guest.exitCode}):\n${guest.stderr}`);
      live = JSON.parse(json.toString()) as Recording[];
    });

    it.each(IPVS_SCENARIOS.map(({ name }) => name))(
      '%s: ipvsadm prints what it printed when it was recorded',
      (name) => {
        const output = live.find((each) => each.name === name)?.output;
        expect(output).toBe(recording(name).output);
      },
    );
  },
);
