// A server of the recorded session: node session-servers.ts NAME. HTTP on 8080 and UDP on 5300, both answering with its name.
import { createSocket } from 'node:dgram';
import { createServer } from 'node:http';

const [name = ''] = process.argv.slice(2);
createServer((_request, response) => response.end(`${name}\n`)).listen(8080, '::');
const socket = createSocket('udp6');
socket.on('message', (_message, { port, address }) => socket.send(name, port, address));
socket.bind(5300);
