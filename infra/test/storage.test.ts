import assert from "node:assert/strict";
import { test } from "node:test";
import { App } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";
import type { MultiRegion } from "../lib/cluster.ts";
import { StorageStack } from "../lib/storage-stack.ts";
import { BOOTSTRAP, found, functionOf, GAME, only, SWEEP, Synthesis } from "./support/synthesis.ts";

const CLUSTER = "AWS::DSQL::Cluster";
const OWN = "arn:aws:dsql:us-east-1:123456789012:cluster/abcdefghijklmnopqrstuvwx23";
const VPC = {
  GAME_VPC_ID: "vpc-0123456789abcdef0",
  GAME_SUBNET_IDS: "subnet-0123456789abcdef0, subnet-0123456789abcdef1",
};
const PEER = "arn:aws:dsql:us-east-2:123456789012:cluster/abcdefghijklmnopqrstuvwx23";

test("the cluster outlives its stack", () => {
  const { stacks, storage } = new Synthesis();
  const [, cluster] = only(storage, CLUSTER);
  assert.equal(cluster.DeletionPolicy, "Retain");
  assert.equal(cluster.UpdateReplacePolicy, "Retain");
  assert.equal(cluster.Properties.DeletionProtectionEnabled, true);
  assert.equal(stacks.storage.terminationProtection, true);
});

