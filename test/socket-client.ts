// A client of a unix socket for tests, in a process of its own: PATH REQUEST. Prints "connected", "error CODE" and "closed: " with what it got.

import { connect } from 'node:net';

const [path = '', request = ''] = process.argv.slice(2);
let got = '';
let isConnected = false;
const socket = connect(path, () => {
  isConnected = true;
  process.stdout.write('connected\n');
  socket.write(request);
});
socket.on('data', (part) => (got += part.toString()));
socket.on('error', (error: NodeJS.ErrnoException) => process.stdout.write(`error ${error.code}\n`));
socket.on('close', () => {
  if (isConnected) process.stdout.write(`closed: ${got}\n`);
});
