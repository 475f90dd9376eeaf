// The worker thread behind the lab's Traffic: it takes requests, runs servers and clients in any namespace, and answers.
// One thread serves all namespaces, because starting a thread or a process per namespace costs the guest half a second each.
// It must not start processes or use node:net, node:dgram or dns, which make their sockets later, in whatever namespace then.

import { parentPort } from 'node:worker_threads';
import { NetnsSwitch } from './netns-switch.ts';
import { TrafficClients } from './traffic-clients.ts';
import type { TrafficRequest, TrafficResponse } from './traffic-messages.ts';
import { TrafficServers } from './traffic-servers.ts';

if (parentPort === null) throw new Error('traffic-worker.ts runs in a worker thread only');

const netns = new NetnsSwitch();
const servers = new TrafficServers(netns);
const clients = new TrafficClients(netns);

async function perform(
  request: TrafficRequest,
): Promise<Omit<Exclude<TrafficResponse, { error: string }>, 'id'>> {
  // A namespace may have been replaced by another of the same name since the last request.
  netns.goHome();
  switch (request.op) {
    case 'serve':
      for (const server of request.servers) servers.serve(server);
      return {};
    case 'stop':
      servers.stop(request.name);
      return {};
    case 'connect':
      return request.keepOpen
        ? clients.open(request.options)
        : { attempts: await clients.connect(request.options) };
    case 'echo':
      return { attempts: await clients.echo(request.group, request.options) };
    case 'closeGroup':
      clients.closeGroup(request.group, request.isAbort);
      return {};
    case 'close':
      break;
  }
  clients.close();
  servers.close();
  netns.close();
  return {};
}

async function answer(request: TrafficRequest): Promise<void> {
  let response: TrafficResponse;
  try {
    response = { id: request.id, ...(await perform(request)) };
  } catch (error) {
    response = { id: request.id, error: error instanceof Error ? error.message : String(error) };
  }
  parentPort?.postMessage(response);
  if (request.op === 'close') parentPort?.close();
}

parentPort.on('message', (request: TrafficRequest) => {
  void answer(request);
});
