import { CfnOutput, Stack, type StackProps } from "aws-cdk-lib";
import { Key } from "aws-cdk-lib/aws-kms";
import type { Construct } from "constructs";
import { Alarms } from "./alarms.ts";
import { Budget } from "./budget.ts";
import { CallerKeys } from "./caller-keys.ts";
import type { ClusterReference } from "./cluster.ts";
import { GameDashboard } from "./dashboard.ts";
import { FaultInjection } from "./fault-injection.ts";
import { type Authorizer, GameApi } from "./game-api.ts";
import type { GameFunction } from "./game-function.ts";
import type { Sweep } from "./sweep.ts";
import { WebAcl } from "./web-acl.ts";

export interface ApiStackProps extends StackProps {
  readonly cluster: ClusterReference;
  /** The cluster of the other Region. Defaults to none. */
  readonly peer?: ClusterReference;
  readonly game: GameFunction;
  readonly sweep: Sweep;
  readonly stageName: string;
  readonly keyGenerations?: readonly number[];
  readonly keyReaderRoleArn?: string;
  readonly authorizer?: Authorizer;
  readonly webAcl?: boolean;
  readonly alarmEmail?: string;
  readonly monthlyBudget?: number;
  /** Adds an experiment for a game day. */
  readonly faultInjection?: boolean;
  /** For the secrets, the topic and the access log. */
  readonly kmsKeyArn?: string;
}

/** The API with its keys, and its alarms, budget and dashboard. */
export class ApiStack extends Stack {
  constructor(scope: Construct, id: string, props: ApiStackProps) {
    super(scope, id, props);
    const { cluster, peer, game, sweep, stageName, monthlyBudget } = props;
    const key = props.kmsKeyArn ? Key.fromKeyArn(this, "Key", props.kmsKeyArn) : undefined;

    const keys = new CallerKeys(this, "Caller", {
      generations: props.keyGenerations,
      readerRoleArn: props.keyReaderRoleArn,
      encryptionKey: key,
    });
    const { api } = new GameApi(this, "Game", {
      handler: game.live,
      stageName,
      authorizer: props.authorizer,
      variables: keys.stageVariables,
      logKey: key,
      webAcl: props.webAcl,
    });
    keys.admitTo(api);
    if (props.webAcl) {
      new WebAcl(this, "WebAcl", { api });
    }
    const { topic, serverErrors } = new Alarms(this, "Alarms", {
      api,
      game,
      sweep,
      cluster,
      email: props.alarmEmail,
      encryptionKey: key,
    });
    if (monthlyBudget !== undefined) {
      new Budget(this, "Budget", { monthlyLimit: monthlyBudget, stage: stageName, topic });
    }
    if (props.faultInjection) {
      const { templateId } = new FaultInjection(this, "FaultInjection", {
        cluster,
        // Without another Region, a retry needs connections that succeed.
        percentage: peer ? 100 : 50,
        stopAlarm: serverErrors,
      });
      new CfnOutput(this, "ExperimentTemplateId", { value: templateId });
    }
    const dashboard = new GameDashboard(this, "Dashboard", { api, game, cluster });

    new CfnOutput(this, "AlarmTopicArn", { value: topic.topicArn });
    new CfnOutput(this, "ApiUrl", { value: api.url });
    new CfnOutput(this, "ApiKeyId", { value: keys.keyId });
    new CfnOutput(this, "ApiKeySecretArn", { value: keys.secretArn });
    new CfnOutput(this, "DashboardName", { value: dashboard.name });
  }
}
