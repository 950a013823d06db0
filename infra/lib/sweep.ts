import { Duration } from "aws-cdk-lib";
import { type Metric, Stats } from "aws-cdk-lib/aws-cloudwatch";
import { Rule, Schedule } from "aws-cdk-lib/aws-events";
import { LambdaFunction } from "aws-cdk-lib/aws-events-targets";
import type { Architecture, Code } from "aws-cdk-lib/aws-lambda";
import { Construct } from "constructs";
import type { ClusterReference } from "./cluster.ts";
import type { Execution } from "./execution.ts";
import type { FunctionNetwork } from "./network.ts";
import { RustFunction } from "./rust-function.ts";

export interface SweepProps {
  readonly code: Code;
  readonly architecture: Architecture;
  readonly cluster: ClusterReference;
  readonly execution: Execution;
  readonly network?: FunctionNetwork;
  /** The database role that the bootstrap creates. */
  readonly databaseRole: string;
}

/**
 * Deletes old outcomes of transactions, once a day.
 *
 * A rule instead of a schedule of EventBridge Scheduler: the function's own policy admits the rule,
 * so no further role is needed.
 */
export class Sweep extends Construct {
  readonly function: RustFunction;
  /** Runs that failed, and whose repetitions failed, too. */
  readonly failures: Metric;

  constructor(scope: Construct, id: string, props: SweepProps) {
    super(scope, id);
    this.function = new RustFunction(this, "Function", {
      code: props.code,
      architecture: props.architecture,
      execution: props.execution,
      network: props.network,
      description: "Sweeps old outcomes of transactions, once a day",
      environment: {
        DSQL_ENDPOINT: props.cluster.endpoint,
        DSQL_USER: props.databaseRole,
        DSQL_SEARCH_PATH: "games",
        DSQL_APPLICATION_NAME: "sweep",
      },
      // It waits for the cluster nearly all the time.
      memorySize: 128,
      // At 1,000 rows per transaction. The next run deletes what is left.
      timeout: Duration.minutes(5),
    });

    const daily = new Rule(this, "Daily", {
      description: "Sweeps old outcomes of transactions",
      // After the backup has started, and when few people play.
      schedule: Schedule.cron({ hour: "4", minute: "30" }),
    });
    daily.addTarget(new LambdaFunction(this.function));

    // Lambda repeats a failed run twice, after one and two minutes, and then drops the event:
    // https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
    // https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
    this.failures = this.function.metric("AsyncEventsDropped", {
      statistic: Stats.SUM,
      label: "Sweeps that failed",
    });
  }
}
