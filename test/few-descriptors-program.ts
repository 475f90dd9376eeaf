// A health server in a process with few descriptors, for a test: says where it listens, and what it logs. Ends when its input ends.

import { NODE_TIMERS } from '../src/daemon/node-timers.ts';
import { openLog } from '../src/daemon/log.ts';
import { textAnswer } from '../src/http/answer.ts';
import { HEALTH_LIMITS } from '../src/http/health-server.ts';
import { TcpServer } from '../src/http/tcp-server.ts';
import type { IpAddress } from '../src/model/ip.ts';

const server = new TcpServer({
  ...{ title: 'Healthz server', address: { address: '127.0.0.1' as IpAddress, port: 0 } },
  ...{ onBindFailure: 'fail', answerer: () => textAnswer(200, 'ok'), limits: HEALTH_LIMITS },
  ...{ timers: NODE_TIMERS },
  log: openLog({
    write: (line) => process.stdout.write(`${line}\n`),
    now: () => new Date(),
    pid: process.pid,
  }),
});
await server.start();
process.stdout.write(`port ${server.bound?.port ?? 0};\n`);
process.stdin.on('end', () => void server.close());
process.stdin.resume();
