// Reads unit files as systemd.syntax(7) says: sections, keys that may repeat, lines that go on after a backslash.

/** Values by section and key: "Service" "ExecStart"; several where a key repeats. */
export type Unit = ReadonlyMap<string, ReadonlyMap<string, readonly string[]>>;

/** The keys that the units of this project and those in examples/ may have, from systemd.unit(5), .service(5), .exec(5), .kill(5). */
const KEYS: Readonly<Record<string, readonly string[]>> = {
  Unit: ['Description', 'Documentation', 'After', 'Wants', 'StartLimitIntervalSec'],
  Service:
    `Type ExecStart Restart RestartSec KillMode TimeoutStopSec LimitNOFILE OOMScoreAdjust RuntimeDirectory RuntimeDirectoryMode
    RuntimeDirectoryPreserve StateDirectory StateDirectoryMode WorkingDirectory UMask CapabilityBoundingSet AmbientCapabilities NoNewPrivileges ProtectSystem ReadWritePaths
    ProtectHome PrivateTmp PrivateDevices ProtectClock ProtectControlGroups ProtectHostname ProtectKernelLogs LockPersonality
    RestrictRealtime RestrictSUIDSGID SystemCallArchitectures RestrictNamespaces RestrictAddressFamilies`.split(
      /\s+/,
    ),
  Install: ['WantedBy'],
};

/** Throws Error at a line that is none, and at a section or key that is not known. */
export function parseUnit(text: string): Unit {
  const sections = new Map<string, Map<string, string[]>>();
  let keys: Map<string, string[]> | undefined;
  let section = '';
  // A comment between continued lines is passed over, as systemd does.
  const lines = text
    .replaceAll(/^\s*[#;].*\n/gm, '')
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n');
  for (const line of lines) {
    if (line.trim() === '') continue;
    const title = /^\[(\w+)\]$/.exec(line)?.[1];
    if (title !== undefined) {
      if (KEYS[title] === undefined) throw new Error(`no such section: ${line}`);
      section = title;
      keys = sections.get(title) ?? new Map<string, string[]>();
      sections.set(title, keys);
      continue;
    }
    const [, key = '', value = ''] = /^([A-Za-z]+)=(.*)$/.exec(line) ?? [];
    if (keys === undefined || KEYS[section]?.includes(key) !== true) throw new Error(`no such key: ${line}`);
    keys.set(key, [...(keys.get(key) ?? []), value.trim()]);
  }
  return sections;
}

/** The one value of a key. Throws Error when there is none, or more than one. */
export function valueOf(unit: Unit, section: string, key: string): string {
  const [value, ...others] = unit.get(section)?.get(key) ?? [];
  if (value === undefined || others.length > 0) throw new Error(`${section}.${key}: not exactly one value`);
  return value;
}

/** The words of ExecStart. Only for units that need no quotes. */
export function commandOf(unit: Unit): string[] {
  return valueOf(unit, 'Service', 'ExecStart').split(/\s+/);
}
