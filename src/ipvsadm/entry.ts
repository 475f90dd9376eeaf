// What a command line has said so far: one method per option, each with the checks that the original makes while it reads. The order of
// options matters where it does there (-M before an IPv6 address is an IPv4 mask). Pure but for the name service it is given.

import type { DaemonRole, IpvsTimeouts } from '../kernel/ipvs-daemon-codec.ts';
import {
  SCHEDULER_FLAG_BITS,
  fullNetmask,
  PROTOCOL_NUMBER,
  SERVICE_FLAG,
  TUNNEL_TYPES,
  type ForwardingMethod,
  type TunnelType,
} from '../kernel/ipvs-codec.ts';
import type { NameService } from '../kernel/name-service.ts';
import type { Family, IpAddress } from '../model/ip.ts';
import { parseEndpoint } from './endpoint-text.ts';
import {
  DEFAULT_PERSISTENCE_SECONDS,
  MAX_TIMEOUT_SECONDS,
  SCHEDULER_FLAG_NAMES,
  type CommandName,
  type OptionName,
  type OurOptionName,
} from './grammar.ts';
import { fail } from './refusal.ts';
import {
  atoiUnsigned,
  cutToBytes,
  formatIpv4Number,
  inetAton,
  inetPton4,
  inetPton6,
  parseFlags,
  parseNumber,
} from './values.ts';

/** Names in the kernel's structures have room for 15 bytes. */
const MAX_NAME_BYTES = 15;
/** The original keeps this much of -b. */
const MAX_FLAGS_LENGTH = 127;
const INT_MAX = 0x7fffffff;
const TUNNEL_FLAG = { 'tun-nocsum': 0, 'tun-csum': 1, 'tun-remcsum': 2 } as const;

const DAEMON_NUMBERS = {
  'mcast-port': { field: 'multicastPort', min: 1, max: 65535 },
  'mcast-ttl': { field: 'multicastTtl', min: 1, max: 255 },
  'sync-maxlen': { field: 'maxLengthBytes', min: 1, max: 65535 - 20 - 8 },
  syncid: { field: 'syncId', min: 0, max: 255 },
} as const;

export interface DaemonEntry {
  role: DaemonRole;
  interfaceName: string;
  syncId: number;
  maxLengthBytes: number | undefined;
  multicastGroup: IpAddress | undefined;
  multicastPort: number | undefined;
  multicastTtl: number | undefined;
}

/** The state while one command line is read. Every method throws Refused for what the original refuses. */
export class Entry {
  readonly command: CommandName;
  /** A handful at most: a restore makes one of these per line, and sets would cost more than they find. */
  readonly options: OptionName[] = [];
  readonly ours: OurOptionName[] = [];
  readonly service = {
    family: 'IPv4' as Family,
    protocol: 0,
    address: '0.0.0.0' as IpAddress,
    port: 0,
    fwmark: 0,
    scheduler: '',
    flags: 0,
    timeoutSeconds: 0,
    netmask: 0xffffffff,
    persistenceEngine: '',
  };
  readonly destination = {
    address: '0.0.0.0' as IpAddress,
    port: 0,
    forwarding: 'directRoute' as ForwardingMethod,
    weight: 1,
    upperThreshold: 0,
    lowerThreshold: 0,
    tunnelType: 'ipip' as TunnelType,
    tunnelPort: 0,
    tunnelFlags: 0,
  };
  timeouts: IpvsTimeouts | null = null;
  private readonly names: NameService;
  private daemonEntry: DaemonEntry | null = null;
  private schedulerFlags: string | null = null;
  private allFlags: number | null = null;

  constructor(command: CommandName, names: NameService) {
    this.command = command;
    this.names = names;
  }

  /** What was said of a synchronisation daemon; made when it is first asked for. */
  get daemon(): DaemonEntry {
    this.daemonEntry ??= {
      role: 'master',
      interfaceName: '',
      syncId: 0,
      maxLengthBytes: undefined,
      multicastGroup: undefined,
      multicastPort: undefined,
      multicastTtl: undefined,
    };
    return this.daemonEntry;
  }

  /** Notes an option; each may stand once. */
  mark(option: OptionName): void {
    if (this.options.includes(option)) throw fail(`multiple '${option}' options specified`);
    this.options.push(option);
  }