test("the stack outputs the cluster's endpoint and ARN", () => {
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

test("a cluster has one Region and the service's key by default", () => {
  const [, cluster] = only(new Synthesis().storage, CLUSTER);
  assert.deepEqual(Object.keys(cluster.Properties).sort(), [
    "DeletionProtectionEnabled",
    "PolicyDocument",
    "Tags",
  ]);
});

test("a cluster is encrypted with the given key", () => {
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
  for (const [arns, clusters] of [
    [` ${PEER} `, [PEER]],
    // The same list in both stacks, as in AWS's example.
    [`${OWN},${PEER}`, [OWN, PEER]],
  ] as const) {
    assert.deepEqual(properties({ GAME_WITNESS_REGION: "us-west-2", GAME_CLUSTER_ARNS: arns }), {
      WitnessRegion: "us-west-2",
      Clusters: clusters,
    });
  }
});

test("settings of several Regions that the service would refuse are refused early", () => {
  const cluster = (multiRegion: MultiRegion) => () =>
    Template.fromStack(
      new StorageStack(new App(), "Storage", { env: { region: "us-east-1" }, multiRegion }),
    );
  for (const [witnessRegion, clusterArns, says] of [
    ["us-west", [PEER], /us-west is no Region/],
    ["us-east-1", [PEER], /different Regions/],
    ["us-east-2", [PEER], /different Regions/],
    ["us-west-2", [PEER, PEER], /different Regions/],
    ["us-west-2", [OWN], /only the cluster of us-east-1 itself: add the cluster of its peer/],
    ["us-west-2", ["abcdefghijklmnopqrstuvwx23"], /is no cluster: give the ClusterArn/],
  ] as const) {
    assert.throws(cluster({ witnessRegion, clusterArns }), says);
  }
});

test("a cluster refuses principals of other accounts, and other networks if it has one", () => {
  const policy = (environment: Record<string, string>) => {
    const [, { Properties }] = only(new Synthesis(environment).storage, CLUSTER);
    const { PolicyDocument } = Properties;
    // The account is the only part that is not known before.
    const text = PolicyDocument["Fn::Join"]?.[1]
      .map((part: unknown) => (typeof part === "string" ? part : "ACCOUNT"))
      .join("");
    return JSON.parse(text).Statement;
  };
  const deny = (Sid: string, StringNotEquals: Record<string, string>) => ({
    Sid,
    Effect: "Deny",
    Principal: { AWS: "*" },
    Action: ["dsql:DbConnect", "dsql:DbConnectAdmin"],
    Resource: "*",
    Condition: { StringNotEquals },
  });
  const accounts = deny("OtherAccounts", { "aws:PrincipalAccount": "ACCOUNT" });
  assert.deepEqual(policy({}), [accounts]);
  assert.deepEqual(policy(VPC), [
    accounts,
    deny("OtherNetworks", { "aws:SourceVpc": VPC.GAME_VPC_ID }),
  ]);
});

test("functions in a VPC reach the cluster by PrivateLink, and nothing else", () => {
  const synthesis = new Synthesis(VPC);
  const { storage, functions } = synthesis;
  const imported = (value: unknown) => synthesis.imported(value);
  const [cluster] = only(storage, CLUSTER);
  const [, { Properties: endpoint }] = only(storage, "AWS::EC2::VPCEndpoint");
  assert.deepEqual(endpoint.ServiceName, { "Fn::GetAtt": [cluster, "VpcEndpointServiceName"] });
  assert.equal(endpoint.PrivateDnsEnabled, true);
  assert.deepEqual(endpoint.SubnetIds, VPC.GAME_SUBNET_IDS.split(", "));

  const groups = found(storage, "AWS::EC2::SecurityGroup");
  const [, { Properties: out }] = only(storage, "AWS::EC2::SecurityGroupEgress");
  const [, { Properties: into }] = only(storage, "AWS::EC2::SecurityGroupIngress");
  assert.deepEqual([out.FromPort, out.ToPort, into.FromPort, into.ToPort], Array(4).fill(5432));
  assert.deepEqual(endpoint.SecurityGroupIds, [into.GroupId]);
  assert.deepEqual(out.DestinationSecurityGroupId, into.GroupId);
  assert.deepEqual(into.SourceSecurityGroupId, out.GroupId);
  for (const { Properties } of Object.values(groups)) {
    assert.deepEqual(
      Properties.SecurityGroupEgress.map(({ CidrIp }: { CidrIp: string }) => CidrIp),
      ["255.255.255.255/32"],
    );
  }

  for (const program of [GAME, BOOTSTRAP, SWEEP]) {
    const [, { Properties }] = functionOf(functions, program);
    assert.deepEqual(imported(Properties.Environment.Variables.DSQL_ENDPOINT), {
      "Fn::GetAtt": [cluster, "VpcEndpoint"],
    });
    const [group] = Properties.VpcConfig.SecurityGroupIds;
    assert.deepEqual(imported(group), out.GroupId);
  }
});

test("the cluster is backed up each day, and its backups outlive the stack", () => {
  const { storage } = new Synthesis();
  const [cluster] = only(storage, CLUSTER);
  const [vault, { DeletionPolicy }] = only(storage, "AWS::Backup::BackupVault");
  assert.equal(DeletionPolicy, "Retain");
  const [, { Properties: plan }] = only(storage, "AWS::Backup::BackupPlan");
  const [rule, ...others] = plan.BackupPlan.BackupPlanRule;
  assert.deepEqual(others, []);
  assert.deepEqual(rule.Lifecycle, { DeleteAfterDays: 35 });
  assert.deepEqual(rule.TargetBackupVault, { "Fn::GetAtt": [vault, "BackupVaultName"] });
  const [, { Properties: selection }] = only(storage, "AWS::Backup::BackupSelection");
  assert.deepEqual(selection.BackupSelection.Resources, [
    { "Fn::GetAtt": [cluster, "ResourceArn"] },
  ]);
  const none = new Synthesis({ GAME_BACKUP_RETENTION_DAYS: "none" });
  assert.deepEqual(none.resources("AWS::Backup::BackupPlan"), []);
});

test("an existing or restored cluster is used instead of a new one, and backed up", () => {
  const endpoint = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";
  const adopted = { GAME_CLUSTER_ARN: OWN, GAME_CLUSTER_ENDPOINT: endpoint };
  const { stacks, storage, functions } = new Synthesis(adopted);
  assert.deepEqual(found(storage, CLUSTER), {});
  const [, { Properties: selection }] = only(storage, "AWS::Backup::BackupSelection");
  assert.deepEqual(selection.BackupSelection.Resources, [OWN]);
  for (const [program, action] of [
    [GAME, "dsql:DbConnect"],
    [BOOTSTRAP, "dsql:DbConnectAdmin"],
    [SWEEP, "dsql:DbConnect"],
  ] as const) {
    const [, { Properties }] = functionOf(functions, program);
    assert.equal(Properties.Environment.Variables.DSQL_ENDPOINT, endpoint);
    const roles = JSON.stringify(found(functions, "AWS::IAM::Role"));
    assert.ok(roles.includes(`{"Action":"${action}","Effect":"Allow","Resource":"${OWN}"}`), roles);
  }
  const [, run] = only(functions, "Custom::Bootstrap");
  assert.equal(run.Properties.endpoint, endpoint);
  // What the other stacks import of a former cluster stays until they no longer do.
  assert.ok(stacks.storage.dependencies.includes(stacks.api));
  assert.deepEqual(stacks.functions.dependencies, []);

  const plain = new Synthesis({ ...adopted, GAME_BACKUP_RETENTION_DAYS: "none" });
  assert.equal(
    plain.storage.toJSON()["Resources"].Nothing.Type.split("::").at(-1),
    "WaitConditionHandle",
  );
});
