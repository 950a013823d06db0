import { Duration, Stack } from "aws-cdk-lib";
import type { RestApi } from "aws-cdk-lib/aws-apigateway";
import {
  type Alarm,
  ComparisonOperator,
  type CreateAlarmOptions,
  type IMetric,
  MathExpression,
  Stats,
  TreatMissingData,
} from "aws-cdk-lib/aws-cloudwatch";
import { SnsAction } from "aws-cdk-lib/aws-cloudwatch-actions";
import { ServicePrincipal } from "aws-cdk-lib/aws-iam";
import type { IKey } from "aws-cdk-lib/aws-kms";
import { Topic } from "aws-cdk-lib/aws-sns";
import { EmailSubscription } from "aws-cdk-lib/aws-sns-subscriptions";
import { Construct } from "constructs";
import { acknowledgeCheckov } from "./checkov.ts";
import type { ClusterReference } from "./cluster.ts";
import { clusterMetric } from "./cluster-metrics.ts";
import type { GameFunction } from "./game-function.ts";
import type { Sweep } from "./sweep.ts";

export interface AlarmsProps {
  readonly api: RestApi;
  readonly game: GameFunction;
  readonly sweep: Sweep;
  readonly cluster: ClusterReference;
  /** Subscribed to the topic from the start. */
  readonly email?: string;
  /** A key whose policy lets CloudWatch use it. The topic is not encrypted unless given. */
  readonly encryptionKey?: IKey;
}

/**
 * Alarms, and the topic that they notify.
 *
 * An alarm without data stays OK. Percentages of a few requests mean nothing, so an alarm on a
 * percentage needs a minimum of requests.
 */
export class Alarms extends Construct {
  readonly topic: Topic;
  readonly serverErrors: Alarm;

  constructor(scope: Construct, id: string, props: AlarmsProps) {
    super(scope, id);
    const { api, game, sweep, cluster, email, encryptionKey } = props;

    this.topic = new Topic(this, "Topic", { enforceSSL: true, masterKey: encryptionKey });
    if (!encryptionKey) {
      acknowledgeCheckov(this.topic, {
        CKV_AWS_26:
          "Alarms hold no data, and CloudWatch cannot use the key that SNS has by itself. GAME_KMS_KEY_ARN names one that it can.",
      });
    }
    if (email) {
      this.topic.addSubscription(new EmailSubscription(email));
    }
    // `enforceSSL` adds a policy to the topic, which then must also allow the alarms.
    this.topic.grantPublish(
      new ServicePrincipal("cloudwatch.amazonaws.com", {
        conditions: { StringEquals: { "aws:SourceAccount": Stack.of(this).account } },
      }),
    );

    this.serverErrors = this.alarm(
      "ServerErrors",
      api.metricServerError({ statistic: Stats.SUM, period: PERIOD }),
      {
        alarmDescription:
          "Callers got 5xx answers. Filter the function's log by level ERROR for the cause.",
        // A single error can be a crashed copy, or a cluster that woke up too slowly.
        threshold: 3,
        evaluationPeriods: 1,
      },
    );
    this.alarm("ClientErrors", clientErrorShare(api), {
      alarmDescription:
        "More than half of the requests got 4xx answers for 15 minutes: a client or its key is broken. See the fields `status` and `error` of the access log.",
      threshold: 50,
      evaluationPeriods: 3,
    });
    this.alarm("SlowAnswers", api.metricLatency({ statistic: Stats.p(99), period: PERIOD }), {
      alarmDescription:
        "The slowest 1 % of the answers took over 2 s for 15 minutes. A cold start takes less.",
      threshold: 2_000,
      evaluationPeriods: 3,
    });
    this.alarm("Throttles", game.function.metricThrottles({ period: PERIOD }), {
      alarmDescription:
        "Lambda throttled requests: the reserved concurrency or the account's limit was reached.",
      threshold: 1,
      evaluationPeriods: 1,
    });
    this.alarm("Refusals", game.refusals.with({ period: PERIOD }), {
      alarmDescription:
        "The cluster refused connections for a permanent cause. The function's log has it in `reason`, and what to do in `error`.",
      threshold: 1,
      evaluationPeriods: 1,
    });
    this.alarm("PoolWait", game.pool.wait.with({ period: PERIOD }), {
      alarmDescription:
        "The slowest 1 % of the requests waited over 1 s for a connection, for 15 minutes. The log's events of dsql_conn at DEBUG tell where the time goes.",
      threshold: 1,
      evaluationPeriods: 3,
    });
    this.alarm("FailedConnects", game.pool.failed.with({ period: PERIOD }), {
      alarmDescription:
        "Connections could not be opened for 15 minutes, at least 10 attempts in each 5. `error.type` beside `dsql.connects` in the log is the cause; docs/what-went-wrong.md has the remedy.",
      threshold: 10,
      evaluationPeriods: 3,
    });
    this.alarm("UnknownCommits", game.pool.unknownCommits.with({ period: PERIOD }), {
      alarmDescription:
        "A reply to COMMIT was lost, and the outcome table could not be read: a game may have been saved although its client got 503.",
      threshold: 1,
      evaluationPeriods: 1,
    });
    this.alarm("QueryTimeouts", clusterMetric(cluster, "QueryTimeouts", PERIOD), {
      alarmDescription:
        "The cluster stopped statements that took too long: a missing index, or a table that has grown.",
      threshold: 1,
      evaluationPeriods: 1,
    });
    this.alarm("Conflicts", conflictShare(cluster), {
      alarmDescription:
        "More than a tenth of the transactions conflicted for 15 minutes: callers write the same rows.",
      threshold: 10,
      evaluationPeriods: 3,
    });
    this.alarm("Sweep", sweep.failures.with({ period: PERIOD }), {
      alarmDescription:
        "Old outcomes of transactions were not deleted today. The log of the sweep has the cause.",
      threshold: 1,
      evaluationPeriods: 1,
    });
    this.alarm("DatabaseCost", clusterMetric(cluster, "TotalDPU", Duration.hours(1)), {
      alarmDescription:
        "The cluster used more than 10,000 DPU in an hour: more traffic than expected, or a statement that reads a whole table.",
      threshold: 10_000,
      evaluationPeriods: 1,
    });
  }

  private alarm(
    id: string,
    metric: IMetric & { createAlarm: CreateAlarm },
    options: CreateAlarmOptions,
  ): Alarm {
    const alarm = metric.createAlarm(this, id, {
      treatMissingData: TreatMissingData.NOT_BREACHING,
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      ...options,
    });
    const action = new SnsAction(this.topic);
    alarm.addAlarmAction(action);
    alarm.addOkAction(action);
    return alarm;
  }
}

type CreateAlarm = (scope: Construct, id: string, props: CreateAlarmOptions) => Alarm;

function clientErrorShare(api: RestApi): MathExpression {
  return new MathExpression({
    label: "4xx in percent",
    expression: "IF(requests >= 20, 100 * errors / requests, 0)",
    usingMetrics: {
      errors: api.metricClientError({ statistic: Stats.SUM }),
      requests: api.metricCount({ statistic: Stats.SUM }),
    },
    period: PERIOD,
  });
}

function conflictShare(cluster: ClusterReference): MathExpression {
  return new MathExpression({
    label: "Conflicts in percent",
    expression: "IF(transactions >= 20, 100 * conflicts / transactions, 0)",
    usingMetrics: {
      conflicts: clusterMetric(cluster, "OccConflicts"),
      transactions: clusterMetric(cluster, "TotalTransactions"),
    },
    period: PERIOD,
  });
}

const PERIOD = Duration.minutes(5);
