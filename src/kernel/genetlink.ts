// Generic netlink: finds the number of a family by its name. The numbers are given out by each kernel as families register.
// Source: include/uapi/linux/genetlink.h.

import { PointsmanError } from '../model/errors.ts';
import { ENOENT, errnoName } from './libc.ts';
import type { NetlinkSocket } from './netlink.ts';
import { AttributeTable, type MessageWriter } from './wire.ts';

export const NETLINK_GENERIC = 16;
export const GENL_HEADER_BYTES = 4;
const GENL_ID_CTRL = 0x10;
const CTRL_CMD_GETFAMILY = 3;
const CTRL_ATTR_FAMILY_ID = 1;
const CTRL_ATTR_FAMILY_NAME = 2;

/** Writes the generic netlink header: u8 cmd | u8 version | u16 reserved. */
export function writeGenlHeader(writer: MessageWriter, command: number, version: number): void {
  writer.u8(command);
  writer.u8(version);
  writer.u16(0);
}

/**
 * The family's number, or null when the kernel does not know it; asking makes the kernel try to load its module.
 * Throws KERNEL_REFUSED for any other errno.
 */
export function resolveFamily(socket: NetlinkSocket, name: string): number | null {
  const writer = socket.begin(GENL_ID_CTRL, 0);
  writeGenlHeader(writer, CTRL_CMD_GETFAMILY, 1);
  writer.attrString(CTRL_ATTR_FAMILY_NAME, name);
  socket.end();
  const attributes = new AttributeTable('generic netlink family', 8);
  let id: number | null = null;
  const failure = socket.request(({ bytes, header }) => {
    attributes.parse(bytes, header.payloadStart + GENL_HEADER_BYTES, header.payloadEnd);
    id = attributes.u16(CTRL_ATTR_FAMILY_ID);
  });
  if (failure === undefined) return id;
  if (failure.errno === ENOENT) return null;
  throw new PointsmanError(
    'KERNEL_REFUSED',
    `cannot look up the netlink family ${name}: ${errnoName(failure.errno)}`,
    {
      family: name,
      errno: failure.errno,
    },
  );
}
