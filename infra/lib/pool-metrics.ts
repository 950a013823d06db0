import { Metric, Stats, Unit } from "aws-cdk-lib/aws-cloudwatch";
import type { IFunction } from "aws-cdk-lib/aws-lambda";

/**
 * The metrics of the pool that the program writes to its log, in CloudWatch's embedded metric
 * format: docs/observability.md explains them, and examples/generate-game/src/emf.rs chooses them.
 *
 * A line without a level counts as INFO, so a function that logs less has none of them:
 * https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html
 */
export class PoolMetrics {
  /** How long requests waited for a connection, in seconds. */
  readonly wait: Metric;
  /** How long it took to open a connection, in seconds. */
  readonly create: Metric;
  /** Connections that were opened. */
  readonly opened: Metric;
  /** Attempts to open a connection that failed. */
  readonly failed: Metric;
  /** Transactions that conflicted with another one. */
  readonly conflicts: Metric;
  /** Lost replies to COMMIT whose outcome nobody knows. */
  readonly unknownCommits: Metric;

  constructor(handler: IFunction) {
    const metric = (metricName: string, dimensions: Record<string, string> = {}) =>
      new Metric({
        namespace: "GenerateGame",
        metricName,
        dimensionsMap: { FunctionName: handler.functionName, ...dimensions },
      });
    const count = (metricName: string, dimensions: Record<string, string>, label: string) =>
      metric(metricName, dimensions).with({ statistic: Stats.SUM, label });
    const seconds = { statistic: Stats.p(99), unit: Unit.SECONDS };
    this.wait = metric("db.client.connection.wait_time").with({
      ...seconds,
      label: "Wait for a connection, p99",
    });
    this.create = metric("db.client.connection.create_time").with({
      ...seconds,
      label: "Opening a connection, p99",
    });
    this.opened = count("dsql.connects", { "dsql.outcome": "opened" }, "Connections opened");
    this.failed = count("dsql.connects", { "dsql.outcome": "failed" }, "Attempts failed");
    this.conflicts = count("dsql.retries", { "dsql.cause": "data_conflict" }, "Conflicts");
    this.unknownCommits = count("dsql.lost_commits", { "dsql.outcome": "unknown" }, "Unknown");
  }
}
