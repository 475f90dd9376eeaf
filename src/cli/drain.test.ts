import { describe, expect, it } from 'vitest';
import { drainCommand, formatDrains } from './drain.ts';

const SERVER = {
  virtualServer: 'TCP 10.96.0.1:80',
  service: 'default/web',
  address: '10.244.1.5:8080',
  activeConnections: 3,
  inactiveConnections: 12,
  drainingForSeconds: 40,
  secondsLeft: 860,
};

describe('what drains, as text', () => {
  it('is a table', () => {
    expect(formatDrains({ isEnded: false, servers: [SERVER, { ...SERVER, service: '' }] })).toBe(
      'VIRTUAL SERVER    REAL SERVER      ACTIVE  INACTIVE  SINCE  TIME LEFT  SERVICE\n' +
        'TCP 10.96.0.1:80  10.244.1.5:8080  3       12        40 s   860 s      default/web\n' +
        'TCP 10.96.0.1:80  10.244.1.5:8080  3       12        40 s   860 s      (none any more)\n',
    );
  });

  it('says what was ended, and when there is nothing', () => {
    expect(formatDrains({ isEnded: true, servers: [SERVER] })).toMatch(/\n1 drain ended\.\n$/);
    expect(formatDrains({ isEnded: true, servers: [] })).toBe('Nothing to end.\n');
    expect(formatDrains({ isEnded: false, servers: [] })).toBe('Nothing drains.\n');
  });
});

it('ends nothing that was not named', async () => {
  await expect(
    drainCommand(undefined, { socket: '/nonexistent', output: 'text', end: true }),
  ).rejects.toMatchObject({ code: 'USAGE', message: 'say what is to end: a Service, an address, or all' });
});
