import { Duration, Stack } from "aws-cdk-lib";
import type { RestApi } from "aws-cdk-lib/aws-apigateway";
import {
  type Alarm,
  ComparisonOperator,
  type CreateAlarmOptions,
  type Metric,
  Stats,
  TreatMissingData,
} from "aws-cdk-lib/aws-cloudwatch";
import { SnsAction } from "aws-cdk-lib/aws-cloudwatch-actions";
import { ServicePrincipal } from "aws-cdk-lib/aws-iam";
import { Topic } from "aws-cdk-lib/aws-sns";
import { EmailSubscription } from "aws-cdk-lib/aws-sns-subscriptions";
import { Construct } from "constructs";
import type { GameFunction } from "./game-function.ts";

export interface AlarmsProps {
  readonly api: RestApi;
  readonly game: GameFunction;
  /** Who is told. Without it the alarms change their state and tell nobody. */
  readonly email?: string;
}

/** What should wake somebody up. */
export class Alarms extends Construct {
  constructor(scope: Construct, id: string, { api, game, email }: AlarmsProps) {
    super(scope, id);

    const alarms = [
      this.alarm("ServerErrors", api.metricServerError({ statistic: Stats.SUM, period: PERIOD }), {
        alarmDescription:
          "Callers got 5xx answers. The function's log says why: filter it by level ERROR.",
        // A single one is a copy that died, or a cluster that woke up too slowly.
        threshold: 3,
        evaluationPeriods: 1,
      }),
      this.alarm("SlowAnswers", api.metricLatency({ statistic: Stats.p(99), period: PERIOD }), {
        alarmDescription:
          "The slowest 1 % of the answers took over 3 s for 15 minutes. A cold start takes less.",
        threshold: 3_000,
        evaluationPeriods: 3,
      }),
      this.alarm("Throttles", game.function.metricThrottles({ period: PERIOD }), {
        alarmDescription:
          "Lambda turned requests away: more at once than the reserved concurrency, or than the account has.",
        threshold: 1,
        evaluationPeriods: 1,
      }),
      this.alarm("Refusals", game.refusals.with({ period: PERIOD }), {
        alarmDescription:
          "The cluster refused connections for a cause that stays. The field `reason` of the function's log names it, `error` says what to do.",
        threshold: 1,
        evaluationPeriods: 1,
      }),
    ];
    if (email) {
      const action = new SnsAction(this.topic(email));
      for (const alarm of alarms) {
        alarm.addAlarmAction(action);
        alarm.addOkAction(action);
      }
    }
  }

  private alarm(id: string, metric: Metric, options: CreateAlarmOptions): Alarm {
    return metric.createAlarm(this, id, {
      treatMissingData: TreatMissingData.NOT_BREACHING,
      comparisonOperator: ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
      ...options,
    });
  }

  private topic(email: string): Topic {
    const topic = new Topic(this, "Topic", { enforceSSL: true });
    topic.addSubscription(new EmailSubscription(email));
    // A topic with a policy of its own, such as TLS only, has to let the alarms in, too.
    topic.grantPublish(
      new ServicePrincipal("cloudwatch.amazonaws.com", {
        conditions: { StringEquals: { "aws:SourceAccount": Stack.of(this).account } },
      }),
    );
    return topic;
  }
}

const PERIOD = Duration.minutes(5);
