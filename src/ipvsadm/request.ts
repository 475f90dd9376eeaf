// What one command line asks for, once it is known to be valid. Types only.

import type { IpvsOperation } from '../kernel/ipvs.ts';
import type { ServiceKey } from '../kernel/ipvs-codec.ts';

/** How a listing looks: the style with the highest precedence that was asked for. */
export type ListStyle = 'default' | 'stats' | 'rate' | 'thresholds' | 'persistent-conn' | 'tun-info';

export interface ListFormat {
  readonly style: ListStyle;
  /** Addresses and ports as numbers, not names. */
  readonly isNumeric: boolean;
  /** Large numbers in full. */
  readonly isExact: boolean;
  /** In the kernel's order. */
  readonly isUnsorted: boolean;
  readonly isJson: boolean;
}

export type ListTarget = 'table' | 'connections' | 'timeouts' | 'daemons';

export type Request =
  | { readonly kind: 'operation'; readonly operation: IpvsOperation }
  | {
      readonly kind: 'list';
      readonly target: ListTarget;
      /** Only this service; null = all. */
      readonly service: ServiceKey | null;
      readonly format: ListFormat;
    }
  | { readonly kind: 'save'; readonly isNumeric: boolean; readonly isCompatible: boolean }
  | { readonly kind: 'restore' }
  | { readonly kind: 'help' }
  | { readonly kind: 'version' };

/** A command line that is refused: what goes to standard error, the exit code, and whether -R ends there. */
export interface Refusal {
  readonly kind: 'refused';
  readonly text: string;
  readonly exitCode: number;
  readonly endsRestore: boolean;
}
