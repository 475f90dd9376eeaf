// The nf_tables client, as far as tables as a whole go: whether one exists, and deleting it with all that is in it, in one transaction
// and without a child process. Sources: include/uapi/linux/netfilter/nf_tables.h, nfnetlink.h; net/netfilter/nfnetlink.c (batches).

import { PointsmanError } from '../model/errors.ts';
import type { Family } from '../model/ip.ts';
import { EINVAL, ENOENT, EOPNOTSUPP, EPERM } from './libc.ts';
import { kernelError, NetlinkSocket, NLM_F_REQUEST, type BatchFailure } from './netlink.ts';
import { openTransport, type NetlinkTransport } from './netlink-transport.ts';
import {
  addressFamilyOf,
  AF_UNSPEC,
  NETLINK_NETFILTER,
  nfnetlinkType,
  SUBSYSTEM,
  writeNfgenmsg,
} from './nfnetlink.ts';

const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
const NFT_MSG_GETTABLE = 1;
const NFT_MSG_DELTABLE = 2;
const NFTA_TABLE_NAME = 1;

/** A client of nf_tables in this thread's network namespace. */
export class NftablesClient {
  private readonly socket: NetlinkSocket;

  private constructor(socket: NetlinkSocket) {
    this.socket = socket;
  }

  /** Opens the socket. `open` is for tests that stand in for the kernel. */
  static open(open: () => NetlinkTransport = () => openTransport(NETLINK_NETFILTER)): NftablesClient {
    return new NftablesClient(new NetlinkSocket(open()));
  }

  close(): void {
    this.socket.close();
  }

  /**
   * True when the family (nft's "ip" or "ip6") has a table of this name. Throws MISSING_MODULE when the kernel has no nf_tables (asking
   * makes it try to load the module), KernelError for any other refusal.
   */
  hasTable(family: Family, name: string): boolean {
    const writer = this.socket.begin(nfnetlinkType(SUBSYSTEM.NFTABLES, NFT_MSG_GETTABLE), 0);
    writeNfgenmsg(writer, addressFamilyOf(family));
    writer.attrString(NFTA_TABLE_NAME, name);
    this.socket.end();
    const failure = this.socket.request(() => {});
    if (failure === undefined) return true;
    if (failure.errno === ENOENT) return false;
    throw refused('NFT_MSG_GETTABLE', family, name, failure);
  }

  /**
   * Deletes a table with its chains, rules, sets and maps, all at one moment; false when it was not there. Throws KernelError (EPERM also
   * for a table that a running program owns).
   */
  deleteTable(family: Family, name: string): boolean {
    this.writeMarker(NFNL_MSG_BATCH_BEGIN);
    this.socket.end();
    const writer = this.socket.begin(nfnetlinkType(SUBSYSTEM.NFTABLES, NFT_MSG_DELTABLE), 0);
    writeNfgenmsg(writer, addressFamilyOf(family));
    writer.attrString(NFTA_TABLE_NAME, name);
    this.socket.end();
    // Behind the last request and outside of its numbering: most kernels acknowledge everything of a transaction but its end.
    writer.begin(NFNL_MSG_BATCH_END, NLM_F_REQUEST, 0);
    writeMarkerBody(writer);
    writer.end();
    const failure = this.socket.flush()[0];
    if (failure === undefined) return true;
    if (failure.errno === ENOENT) return false;
    throw refused('NFT_MSG_DELTABLE', family, name, failure);
  }

  private writeMarker(type: number): void {
    writeMarkerBody(this.socket.begin(type, 0));
  }
}

/** struct nfgenmsg whose res_id names the subsystem of the transaction. */
function writeMarkerBody(writer: NetlinkSocket['writer']): void {
  writer.u8(AF_UNSPEC);
  writer.u8(0);
  writer.u16Be(SUBSYSTEM.NFTABLES);
}

function refused(operation: string, family: Family, name: string, failure: BatchFailure): PointsmanError {
  // nfnetlink answers EINVAL or EOPNOTSUPP for a subsystem without a module.
  if (failure.errno === EINVAL || failure.errno === EOPNOTSUPP)
    return new PointsmanError('MISSING_MODULE', 'this kernel has no nf_tables; load module nf_tables', {
      module: 'nf_tables',
    });
  const hint =
    failure.errno === EPERM ? 'run as root with CAP_NET_ADMIN; a table that is owned by a program stays' : '';
  return kernelError(operation, `${family === 'IPv4' ? 'ip' : 'ip6'} ${name}`, failure, hint);
}
