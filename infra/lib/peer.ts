import { CLUSTER_ARN, type ClusterReference, type ExistingCluster } from "./cluster.ts";

export interface PeerSettings {
  /** The Region of the deployment. */
  readonly region: string;
  readonly clusterArns: readonly string[];
  readonly clusterEndpoints: readonly string[];
  readonly existingCluster: ExistingCluster | undefined;
  readonly inVpc: boolean;
}

/**
 * Finds the cluster of the other Region, for a function that moves there while its own Region is
 * away. All Regions share one list, so each leaves its own cluster out.
 */
export function peerOf(settings: PeerSettings): ClusterReference | undefined {
  const { region, clusterArns, clusterEndpoints, existingCluster, inVpc } = settings;
  if (clusterEndpoints.length === 0) {
    return undefined;
  }
  if (inVpc) {
    throw new Error(
      "GAME_CLUSTER_ENDPOINTS and GAME_VPC_ID exclude each other: functions in the VPC reach only the cluster of their own Region",
    );
  }
  // Otherwise the function would move to another database, such as the one before a restore.
  if (existingCluster && !clusterArns.includes(existingCluster.arn)) {
    throw new Error(
      `GAME_CLUSTER_ARNS does not have the cluster of GAME_CLUSTER_ARN, ${existingCluster.arn}: list that cluster and its peer`,
    );
  }
  const clusters = clusterEndpoints.map((endpoint) => reference(endpoint, clusterArns));
  const [peer, ...others] = clusters.filter((cluster) => cluster.region !== region);
  if (!peer || others.length > 0) {
    throw new Error(
      `GAME_CLUSTER_ENDPOINTS has ${others.length + (peer ? 1 : 0)} clusters outside ${region}: list the endpoints of two clusters`,
    );
  }
  const { arn, endpoint, identifier } = peer;
  return { arn, endpoint, identifier };
}

function reference(endpoint: string, clusterArns: readonly string[]) {
  const [identifier = ""] = endpoint.split(".");
  for (const arn of clusterArns) {
    const [, region, id] = CLUSTER_ARN.exec(arn) ?? [];
    if (id === identifier) {
      return { arn, endpoint, identifier, region };
    }
  }
  throw new Error(
    `GAME_CLUSTER_ENDPOINTS has ${endpoint}, which is the endpoint of no cluster of GAME_CLUSTER_ARNS: give the ClusterEndpoint of each stack`,
  );
}
