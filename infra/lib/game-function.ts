import { Duration, RemovalPolicy } from "aws-cdk-lib";
import { type Metric, Stats, Unit } from "aws-cdk-lib/aws-cloudwatch";
import { Alias, type Architecture, type Code, type IVersion } from "aws-cdk-lib/aws-lambda";
import { FilterPattern, MetricFilter } from "aws-cdk-lib/aws-logs";
import { Construct } from "constructs";
import type { ClusterReference } from "./cluster.ts";
import type { Execution } from "./execution.ts";
import type { FunctionNetwork } from "./network.ts";
import { PoolMetrics } from "./pool-metrics.ts";
import { RustFunction } from "./rust-function.ts";

export interface GameFunctionProps {
  readonly code: Code;
  readonly architecture: Architecture;
  readonly cluster: ClusterReference;
  /** The cluster of the other Region, which serves while this one is away. Defaults to none. */
  readonly peer?: ClusterReference;
  readonly execution: Execution;
  readonly network?: FunctionNetwork;
  /** The database role that the bootstrap creates. */
  readonly databaseRole: string;
  /**
   * Defaults to 256 MB. CPU is proportional to memory, and a connection that is opened after a
   * freeze needs a TLS handshake. The init phase has a full CPU at any size.
   */
  readonly memorySize?: number;
  /**
   * Defaults to 10 s. The program answers within ANSWER_WITHIN. The rest is for an init phase that
   * Lambda repeats in the first invocation.
   */
  readonly timeout?: Duration;
  /**
   * The maximum number of copies at once, each with one connection. "none" uses the account's
   * limit. Defaults to 20, the burst of the API. A cluster accepts 100 new connections a second, so
   * it accepts 20 copies that start at once.
   * https://docs.aws.amazon.com/aurora-dsql/latest/userguide/CHAP_quotas.html
   */
  readonly reservedConcurrency?: number | "none";
}

/** The Lambda behind the API. */
export class GameFunction extends Construct {
  readonly function: RustFunction;
  readonly version: IVersion;
  /**
   * The version that callers get. A rollback switches it without a build: docs/deploy.md, Rollback.
   */
  readonly live: Alias;
  /** Connections that were refused for a permanent cause. */
  readonly refusals: Metric;
  /** Requests that needed more than one attempt. */
  readonly retried: Metric;
  readonly pool: PoolMetrics;

  constructor(scope: Construct, id: string, props: GameFunctionProps) {
    super(scope, id);
    const { timeout = Duration.seconds(10), memorySize = 256, reservedConcurrency = 20 } = props;
    check(timeout, memorySize, reservedConcurrency);

    this.function = new RustFunction(this, "Function", {
      code: props.code,
      architecture: props.architecture,
      execution: props.execution,
      network: props.network,
      description: "Makes up games and keeps them in Aurora DSQL",
      environment: {
        DSQL_ENDPOINT: props.cluster.endpoint,
        DSQL_USER: props.databaseRole,
        DSQL_SEARCH_PATH: "games",
        DSQL_APPLICATION_NAME: "generate-game",
        // Short: in an outage, requests that wait would occupy all copies. The cause is known in a
        // second.
        DSQL_CONNECT_TIMEOUT_SECONDS: "2",
        DSQL_CHECKOUT_TIMEOUT_SECONDS: "3",
        GAME_ANSWER_WITHIN_MILLIS: ANSWER_WITHIN.toMilliseconds().toString(),
        ...(props.peer && {
          DSQL_PEER_ENDPOINT: props.peer.endpoint,
          // A lost COMMIT takes up to half of ANSWER_WITHIN before it is settled. The other half
          // has to hold this, a new connection to the peer, and the settling.
          DSQL_FAILOVER_AFTER_SECONDS: "0.5",
        }),
      },
      // Old versions remain for a rollback.
      currentVersionOptions: { removalPolicy: RemovalPolicy.RETAIN },
      memorySize,
      timeout,
      reservedConcurrentExecutions:
        reservedConcurrency === "none" ? undefined : reservedConcurrency,
    });

    this.pool = new PoolMetrics(this.function);

    this.version = this.function.currentVersion;
    this.live = new Alias(this, "Live", { aliasName: "live", version: this.version });

    const refusals = new MetricFilter(this, "Refusals", {
      logGroup: props.execution.logGroup,
      metricNamespace: "GenerateGame",
      metricName: `${this.node.addr}-Refusals`,
      metricValue: "1",
      unit: Unit.COUNT,
      filterPattern: FilterPattern.all(
        FilterPattern.stringValue("$.level", "=", "ERROR"),
        FilterPattern.any(
          ...REFUSALS.map((reason) => FilterPattern.stringValue("$.reason", "=", reason)),
        ),
      ),
    });
    this.refusals = refusals.metric({ statistic: Stats.SUM, label: "Connections refused" });

    const retried = new MetricFilter(this, "Retried", {
      logGroup: props.execution.logGroup,
      metricNamespace: "GenerateGame",
      metricName: `${this.node.addr}-Retried`,
      metricValue: "1",
      unit: Unit.COUNT,
      filterPattern: FilterPattern.numberValue("$.attempts", ">", 1),
    });
    this.retried = retried.metric({ statistic: Stats.SUM, label: "Requests retried" });
  }
}

function check(timeout: Duration, memorySize: number, reservedConcurrency: number | "none"): void {
  const seconds = timeout.toSeconds();
  if (seconds <= ANSWER_WITHIN.toSeconds() || seconds >= 29) {
    throw new Error(
      `a timeout of ${seconds} s: choose more than the ${ANSWER_WITHIN.toSeconds()} s of an answer, and less than the API's 29 s`,
    );
  }
  if (!Number.isInteger(memorySize) || memorySize < 128 || memorySize > 10_240) {
    throw new Error(`a memory of ${memorySize} MB: Lambda has 128 to 10240`);
  }
  if (reservedConcurrency === "none") {
    return;
  }
  if (
    !Number.isInteger(reservedConcurrency) ||
    reservedConcurrency < 1 ||
    reservedConcurrency > 1000
  ) {
    throw new Error(
      `a reserved concurrency of ${reservedConcurrency}: choose 1 to 1000, the connections of a cluster, or none`,
    );
  }
}

/** A new connection takes about 100 ms, a conflict another 100 ms. */
const ANSWER_WITHIN = Duration.seconds(3);

/**
 * The `Reason` codes that need a human: permissions, roles, certificates, quotas. Other reasons,
 * such as a cluster that wakes up, are transient; if they persist, the alarm on 5xx fires.
 */
export const REFUSALS = [
  "access_denied",
  "certificate",
  "credentials",
  "not_authorized",
  "rate_exceeded",
  "refused",
  "role_missing",
  "server_name_missing",
  "setting_refused",
  "token_expired",
  "too_many_connections",
  "wrong_action",
];
