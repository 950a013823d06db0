import type { RestApi } from "aws-cdk-lib/aws-apigateway";
import { Dashboard, GraphWidget, Metric, Stats } from "aws-cdk-lib/aws-cloudwatch";
import { Construct } from "constructs";
import type { Cluster } from "./cluster.ts";
import type { GameFunction } from "./game-function.ts";

export interface GameDashboardProps {
  readonly api: RestApi;
  readonly game: GameFunction;
  readonly cluster: Cluster;
}

/** A request's way on one page: what callers see, the functions, the cluster. */
export class GameDashboard extends Construct {
  readonly name: string;

  constructor(scope: Construct, id: string, { api, game, cluster }: GameDashboardProps) {
    super(scope, id);
    const handler = game.function;

    const dashboard = new Dashboard(this, "Dashboard", {
      widgets: [
        [
          graph("Requests", [api.metricCount(), api.metricClientError(), api.metricServerError()]),
          graph("Latency", [
            api.metricLatency({ statistic: Stats.p(50), label: "p50" }),
            api.metricLatency({ statistic: Stats.p(99), label: "p99" }),
          ]),
        ],
        [
          graph("Functions", [
            handler.metric("ConcurrentExecutions", { statistic: Stats.MAXIMUM }),
            handler.metricThrottles(),
            handler.metricErrors(),
          ]),
          graph("Connections refused", [game.refusals]),
        ],
        [
          graph("Transactions", [
            ofCluster(cluster, "TotalTransactions"),
            ofCluster(cluster, "OccConflicts"),
          ]),
          graph("Cost in DPU", [ofCluster(cluster, "TotalDPU")]),
        ],
      ],
    });
    this.name = dashboard.dashboardName;
  }
}

/** https://docs.aws.amazon.com/aurora-dsql/latest/userguide/cloudwatch-monitoring.html */
function ofCluster(cluster: Cluster, metricName: string): Metric {
  return new Metric({
    namespace: "AWS/AuroraDSQL",
    metricName,
    dimensionsMap: { ClusterId: cluster.identifier },
    statistic: Stats.SUM,
  });
}

function graph(title: string, left: Metric[]): GraphWidget {
  return new GraphWidget({ title, left, width: 12 });
}
