// A gate that opens once.

import { expect, it } from 'vitest';
import { settled } from '../../test/fake-timers.ts';
import { linesOf } from '../../test/log-lines.ts';
import { NodeGate } from './node-gate.ts';

it('opens when nothing is awaited any more, says what is, once each, and stays open', async () => {
  const { log, lines } = linesOf();
  const gate = new NodeGate(log);
  let isOpen = false;
  void gate.opened.then(() => (isOpen = true));
  for (const awaited of ['node n1 to exist', 'node n1 to exist', 'PodCIDR allocation on node n1']) {
    gate.update(awaited);
    expect(gate.awaited).toBe(awaited);
  }
  await settled();
  expect(isOpen).toBe(false);
  gate.update('');
  await settled();
  expect(isOpen).toBe(true);
  gate.update('node n1 to exist');
  expect(gate.awaited).toBe('');
  expect(lines).toEqual(
    ['node n1 to exist', 'PodCIDR allocation on node n1'].map(
      (awaited) =>
        `W Nothing is programmed before this node is known; what is in the kernel stays awaited=${awaited}`,
    ),
  );
});
