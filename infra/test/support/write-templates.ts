import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Template } from "aws-cdk-lib/assertions";
import { included } from "./included.ts";
import { appOf } from "./synthesis.ts";
import { VARIANTS } from "./variants.ts";

// Writes the templates of every variant, for validators of files: <folder>/<variant>/*.template.json.
// Also writes those that are deployed by hand, as JSON: <folder>/by-hand/*.template.json.
const [folder] = process.argv.slice(2);
if (!folder) {
  throw new Error("name the folder to write to");
}
for (const [variant, environment] of Object.entries(VARIANTS)) {
  appOf(environment, join(folder, variant)).app.synth();
}
const byHand = join(folder, "by-hand");
mkdirSync(byHand, { recursive: true });
for (const name of ["api-gateway-logs", "execution-policy", "github-oidc", "key"]) {
  const template = Template.fromStack(included(`../../${name}.yaml`)).toJSON();
  writeFileSync(join(byHand, `${name}.template.json`), JSON.stringify(template, undefined, 1));
}