  /** Notes an option of ours, which goes with some commands only. */
  markOurs(option: OurOptionName, commands: readonly CommandName[]): void {
    if (this.ours.includes(option)) throw fail(`multiple '${option}' options specified`);
    if (!commands.includes(this.command))
      throw fail(`Illegal '${option}' option with the '${this.command}' command`);
    this.ours.push(option);
  }

  setService(protocol: number, text: string): void {
    this.mark('service-address');
    this.service.protocol = protocol;
    const endpoint = parseEndpoint(text, protocol, this.names);
    if (endpoint === null) throw fail('illegal virtual server address[:port] specified');
    this.service.address = endpoint.address;
    this.service.port = endpoint.port ?? 0;
    this.service.family = endpoint.address.includes(':') ? 'IPv6' : 'IPv4';
    if (this.service.family === 'IPv6') this.service.netmask = fullNetmask('IPv6');
  }

  /** "47,10.0.0.1:0": a service over a protocol that has no option. */
  setOtherService(text: string): void {
    const comma = text.indexOf(',');
    const protocol = parseNumber(text.slice(0, Math.max(comma, 0)), 0, 65535);
    if (protocol === null) throw fail(`illegal protocol-service \`${text}' specified`);
    this.setService(protocol, text.slice(comma + 1));
  }

  setFwmark(text: string): void {
    this.mark('service-address');
    const mark = parseNumber(text, 1, 0xffffffff);
    if (mark === null) throw fail(`invalid fwmark value \`${text}' specified`);
    this.service.fwmark = mark;
    // A mark has no protocol of its own; the names of ports behind it are those of TCP.
    this.service.protocol = PROTOCOL_NUMBER.TCP;
  }

  setIpv6(): void {
    // The original's text ends with a line feed of its own.
    if (this.service.fwmark === 0) throw fail('-6 used before -f\n');
    this.service.family = 'IPv6';
    this.service.netmask = fullNetmask('IPv6');
  }

  setScheduler(text: string): void {
    this.mark('scheduler');
    this.service.scheduler = cutToBytes(text, MAX_NAME_BYTES);
  }

  setPersistent(text: string | null): void {
    this.mark('persistent');
    this.service.flags |= SERVICE_FLAG.PERSISTENT;
    if (text === null) {
      this.service.timeoutSeconds = DEFAULT_PERSISTENCE_SECONDS;
      return;
    }
    const seconds = parseNumber(text, 1, MAX_TIMEOUT_SECONDS);
    if (seconds === null) throw fail(`invalid timeout value \`${text}' specified`);
    this.service.timeoutSeconds = seconds;
  }

  setNetmask(text: string): void {
    this.mark('netmask');
    if (this.service.family === 'IPv6') {
      this.service.netmask = atoiUnsigned(text);
      if (this.service.netmask < 1 || this.service.netmask > 128)
        throw fail('illegal ipv6 netmask specified');
      return;
    }
    const address = inetAton(text) ?? inetAton(this.names.addressOfHost(text) ?? '');
    if (address === null) throw fail('illegal virtual server persistent mask specified');
    this.service.netmask = address;
  }

  setPersistenceEngine(text: string): void {
    this.mark('pe');
    this.service.persistenceEngine = cutToBytes(text, MAX_NAME_BYTES);
  }

  setOnePacket(): void {
    this.mark('ops');
    this.service.flags |= SERVICE_FLAG.ONEPACKET;
  }

  /** Kept until the scheduler is known, whichever comes first. */
  setSchedulerFlags(text: string): void {
    this.mark('sched-flags');
    this.schedulerFlags = text.slice(0, MAX_FLAGS_LENGTH);
  }

  setFlags(text: string): void {
    this.markOurs('flags', ['add-service', 'edit-service']);
    this.allFlags = parseFlags(text, 0xffffffff);
    if (this.allFlags === null) throw fail(`illegal flags \`${text}' specified`);
  }

