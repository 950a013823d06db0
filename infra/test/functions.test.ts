import assert from "node:assert/strict";
import { test } from "node:test";
import { App, Duration } from "aws-cdk-lib";
import { Architecture, Code } from "aws-cdk-lib/aws-lambda";
import { FunctionsStack, type FunctionsStackProps } from "../lib/functions-stack.ts";
import { StorageStack } from "../lib/storage-stack.ts";
import { programs, X86_64 } from "./support/programs.ts";
import {
  BOOTSTRAP,
  FRAMEWORK,
  found,
  functionOf,
  GAME,
  only,
  type Resource,
  SWEEP,
  Synthesis,
} from "./support/synthesis.ts";

const synthesis = new Synthesis();
const { functions, storage } = synthesis;

test("every program gets its endpoint from the cluster's attribute", () => {
  const [cluster] = only(storage, "AWS::DSQL::Cluster");
  for (const program of [GAME, BOOTSTRAP, SWEEP]) {
    const [, { Properties }] = functionOf(functions, program);
    const endpoint = synthesis.imported(Properties.Environment.Variables.DSQL_ENDPOINT);
    assert.deepEqual(endpoint, { "Fn::GetAtt": [cluster, "Endpoint"] });
  }
});

test("no template builds a host name", () => {
  const vpc = new Synthesis({
    GAME_VPC_ID: "vpc-0123456789abcdef0",
    GAME_SUBNET_IDS: "subnet-0123456789abcdef0",
  });
  for (const template of [...synthesis.templates, ...vpc.templates]) {
    assert.doesNotMatch(JSON.stringify(template.toJSON()), /\.dsql\.|\.on\.aws/);
  }
});

test("the function connects as the role that the bootstrap creates", () => {
  const [, game] = functionOf(functions, GAME);
  const [, bootstrap] = functionOf(functions, BOOTSTRAP);
  const { DSQL_ENDPOINT: _, ...variables } = game.Properties.Environment.Variables;
  assert.deepEqual(variables, {
    DSQL_APPLICATION_NAME: "generate-game",
    DSQL_CHECKOUT_TIMEOUT_SECONDS: "3",
    DSQL_CONNECT_TIMEOUT_SECONDS: "2",
    DSQL_SEARCH_PATH: "games",
    DSQL_USER: "game",
    GAME_ANSWER_WITHIN_MILLIS: "3000",
  });
  const { DSQL_ENDPOINT: __, ...admin } = bootstrap.Properties.Environment.Variables;
  assert.deepEqual(admin, {
    DSQL_APPLICATION_NAME: "bootstrap",
    DSQL_USER: "admin",
    GAME_ROLE: "game",
    GAME_ROLE_ARN: game.Properties.Role,
    GAME_SWEEPER_ROLE: "game_sweeper",
    GAME_SWEEPER_ROLE_ARN: functionOf(functions, SWEEP)[1].Properties.Role,
  });
});

test("the function waits for the bootstrap, which needs nothing of the function", () => {
  const [game, { DependsOn = [] }] = functionOf(functions, GAME);
  const [run] = only(functions, "Custom::Bootstrap");
  assert.ok(DependsOn.includes(run), `${game} depends on ${DependsOn}`);
  const before = needs(run);
  for (const program of [BOOTSTRAP, FRAMEWORK]) {
    assert.ok(before.has(functionOf(functions, program)[0]), `${run} needs ${[...before]}`);
  }
  assert.ok(!before.has(game));
});

test("the bootstrap has its own caller, and a failure ends the wait", () => {
  const [framework, { Properties }] = functionOf(functions, FRAMEWORK);
  const [bootstrap, { Properties: program }] = functionOf(functions, BOOTSTRAP);
  const [, run] = only(functions, "Custom::Bootstrap");
  assert.deepEqual(run.Properties.ServiceToken, { "Fn::GetAtt": [framework, "Arn"] });
  assert.deepEqual(Properties.Environment.Variables, {
    USER_ON_EVENT_FUNCTION_ARN: { "Fn::GetAtt": [bootstrap, "Arn"] },
  });
  assert.ok(program.Timeout >= 120, "new permissions take more than a minute to be effective");
  assert.ok(Number(run.Properties.ServiceTimeout) > program.Timeout);
  assert.ok(Properties.Timeout > Number(run.Properties.ServiceTimeout));
});

test("the bootstrap runs again when the program, the role or the cluster changes", () => {
  const properties = (synthesis: Synthesis) =>
    only(synthesis.functions, "Custom::Bootstrap")[1].Properties;
  const run = properties(synthesis);
  assert.deepEqual(properties(new Synthesis()), run);

  const schema = new Synthesis({ GAME_ASSETS: programs({ bootstrap: "another schema" }) });
  assert.notDeepEqual(properties(schema).version, run.version);
  const game = new Synthesis({ GAME_ASSETS: programs({ game: "another game" }) });
  assert.deepEqual(properties(game).version, run.version);

  const [, { Properties }] = functionOf(functions, GAME);
  assert.deepEqual(run.grantee, Properties.Role);
  assert.deepEqual(run.sweeper, functionOf(functions, SWEEP)[1].Properties.Role);
  const [, { Properties: program }] = functionOf(functions, BOOTSTRAP);
  assert.deepEqual(run.endpoint, program.Environment.Variables.DSQL_ENDPOINT);
});

