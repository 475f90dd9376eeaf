// An Event of events.k8s.io/v1 as the agent writes it: what the API demands of a new one, and no more. Types, and the limits of the API.
// Source: k8s.io/api/events/v1 (Event), kubernetes pkg/apis/core/validation/events.go.

/** What an Event is about. */
export interface EventReference {
  readonly kind: string;
  /** Only of what is in a namespace; then the Event is in the same one. */
  readonly namespace?: string;
  readonly name: string;
  readonly uid?: string;
  readonly apiVersion: string;
}

/** One Event, ready to be sent. */
export interface ApiEvent {
  readonly apiVersion: 'events.k8s.io/v1';
  readonly kind: 'Event';
  readonly metadata: { readonly name: string; readonly namespace: string };
  /** RFC 3339 with microseconds. */
  readonly eventTime: string;
  readonly reportingController: string;
  /** At most 128 bytes, as action and reason. */
  readonly reportingInstance: string;
  readonly action: string;
  readonly reason: string;
  readonly regarding: EventReference;
  /** At most 1024 bytes. */
  readonly note?: string;
  readonly type: 'Normal' | 'Warning';
}

/** Bytes of `note`. */
export const MAX_NOTE_BYTES = 1024;
/** Bytes of `action`, `reason` and `reportingInstance`. */
export const MAX_WORD_BYTES = 128;
/** Bytes of the name of any object. */
export const MAX_NAME_BYTES = 253;
