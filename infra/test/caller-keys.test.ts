import assert from "node:assert/strict";
import { test } from "node:test";
import { found, only, Synthesis } from "./support/synthesis.ts";

const { api } = new Synthesis();

test("a key has a quota, and a throttle below the stage's", () => {
  const [, { Properties: plan }] = only(api, "AWS::ApiGateway::UsagePlan");
  const [stage, { Properties }] = only(api, "AWS::ApiGateway::Stage");
  assert.deepEqual(plan.Quota, { Limit: 10_000, Period: "DAY" });
  assert.deepEqual(plan.Throttle, { RateLimit: 10, BurstLimit: 20 });
  assert.deepEqual(plan.ApiStages[0].Stage, { Ref: stage });
  const [all] = Properties.MethodSettings;
  assert.equal(all.HttpMethod + all.ResourcePath, "*/*");
  assert.ok(all.ThrottlingRateLimit > plan.Throttle.RateLimit);
  assert.ok(all.ThrottlingBurstLimit > plan.Throttle.BurstLimit);
});

test("Secrets Manager generates and stores the value of the key", () => {
  const [secret, { Properties }] = only(api, "AWS::SecretsManager::Secret");
  assert.deepEqual(Properties.GenerateSecretString, {
    PasswordLength: 40,
    ExcludePunctuation: true,
    IncludeSpace: false,
  });
  const [key, { Properties: value }] = only(api, "AWS::ApiGateway::ApiKey");
  assert.deepEqual(value.Value, {
    "Fn::Join": ["", ["{{resolve:secretsmanager:", { Ref: secret }, ":SecretString:::}}"]],
  });
  const [, { Properties: use }] = only(api, "AWS::ApiGateway::UsagePlanKey");
  assert.deepEqual(use.KeyId, { Ref: key });
  api.hasOutput("ApiKeyId", { Value: { Ref: key } });
  api.hasOutput("ApiKeySecretArn", { Value: { Ref: secret } });
});

test("during a rotation both keys are valid and belong to one caller", () => {
  const callers = (generations: string) => {
    const { api } = new Synthesis({ GAME_API_KEY_GENERATIONS: generations });
    const keys = Object.keys(found(api, "AWS::ApiGateway::ApiKey"));
    const admitted = Object.values(found(api, "AWS::ApiGateway::UsagePlanKey"));
    assert.deepEqual(
      admitted.map(({ Properties }) => Properties.KeyId.Ref),
      keys,
    );
    assert.equal(Object.keys(found(api, "AWS::SecretsManager::Secret")).length, keys.length);
    const [, { Properties: stage }] = only(api, "AWS::ApiGateway::Stage");
    assert.deepEqual(Object.keys(stage.Variables), ["caller_game"]);
    const ids = stage.Variables.caller_game;
    const references = ids.Ref ? [ids] : ids["Fn::Join"][1].filter((id: unknown) => id !== ",");
    assert.deepEqual(
      references.map(({ Ref }: { Ref: string }) => Ref),
      keys,
    );
    const { ApiKeyId } = api.findOutputs("*");
    assert.deepEqual(ApiKeyId?.["Value"], { Ref: keys.at(-1) }, "the output is the newest");
    return keys;
  };
  const [first, second, third] = [callers("1"), callers("1,2"), callers("2")];
  assert.deepEqual([...first, ...third], second);
});
