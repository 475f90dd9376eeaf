// From one table to another: the operations lead there, are as few as they can be, and tear nothing down that stays.

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { destination, service } from '../../test/ipvsadm-tables.ts';
import { formatServiceKey } from '../kernel/ipvs-codec.ts';
import { formatOperationObject, type IpvsOperation } from '../kernel/ipvs.ts';
import { diffTables, operationsOf } from './difference.ts';
import { RuleTable, serverKey } from './rule-table.ts';

const TIMEOUTS = { tcpSeconds: 900, tcpFinSeconds: 120, udpSeconds: 300 };

/** Few keys, so that two tables share some. */
const table: fc.Arbitrary<RuleTable> = fc
  .array(
    service.chain((each) =>
      fc.tuple(fc.constant(each), fc.array(destination(each.family), { maxLength: 4 })),
    ),
    { maxLength: 6 },
  )
  .map((entries) => {
    const made = new RuleTable();
    for (const [each, servers] of entries) {
      made.apply({ op: 'NEW_SERVICE', service: each });
      for (const server of servers) made.apply({ op: 'NEW_DEST', service: each, destination: server });
    }
    return made;
  });

/** A table, and one that shares part of it. */
const related: fc.Arbitrary<[RuleTable, RuleTable]> = fc
  .tuple(table, table, fc.infiniteStream(fc.boolean()))
  .map(([current, other, coin]) => {
    const wanted = new RuleTable();
    for (const { service: each, servers } of [...other.entries.values(), ...current.entries.values()]) {
      if (coin.next().value) continue;
      wanted.apply({ op: 'NEW_SERVICE', service: each });
      for (const server of servers.values())
        if (coin.next().value) wanted.apply({ op: 'NEW_DEST', service: each, destination: server });
    }
    return [current, wanted];
  });

/** What a table holds, whatever the order of its lines. */
function contentOf({ entries }: RuleTable): unknown {
  return new Map(
    [...entries].map(([key, { service: each, servers }]) => [key, { each, servers: new Map(servers) }]),
  );
}

describe('the operations between two tables', () => {
  it('lead from one to the other without a refusal, and none is left then', () => {
    fc.assert(
      fc.property(related, ([current, wanted]) => {
        const operations = operationsOf(diffTables(current, wanted, TIMEOUTS));
        for (const operation of operations) expect(current.apply(operation)).toBeNull();
        expect(contentOf(current)).toEqual(contentOf(wanted));
        expect(diffTables(current, wanted, TIMEOUTS)).toEqual([]);
      }),
      { numRuns: 1000 },
    );
  });

  it('touch each thing once, delete nothing that stays, and delete last', () => {
    fc.assert(
      fc.property(related, ([current, wanted]) => {
        const operations = operationsOf(diffTables(current, wanted, TIMEOUTS));
        const objects = operations.map(formatOperationObject);
        expect(new Set(objects).size).toBe(objects.length);
        const deletes = operations.map(({ op }) => op === 'DEL_SERVICE' || op === 'DEL_DEST');
        expect(deletes.toSorted()).toEqual(deletes);
        for (const operation of operations) expect(isNeeded(operation, wanted)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  it('set the timeouts that a rule asked for, and only when they differ', () => {
    const wanted = new RuleTable();
    wanted.apply({ op: 'SET_CONFIG', timeouts: { tcpSeconds: 0, tcpFinSeconds: 120, udpSeconds: 300 } });
    expect(operationsOf(diffTables(new RuleTable(), wanted, TIMEOUTS))).toEqual([]);
    wanted.apply({ op: 'SET_CONFIG', timeouts: { tcpSeconds: 9, tcpFinSeconds: 0, udpSeconds: 0 } });
    expect(operationsOf(diffTables(new RuleTable(), wanted, TIMEOUTS))).toEqual([
      { op: 'SET_CONFIG', timeouts: { ...TIMEOUTS, tcpSeconds: 9 } },
    ]);
  });
});

function isNeeded(operation: IpvsOperation, wanted: RuleTable): boolean {
  if (operation.op === 'DEL_SERVICE') return !wanted.entries.has(formatServiceKey(operation.service));
  if (operation.op !== 'DEL_DEST') return true;
  const entry = wanted.entries.get(formatServiceKey(operation.service));
  return entry !== undefined && !entry.servers.has(serverKey(operation.destination));
}
