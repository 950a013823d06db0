import { join } from "node:path";
import { type App, Tags, Validations } from "aws-cdk-lib";
import { ManagedPolicy, PermissionsBoundary } from "aws-cdk-lib/aws-iam";
import { AwsSolutionsChecks } from "cdk-nag";
import { ApiStack } from "./api-stack.ts";
import { FunctionsStack } from "./functions-stack.ts";
import { rustAsset } from "./rust-asset.ts";
import type { Settings } from "./settings.ts";
import { StorageStack } from "./storage-stack.ts";

/** The stacks. Each uses values of the one before it. With an existing cluster, Storage is last. */
export interface Stacks {
  readonly storage: StorageStack;
  readonly functions: FunctionsStack;
  readonly api: ApiStack;
}

/** Adds the stacks of a deployment to the app. A finding of cdk-nag fails the synthesis. */
export function addStacks(app: App, settings: Settings): Stacks {
  const { stage, architecture, assets, region, account } = settings;
  const of = (layer: string) => `GenerateGame-${stage}-${layer}`;
  const env = { region, account };

  const storage = new StorageStack(app, of("Storage"), {
    env,
    description: "generate-game: the Aurora DSQL cluster",
    kmsKeyArn: settings.kmsKeyArn,
    multiRegion: settings.multiRegion,
    existingCluster: settings.existingCluster,
    backupRetentionDays: settings.backupRetentionDays,
    network: settings.network,
  });
  const functions = new FunctionsStack(app, of("Functions"), {
    env,
    description:
      "generate-game: the Lambda, the bootstrap of its schema, and the sweep of its outcomes",
    cluster: storage.cluster,
    peer: settings.peer,
    network: storage.network,
    kmsKeyArn: settings.kmsKeyArn,
    code: {
      game: rustAsset(join(assets, "generate-game"), architecture),
      bootstrap: rustAsset(join(assets, "bootstrap"), architecture),
      sweep: rustAsset(join(assets, "sweep"), architecture),
    },
    architecture,
    reservedConcurrency: settings.reservedConcurrency,
  });
  const api = new ApiStack(app, of("Api"), {
    env,
    description: "generate-game: the API, its key and its alarms",
    cluster: storage.cluster,
    peer: settings.peer,
    game: functions.game,
    sweep: functions.sweep,
    stageName: stage,
    keyGenerations: settings.apiKeyGenerations,
    keyReaderRoleArn: settings.smokeTestRoleArn,
    authorizer: settings.authorizer,
    webAcl: settings.webAcl,
    alarmEmail: settings.alarmEmail,
    monthlyBudget: settings.monthlyBudget,
    faultInjection: settings.faultInjection,
    kmsKeyArn: settings.kmsKeyArn,
  });
  if (settings.existingCluster) {
    // Storage may have exported the endpoint of its own cluster before. CloudFormation removes an
    // export only after no stack imports it.
    storage.addStackDependency(api);
  }

  if (settings.permissionsBoundary) {
    PermissionsBoundary.of(app).apply(
      ManagedPolicy.fromManagedPolicyArn(storage, "Boundary", settings.permissionsBoundary),
    );
  }
  Tags.of(app).add("application", "generate-game");
  Tags.of(app).add("stage", stage);
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  return { storage, functions, api };
}