  /** Reads the flags of -b for the scheduler of -s. Without any flag in it the original crashes; here nothing is set. */
  finishSchedulerFlags(): void {
    if (this.schedulerFlags === null && this.allFlags === null) return;
    for (const name of (this.schedulerFlags ?? '').split(',')) {
      if (name !== '') this.service.flags |= this.schedulerFlagBit(name);
    }
    if (this.allFlags !== null) this.service.flags = this.allFlags;
  }

  private schedulerFlagBit(name: string): number {
    for (const [scheduler, flagNames] of Object.entries(SCHEDULER_FLAG_NAMES)) {
      const index = flagNames.indexOf(name);
      const bit = SCHEDULER_FLAG_BITS[index];
      if (bit === undefined) continue;
      if (scheduler !== '' && scheduler !== this.service.scheduler)
        throw fail(`incompatible scheduler flag \`${name}'`);
      return bit;
    }
    throw fail(`invalid scheduler flag \`${name}'`);
  }

  setServer(text: string): void {
    this.mark('real-server');
    const endpoint = parseEndpoint(text, this.service.protocol, this.names);
    if (endpoint === null) throw fail('illegal real server address[:port] specified');
    this.destination.address = endpoint.address;
    this.destination.port = endpoint.port ?? this.service.port;
  }

  setForwarding(method: ForwardingMethod): void {
    this.mark('forwarding-method');
    this.destination.forwarding = method;
  }

  setOtherForwarding(text: string): void {
    if (text !== 'local' && text !== 'bypass') throw fail(`illegal forwarding method \`${text}' specified`);
    this.setForwarding(text === 'local' ? 'localnode' : 'bypass');
  }

  setKeepPort(): void {
    this.markOurs('keep-port', ['add-server', 'edit-server']);
  }

  setWeight(text: string): void {
    this.mark('weight');
    const weight = parseNumber(text, 0, INT_MAX);
    if (weight === null) throw fail('illegal weight specified');
    this.destination.weight = weight;
  }

  setThreshold(which: 'upper' | 'lower', text: string): void {
    const letter = which === 'upper' ? 'u' : 'l';
    this.mark(`${letter}-threshold`);
    const threshold = parseNumber(text, 0, INT_MAX);
    if (threshold === null) throw fail(`illegal ${letter}_threshold specified`);
    this.destination[`${which}Threshold`] = threshold;
  }

  setTunnelType(text: string): void {
    this.mark('tun-type');
    const type = TUNNEL_TYPES.find((each) => each === text);
    if (type === undefined) throw fail('illegal tunnel type specified');
    this.destination.tunnelType = type;
  }

  setTunnelPort(text: string): void {
    this.mark('tun-port');
    const port = parseNumber(text, 1, 65535);
    if (port === null) throw fail('illegal tunnel port specified');
    this.destination.tunnelPort = port;
  }

  setTunnelChecksum(option: keyof typeof TUNNEL_FLAG): void {
    this.mark(option);
    this.destination.tunnelFlags |= TUNNEL_FLAG[option];
  }

  setTunnelFlags(text: string): void {
    this.markOurs('tun-flags', ['add-server', 'edit-server']);
    const flags = parseFlags(text, 0xffff);
    if (flags === null) throw fail(`illegal tunnel flags \`${text}' specified`);
    this.destination.tunnelFlags = flags;
  }

  setMulticastInterface(text: string): void {
    this.mark('mcast-interface');
    this.daemon.interfaceName = cutToBytes(text, MAX_NAME_BYTES);
  }

  setMulticastGroup(text: string): void {
    this.mark('mcast-group');
    if (text.includes(':')) {
      const group = inetPton6(text);
      if (group === null || !/^ff[0-9a-f]{2}:/.test(group)) throw fail(`invalid IPv6 mcast-group \`${text}'`);
      this.daemon.multicastGroup = group;
      return;
    }
    const group = inetPton4(text);
    if (group === null || group >>> 28 !== 14) throw fail(`invalid IPv4 mcast-group \`${text}'`);
    this.daemon.multicastGroup = formatIpv4Number(group);
  }

  setMulticastNumber(option: keyof typeof DAEMON_NUMBERS, text: string): void {
    this.mark(option);
    const { field, min, max } = DAEMON_NUMBERS[option];
    const value = parseNumber(text, min, max);
    if (value === null) throw fail(`illegal ${option} specified`);
    this.daemon[field] = value;
  }
}
