import { join } from "node:path";
import { appOf } from "./synthesis.ts";
import { VARIANTS } from "./variants.ts";

// Writes the templates of every variant, for validators that read files: <folder>/<variant>/*.template.json
const [folder] = process.argv.slice(2);
if (!folder) {
  throw new Error("name the folder to write to");
}
for (const [variant, environment] of Object.entries(VARIANTS)) {
  appOf(environment, join(folder, variant)).app.synth();
}
