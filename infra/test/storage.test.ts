import assert from "node:assert/strict";
import { test } from "node:test";
import { App } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";
import type { MultiRegion } from "../lib/cluster.ts";
import { StorageStack } from "../lib/storage-stack.ts";
import { only, Synthesis } from "./support/synthesis.ts";

const CLUSTER = "AWS::DSQL::Cluster";
const PEER = "arn:aws:dsql:us-east-2:123456789012:cluster/abcdefghijklmnopqrstuvwx23";

test("the cluster outlives its stack", () => {
  const { stacks, storage } = new Synthesis();
  const [, cluster] = only(storage, CLUSTER);
  assert.equal(cluster.DeletionPolicy, "Retain");
  assert.equal(cluster.UpdateReplacePolicy, "Retain");
  assert.equal(cluster.Properties.DeletionProtectionEnabled, true);
  assert.equal(stacks.storage.terminationProtection, true);
});

test("the cluster tells its endpoint and its ARN", () => {
  const { storage } = new Synthesis();
  const [id] = only(storage, CLUSTER);
  storage.hasOutput("ClusterEndpoint", { Value: { "Fn::GetAtt": [id, "Endpoint"] } });
  storage.hasOutput("ClusterArn", { Value: { "Fn::GetAtt": [id, "ResourceArn"] } });
});

test("the cluster carries the tags of the deployment", () => {
  const [, cluster] = only(new Synthesis({ GAME_STAGE: "test" }).storage, CLUSTER);
  assert.deepEqual(cluster.Properties.Tags, [
    { Key: "application", Value: "generate-game" },
    { Key: "stage", Value: "test" },
  ]);
});

test("a cluster is of one Region and under the service's key unless told otherwise", () => {
  const [, cluster] = only(new Synthesis().storage, CLUSTER);
  assert.deepEqual(Object.keys(cluster.Properties).sort(), ["DeletionProtectionEnabled", "Tags"]);
});

test("a cluster takes a key", () => {
  const key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
  const [, cluster] = only(new Synthesis({ GAME_KMS_KEY_ARN: key }).storage, CLUSTER);
  assert.equal(cluster.Properties.KmsEncryptionKey, key);
});

test("a cluster of more Regions has a witness, and its peers when they are known", () => {
  const properties = (environment: Record<string, string>) => {
    const [, cluster] = only(new Synthesis(environment).storage, CLUSTER);
    return cluster.Properties.MultiRegionProperties;
  };
  assert.deepEqual(properties({ GAME_WITNESS_REGION: "us-west-2" }), {
    WitnessRegion: "us-west-2",
  });
  assert.deepEqual(
    properties({ GAME_WITNESS_REGION: "us-west-2", GAME_PEER_CLUSTER_ARNS: ` ${PEER} ` }),
    { WitnessRegion: "us-west-2", Clusters: [PEER] },
  );
});

test("what the service would refuse of more Regions is refused before", () => {
  const cluster = (multiRegion: MultiRegion) => () =>
    Template.fromStack(
      new StorageStack(new App(), "Storage", { env: { region: "us-east-1" }, multiRegion }),
    );
  for (const [witnessRegion, peer, says] of [
    ["us-west", PEER, /us-west is no Region/],
    ["us-east-1", PEER, /different Regions/],
    ["us-east-2", PEER, /different Regions/],
    ["us-west-2", PEER.replace("us-east-2", "us-east-1"), /different Regions/],
    ["us-west-2", "abcdefghijklmnopqrstuvwx23", /is no cluster: give the ClusterArn/],
  ] as const) {
    assert.throws(cluster({ witnessRegion, peerClusterArns: [peer] }), says);
  }
});
