// The fields that Pointsman reads of Kubernetes objects, in the API's own shape and spelling. A claim, not a check: the values come from
// outside, so everything may be absent, null or of another type, and only the projections (service.ts, endpoint-slice.ts, node.ts) read them.
// Source: Kubernetes API v1 (Service, Node) and discovery.k8s.io/v1 (EndpointSlice).

/** What the API leaves out, it may also send as null. */
type Maybe<T> = T | null | undefined;

/** metadata of any object. */
export interface ObjectMeta {
  readonly name?: Maybe<string>;
  /** Absent or '' is read as 'default', as kubectl does with manifests. */
  readonly namespace?: Maybe<string>;
  readonly labels?: Maybe<Readonly<Record<string, string>>>;
  readonly annotations?: Maybe<Readonly<Record<string, string>>>;
  /** RFC 3339. */
  readonly creationTimestamp?: Maybe<string>;
  /** RFC 3339; present while the object is being deleted. */
  readonly deletionTimestamp?: Maybe<string>;
}

/** v1 Service. */
export interface ServiceObject {
  readonly apiVersion?: Maybe<string>;
  readonly kind: 'Service';
  readonly metadata?: Maybe<ObjectMeta>;
  readonly spec?: Maybe<{
    readonly type?: Maybe<string>;
    readonly clusterIP?: Maybe<string>;
    readonly clusterIPs?: Maybe<readonly string[]>;
    readonly ipFamilies?: Maybe<readonly string[]>;
    readonly ports?: Maybe<
      readonly {
        readonly name?: Maybe<string>;
        readonly protocol?: Maybe<string>;
        readonly port?: Maybe<number>;
        readonly nodePort?: Maybe<number>;
      }[]
    >;
    readonly externalIPs?: Maybe<readonly string[]>;
    readonly externalTrafficPolicy?: Maybe<string>;
    readonly internalTrafficPolicy?: Maybe<string>;
    readonly loadBalancerSourceRanges?: Maybe<readonly string[]>;
    readonly healthCheckNodePort?: Maybe<number>;
    readonly sessionAffinity?: Maybe<string>;
    readonly sessionAffinityConfig?: Maybe<{
      readonly clientIP?: Maybe<{ readonly timeoutSeconds?: Maybe<number> }>;
    }>;
  }>;
  readonly status?: Maybe<{
    readonly loadBalancer?: Maybe<{
      readonly ingress?: Maybe<
        readonly {
          readonly ip?: Maybe<string>;
          readonly ipMode?: Maybe<string>;
          readonly hostname?: Maybe<string>;
        }[]
      >;
    }>;
  }>;
}

/** discovery.k8s.io/v1 EndpointSlice. */
export interface EndpointSliceObject {
  readonly apiVersion?: Maybe<string>;
  readonly kind: 'EndpointSlice';
  readonly metadata?: Maybe<ObjectMeta>;
  readonly addressType?: Maybe<string>;
  readonly ports?: Maybe<
    readonly {
      readonly name?: Maybe<string>;
      readonly protocol?: Maybe<string>;
      readonly port?: Maybe<number>;
    }[]
  >;
  readonly endpoints?: Maybe<
    readonly {
      readonly addresses?: Maybe<readonly string[]>;
      readonly nodeName?: Maybe<string>;
      readonly conditions?: Maybe<{
        readonly ready?: Maybe<boolean>;
        readonly serving?: Maybe<boolean>;
        readonly terminating?: Maybe<boolean>;
      }>;
      readonly hints?: Maybe<{
        readonly forZones?: Maybe<readonly { readonly name?: Maybe<string> }[]>;
        readonly forNodes?: Maybe<readonly { readonly name?: Maybe<string> }[]>;
      }>;
    }[]
  >;
}

/** v1 Node. */
export interface NodeObject {
  readonly apiVersion?: Maybe<string>;
  readonly kind: 'Node';
  readonly metadata?: Maybe<ObjectMeta>;
  readonly spec?: Maybe<{
    readonly podCIDR?: Maybe<string>;
    readonly podCIDRs?: Maybe<readonly string[]>;
    readonly taints?: Maybe<readonly { readonly key?: Maybe<string> }[]>;
  }>;
  readonly status?: Maybe<{
    readonly addresses?: Maybe<
      readonly { readonly type?: Maybe<string>; readonly address?: Maybe<string> }[]
    >;
  }>;
}

/** Any object that Pointsman reads. */
export type ClusterObject = ServiceObject | EndpointSliceObject | NodeObject;

/** One fact from outside: an object as it is by now, or one that is gone. `namespace` is '' for a Node. */
export type ClusterEvent =
  | { readonly type: 'apply'; readonly object: ClusterObject }
  | {
      readonly type: 'delete';
      readonly kind: ClusterObject['kind'];
      readonly namespace: string;
      readonly name: string;
    };
