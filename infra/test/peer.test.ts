import assert from "node:assert/strict";
import { test } from "node:test";
import { BOOTSTRAP, found, functionOf, GAME, SWEEP, Synthesis } from "./support/synthesis.ts";

const EAST = "arn:aws:dsql:us-east-1:123456789012:cluster/abcdefghijklmnopqrstuvwx23";
const OHIO = "arn:aws:dsql:us-east-2:123456789012:cluster/abcdefghijklmnopqrstuvwx24";
const EAST_HOST = "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws";
const OHIO_HOST = "abcdefghijklmnopqrstuvwx24.dsql.us-east-2.on.aws";

const TWO_REGIONS = {
  GAME_CLUSTER_ARNS: `${EAST},${OHIO}`,
  GAME_REGIONS: "us-east-1,us-east-2",
  GAME_WITNESS_REGION: "us-west-2",
};
const ENDPOINTS = { GAME_CLUSTER_ENDPOINTS: `${EAST_HOST}, ${OHIO_HOST}` };

test("the same settings give the function of each Region the other one as its peer", () => {
  for (const [region, host, arn] of [
    ["us-east-1", OHIO_HOST, OHIO],
    ["us-east-2", EAST_HOST, EAST],
  ] as const) {
    const synthesis = new Synthesis({ ...TWO_REGIONS, ...ENDPOINTS, AWS_REGION: region });
    const [, { Properties }] = functionOf(synthesis.functions, GAME);
    assert.equal(Properties.Environment.Variables.DSQL_PEER_ENDPOINT, host);
    const [{ Action, Resource }] = statements(synthesis, GAME);
    assert.equal(Action, "dsql:DbConnect");
    assert.equal(Resource.length, 2);
    assert.ok(Resource.includes(arn), JSON.stringify(Resource));
    const home = Resource.find((one: unknown) => one !== arn);
    assert.match(JSON.stringify(synthesis.imported(home)), /"ResourceArn"/);
  }
});

test("the peer is dialed in time for an answer", () => {
  const { functions } = new Synthesis({ ...TWO_REGIONS, ...ENDPOINTS });
  const [, { Properties }] = functionOf(functions, GAME);
  const { DSQL_FAILOVER_AFTER_SECONDS, GAME_ANSWER_WITHIN_MILLIS } =
    Properties.Environment.Variables;
  // Half of the time is for the lost COMMIT.
  const left = Number(GAME_ANSWER_WITHIN_MILLIS) / 2 - Number(DSQL_FAILOVER_AFTER_SECONDS) * 1_000;
  assert.ok(left >= 1_000, `${left} ms are left for the peer`);
});

test("the bootstrap and the sweep stay in their own Region", () => {
  const synthesis = new Synthesis({ ...TWO_REGIONS, ...ENDPOINTS });
  for (const program of [BOOTSTRAP, SWEEP]) {
    const [, { Properties }] = functionOf(synthesis.functions, program);
    assert.ok(!("DSQL_PEER_ENDPOINT" in Properties.Environment.Variables));
    assert.doesNotMatch(JSON.stringify(statements(synthesis, program)), new RegExp(OHIO));
  }
});

test("a peer changes the function and its role, and nothing else", () => {
  const [without, withPeer] = [{}, ENDPOINTS].map(
    (endpoints) => new Synthesis({ ...TWO_REGIONS, ...endpoints }),
  );
  assert.ok(without && withPeer);
  assert.deepEqual(withPeer.storage.toJSON(), without.storage.toJSON());
  const [before, after] = [without, withPeer].map(
    ({ functions }) => functions.toJSON()["Resources"] as Record<string, unknown>,
  );
  const changed = Object.keys({ ...before, ...after }).filter(
    (id) => JSON.stringify(before?.[id]) !== JSON.stringify(after?.[id]),
  );
  const types = changed.map((id) => /^(GameExecutionRole|GameFunction|GameLive)/.exec(id)?.[1]);
  assert.ok(types.includes("GameExecutionRole") && types.includes("GameFunction"));
  assert.ok(!types.includes(undefined), changed.join(", "));
});

test("a deployment of one Region names no peer", () => {
  for (const environment of [{}, TWO_REGIONS]) {
    const { functions } = new Synthesis(environment);
    assert.doesNotMatch(JSON.stringify(functions.toJSON()), /PEER|FAILOVER/);
  }
});

test("an adopted cluster has its own peer", () => {
  const adopted = { GAME_CLUSTER_ARN: EAST, GAME_CLUSTER_ENDPOINT: EAST_HOST };
  const { functions } = new Synthesis({ ...TWO_REGIONS, ...ENDPOINTS, ...adopted });
  const [, { Properties }] = functionOf(functions, GAME);
  assert.equal(Properties.Environment.Variables.DSQL_PEER_ENDPOINT, OHIO_HOST);
});

test("a peer that cannot serve is refused", () => {
  const restored = EAST.replace("wx23", "wx77");
  for (const [environment, says] of [
    [
      { GAME_CLUSTER_ENDPOINTS: OHIO_HOST, GAME_CLUSTER_ARNS: "", GAME_REGIONS: "" },
      /^GAME_CLUSTER_ENDPOINTS has .*us-east-2\.on\.aws, which is the endpoint of no cluster of/,
    ],
    [
      { GAME_CLUSTER_ENDPOINTS: OHIO_HOST.replace("wx24", "wx25") },
      /^GAME_CLUSTER_ENDPOINTS has .*wx25.*, which is the endpoint of no cluster/,
    ],
    [
      { GAME_CLUSTER_ENDPOINTS: EAST_HOST },
      /^GAME_CLUSTER_ENDPOINTS has 0 clusters outside us-east-1: list the endpoints of two/,
    ],
    [
      { GAME_CLUSTER_ENDPOINTS: `${OHIO_HOST},${OHIO_HOST}` },
      /^GAME_CLUSTER_ENDPOINTS has 2 clusters outside us-east-1/,
    ],
    [
      { GAME_VPC_ID: "vpc-0123456789abcdef0", GAME_SUBNET_IDS: "subnet-0123456789abcdef0" },
      /^GAME_CLUSTER_ENDPOINTS and GAME_VPC_ID exclude each other: functions in the VPC reach/,
    ],
    [
      {
        GAME_CLUSTER_ARN: restored,
        GAME_CLUSTER_ENDPOINT: EAST_HOST.replace("wx23", "wx77"),
      },
      /^GAME_CLUSTER_ARNS does not have the cluster of GAME_CLUSTER_ARN, .*wx77: list that cluster/,
    ],
  ] as const) {
    assert.throws(
      () => new Synthesis({ ...TWO_REGIONS, ...ENDPOINTS, ...environment }),
      (error: Error) => {
        assert.match(error.message, says);
        return true;
      },
    );
  }
});

// biome-ignore lint/suspicious/noExplicitAny: a template is JSON of any shape
function statements({ functions }: Synthesis, program: RegExp): any {
  const [, { Properties }] = functionOf(functions, program);
  const { [Properties.Role["Fn::GetAtt"][0]]: role } = found(functions, "AWS::IAM::Role");
  return role?.Properties.Policies[0].PolicyDocument.Statement;
}
