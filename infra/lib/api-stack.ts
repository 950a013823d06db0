import { CfnOutput, Stack, type StackProps } from "aws-cdk-lib";
import type { Construct } from "constructs";
import { Alarms } from "./alarms.ts";
import { CallerKey } from "./caller-key.ts";
import type { Cluster } from "./cluster.ts";
import { GameDashboard } from "./dashboard.ts";
import { GameApi } from "./game-api.ts";
import type { GameFunction } from "./game-function.ts";

export interface ApiStackProps extends StackProps {
  readonly cluster: Cluster;
  readonly game: GameFunction;
  readonly stageName: string;
  readonly keyGeneration?: number;
  readonly keyReaderRoleArn?: string;
  readonly alarmEmail?: string;
}

/** What callers see, and what tells the operator how they fare. */
export class ApiStack extends Stack {
  constructor(scope: Construct, id: string, props: ApiStackProps) {
    super(scope, id, props);
    const { cluster, game } = props;

    const { api } = new GameApi(this, "Game", {
      handler: game.function,
      stageName: props.stageName,
    });
    const key = new CallerKey(this, "Caller", {
      api,
      generation: props.keyGeneration,
      readerRoleArn: props.keyReaderRoleArn,
    });
    new Alarms(this, "Alarms", { api, game, email: props.alarmEmail });
    const dashboard = new GameDashboard(this, "Dashboard", { api, game, cluster });

    new CfnOutput(this, "ApiUrl", { value: api.url });
    new CfnOutput(this, "ApiKeyId", { value: key.keyId });
    new CfnOutput(this, "ApiKeySecretArn", { value: key.secretArn });
    new CfnOutput(this, "DashboardName", { value: dashboard.name });
  }
}
