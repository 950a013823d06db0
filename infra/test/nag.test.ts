import assert from "node:assert/strict";
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Topic } from "aws-cdk-lib/aws-sns";
import { appOf } from "./support/synthesis.ts";
import { VARIANTS } from "./support/variants.ts";

for (const [variant, environment] of Object.entries(VARIANTS)) {
  test(`cdk-nag and the CDK report nothing: ${variant}`, () => {
    const outdir = mkdtempSync(join(tmpdir(), "cdk.out-"));
    appOf(environment, outdir).app.synth();
    const report = JSON.parse(readFileSync(join(outdir, "validation-report.json"), "utf8"));
    assert.deepEqual(report.pluginReports, []);
  });
}

test("a finding of cdk-nag fails the synthesis", () => {
  const { app, stacks } = appOf({});
  new Topic(stacks.api, "Plain");
  assert.throws(() => app.synth(), /ValidationFailed/);
});
