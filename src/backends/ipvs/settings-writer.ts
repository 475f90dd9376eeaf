// Writes what the settings want of the kernel beside Services, switches and connection timeouts: at the start and when the settings changed,
// not on the path of every change.

import { PointsmanError } from '../../model/errors.ts';
import type { Failures } from './failures.ts';
import type { IpvsKernelPort } from './port.ts';
import type { IpvsSettings } from './settings.ts';
import type { SwitchKeeper } from './switch-keeper.ts';
import { applyTimeouts } from './switches.ts';

/** The name of the connection timeouts among the failures. */
const TIMEOUTS = 'connection timeouts';

export class SettingsWriter {
  private readonly port: IpvsKernelPort;
  private readonly failures: Failures;
  private readonly settings: () => IpvsSettings;
  private readonly switches: Pick<SwitchKeeper, 'apply'>;
  private areSwitchesDue = true;
  private areTimeoutsDue = true;

  constructor(
    port: IpvsKernelPort,
    failures: Failures,
    settings: () => IpvsSettings,
    switches: Pick<SwitchKeeper, 'apply'>,
  ) {
    this.port = port;
    this.failures = failures;
    this.settings = settings;
    this.switches = switches;
  }

  /** The settings changed, or nobody knows what the kernel has: all is written by the next `apply`. */
  setDue(): void {
    this.areSwitchesDue = true;
    this.areTimeoutsDue = true;
  }

  /**
   * Writes what is due and differs; returns the number of writes. Throws the refusal of a switch that is needed; refused timeouts are a failure of the
   * node and stay due.
   */
  async apply(): Promise<number> {
    let writes = 0;
    if (this.areSwitchesDue) {
      writes += this.switches.apply();
      this.areSwitchesDue = false;
    }
    if (!this.areTimeoutsDue) return writes;
    // Before it is awaited: new settings that come meanwhile make them due again.
    this.areTimeoutsDue = false;
    try {
      writes += await applyTimeouts(this.port, this.settings().timeouts);
      this.failures.settleNode(TIMEOUTS);
    } catch (error) {
      if (!(error instanceof PointsmanError)) throw error;
      // Connections live longer or shorter than they should; Services are served all the same.
      this.areTimeoutsDue = true;
      this.failures.noteNode(TIMEOUTS, error);
    }
    return writes;
  }
}
