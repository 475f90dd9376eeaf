// What is refused without and what is only said.

import { expect, it } from 'vitest';
import { linesOf } from '../../test/log-lines.ts';
import type { Capability } from '../kernel/capabilities.ts';
import { reportPrivileges, requireRoot } from './privileges.ts';

const without =
  (...names: readonly Capability[]) =>
  (wanted: readonly Capability[]): Capability[] =>
    wanted.filter((name) => names.includes(name));

it.each<[string, number, readonly Capability[], RegExp | null]>([
  ['everything', 0, [], null],
  ['not root', 1000, [], /^the agent changes kernel state and needs root; /],
  ['no CAP_NET_ADMIN', 0, ['CAP_NET_ADMIN'], /^the agent has no CAP_NET_ADMIN: .*; add NET_ADMIN to /],
  ['no CAP_NET_RAW', 0, ['CAP_NET_RAW'], /^the agent has no CAP_NET_RAW: .*raw socket; add NET_RAW to /],
  ['nothing else', 0, ['CAP_SYS_ADMIN', 'CAP_SYS_MODULE', 'CAP_SYS_RESOURCE'], null],
])('%s', (_row, uid, names, message) => {
  const attempt = (): void => requireRoot(uid, without(...names));
  if (message === null) expect(attempt).not.toThrow();
  else
    expect(attempt).toThrow(
      expect.objectContaining({ code: 'MISSING_PRIVILEGE', message: expect.stringMatching(message) }),
    );
});

it('says in one line what the agent does without', () => {
  const { log, lines } = linesOf();
  reportPrivileges(log, without());
  reportPrivileges(log, without('CAP_SYS_RESOURCE', 'CAP_SYS_ADMIN'));
  expect(lines).toEqual([
    expect.stringMatching(
      /^I Running without some capabilities, which is fine missing=CAP_SYS_ADMIN,CAP_SYS_RESOURCE effect=what .*; oomScoreAdj cannot be lowered$/,
    ),
  ]);
});
