import type { RestApi } from "aws-cdk-lib/aws-apigateway";
import { Dashboard, GraphWidget, type Metric, Stats } from "aws-cdk-lib/aws-cloudwatch";
import { Construct } from "constructs";
import type { ClusterReference } from "./cluster.ts";
import { clusterMetric } from "./cluster-metrics.ts";
import type { GameFunction } from "./game-function.ts";

export interface GameDashboardProps {
  readonly api: RestApi;
  readonly game: GameFunction;
  readonly cluster: ClusterReference;
}

/** One page for the API, the functions with their connections, and the cluster. */
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
          graph("Connections", [game.pool.opened, game.pool.failed, game.refusals, game.retried]),
        ],
        [
          graph("Time for connections, in seconds", [game.pool.wait, game.pool.create]),
          graph("Conflicts and lost commits", [game.pool.conflicts, game.pool.unknownCommits]),
        ],
        [
          graph("Transactions", [
            clusterMetric(cluster, "TotalTransactions"),
            clusterMetric(cluster, "OccConflicts"),
          ]),
          graph("Cost in DPU", [clusterMetric(cluster, "TotalDPU")]),
        ],
        [
          graph("Statements given up", [clusterMetric(cluster, "QueryTimeouts")]),
          graph("Commit latency", [
            clusterMetric(cluster, "CommitLatency").with({ statistic: Stats.p(50), label: "p50" }),
            clusterMetric(cluster, "CommitLatency").with({ statistic: Stats.p(99), label: "p99" }),
          ]),
        ],
      ],
    });
    this.name = dashboard.dashboardName;
  }
}

function graph(title: string, left: Metric[]): GraphWidget {
  return new GraphWidget({ title, left, width: 12 });
}