test("deleting a stack does not run the bootstrap", () => {
  const [, run] = only(functions, "Custom::Bootstrap");
  assert.equal(run.DeletionPolicy, "Retain");
});

test("callers get the alias, and old versions stay for a rollback", () => {
  const [game] = functionOf(functions, GAME);
  const [alias, { Properties }] = only(functions, "AWS::Lambda::Alias");
  assert.equal(Properties.Name, "live");
  const [version] = Properties.FunctionVersion["Fn::GetAtt"];
  const { [version]: resource } = found(functions, "AWS::Lambda::Version");
  assert.deepEqual(resource?.Properties.FunctionName, { Ref: game });
  assert.equal(resource?.DeletionPolicy, "Retain");
  functions.hasOutput("GameFunctionVersion", { Value: { "Fn::GetAtt": [version, "Version"] } });
  const uris = Object.values(found(synthesis.api, "AWS::ApiGateway::Method")).map(
    ({ Properties }) => JSON.stringify(Properties.Integration.Uri),
  );
  assert.ok(
    uris.every((uri) => uri.includes(alias)),
    uris[0],
  );
  const changed = new Synthesis({ GAME_ASSETS: programs({ game: "another game" }) });
  const [, { Properties: next }] = only(changed.functions, "AWS::Lambda::Alias");
  assert.notDeepEqual(next.FunctionVersion, Properties.FunctionVersion);
});

test("each function has the architecture of its program", () => {
  const x86 = new Synthesis({
    GAME_ARCHITECTURE: "x86_64",
    GAME_ASSETS: programs({ machine: X86_64 }),
  });
  for (const [{ functions }, architecture] of [
    [synthesis, "arm64"],
    [x86, "x86_64"],
  ] as const) {
    for (const program of [GAME, BOOTSTRAP, SWEEP]) {
      const [, { Properties }] = functionOf(functions, program);
      assert.deepEqual(Properties.Architectures, [architecture]);
      assert.equal(Properties.Runtime, "provided.al2023");
      assert.equal(Properties.TracingConfig.Mode, "Active");
    }
  }
});

test("every function writes JSON to its own log, which expires and outlives it", () => {
  const logs = found(functions, "AWS::Logs::LogGroup");
  const used = Object.values(found(functions, "AWS::Lambda::Function")).map(({ Properties }) => {
    assert.equal(Properties.LoggingConfig.LogFormat, "JSON");
    return Properties.LoggingConfig.LogGroup.Ref;
  });
  assert.deepEqual([...new Set(used)].sort(), Object.keys(logs).sort());
  for (const { Properties, DeletionPolicy } of Object.values(logs)) {
    assert.equal(Properties.RetentionInDays, 30);
    assert.equal(DeletionPolicy, "Retain");
  }
});

test("the function's memory, timeout and concurrency have defaults", () => {
  const size = ({ Properties }: Resource) => [
    Properties.MemorySize,
    Properties.Timeout,
    Properties.ReservedConcurrentExecutions,
  ];
  assert.deepEqual(size(functionOf(functions, GAME)[1]), [256, 10, 20]);
  const unreserved = new Synthesis({ GAME_RESERVED_CONCURRENCY: "none" });
  assert.deepEqual(size(functionOf(unreserved.functions, GAME)[1]), [256, 10, undefined]);
  const five = new Synthesis({ GAME_RESERVED_CONCURRENCY: "5" });
  assert.deepEqual(size(functionOf(five.functions, GAME)[1]), [256, 10, 5]);
});

test("a wrong memory, timeout or concurrency is refused", () => {
  for (const [props, says] of [
    [{ timeout: Duration.seconds(3) }, /a timeout of 3 s: .* 3 s of an answer/],
    [{ timeout: Duration.seconds(29) }, /a timeout of 29 s: .* API's 29 s/],
    [{ memorySize: 64 }, /a memory of 64 MB: Lambda has 128 to 10240/],
    [{ reservedConcurrency: 0 }, /a reserved concurrency of 0: choose 1 to 1000/],
    [{ reservedConcurrency: 1001 }, /a reserved concurrency of 1001/],
  ] as const) {
    assert.throws(() => stack(props), says);
  }
});

function stack(props: Partial<FunctionsStackProps>): FunctionsStack {
  const app = new App();
  const code = Code.fromAsset(programs());
  return new FunctionsStack(app, "Functions", {
    cluster: new StorageStack(app, "Storage", {}).cluster,
    code: { game: code, bootstrap: code, sweep: code },
    architecture: Architecture.ARM_64,
    ...props,
  });
}

/** Returns all that CloudFormation makes before a resource. */
function needs(id: string, seen = new Set<string>()): Set<string> {
  const { [id]: resource } = functions.toJSON()["Resources"] as Record<string, Resource>;
  const text = JSON.stringify(resource ?? {});
  const references = [
    ...text.matchAll(/"Ref":"(\w+)"/g),
    ...text.matchAll(/"Fn::GetAtt":\["(\w+)"/g),
  ].map(([, name = ""]) => name);
  for (const name of [...references, ...(resource?.DependsOn ?? [])]) {
    if (!seen.has(name)) {
      seen.add(name);
      needs(name, seen);
    }
  }
  return seen;
}
