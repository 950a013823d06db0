import { Token, Validations } from "aws-cdk-lib";
import { ApiKey, Period, type RestApi } from "aws-cdk-lib/aws-apigateway";
import { ArnPrincipal, PolicyStatement } from "aws-cdk-lib/aws-iam";
import type { IKey } from "aws-cdk-lib/aws-kms";
import { Secret } from "aws-cdk-lib/aws-secretsmanager";
import { Construct } from "constructs";
import { acknowledgeCheckov, SERVICE_KEY } from "./checkov.ts";

export interface CallerKeysProps {
  /**
   * The keys that are valid, by number; the last one is the newest. During a rotation that is two.
   * Defaults to 1.
   */
  readonly generations?: readonly number[];
  /** A role of this account that may read the newest key's value. Defaults to none. */
  readonly readerRoleArn?: string;
  /** Secrets Manager's own key unless given. */
  readonly encryptionKey?: IKey;
}

/**
 * The API keys of one caller.
 *
 * Their values are made by Secrets Manager and read by CloudFormation: they are in no template,
 * output or log.
 */
export class CallerKeys extends Construct {
  readonly keyId: string;
  readonly secretArn: string;
  /**
   * Tells the function that these keys are one caller: an Idempotency-Key of a caller outlives the
   * rotation of its API key. The program looks for variables that begin with `caller_`.
   */
  readonly stageVariables: Record<string, string>;
  private readonly keys: readonly ApiKey[];

  constructor(scope: Construct, id: string, props: CallerKeysProps) {
    super(scope, id);
    const { generations = [1], readerRoleArn, encryptionKey } = props;
    check(generations, readerRoleArn);

    const made = generations.map((generation) => this.key(generation, encryptionKey));
    const newest = made.at(-1);
    if (!newest) {
      throw new Error("a caller needs a key");
    }
    if (readerRoleArn) {
      newest.secret.addToResourcePolicy(
        new PolicyStatement({
          principals: [new ArnPrincipal(readerRoleArn)],
          actions: ["secretsmanager:GetSecretValue"],
          resources: [newest.secret.secretArn],
        }),
      );
    }
    this.keys = made.map(({ key }) => key);
    this.keyId = newest.key.keyId;
    this.secretArn = newest.secret.secretArn;
    this.stageVariables = { caller_game: this.keys.map(({ keyId }) => keyId).join(",") };
  }

  /** Lets the caller in, and says how much it may ask. */
  admitTo(api: RestApi): void {
    const plan = api.addUsagePlan("Plan", {
      description: "What one caller may ask",
      apiStages: [{ stage: api.deploymentStage }],
      // A caller who asks one after the other needs no more; the functions that are reserved by
      // default answer a burst of it at once.
      throttle: { rateLimit: 10, burstLimit: 20 },
      // Mostly bounds what a stolen key costs in a day: quotas are best effort, a budget is what tells.
      // https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-api-usage-plans.html
      quota: { limit: 10_000, period: Period.DAY },
    });
    for (const key of this.keys) {
      plan.addApiKey(key);
    }
  }

  private key(
    generation: number,
    encryptionKey: IKey | undefined,
  ): { key: ApiKey; secret: Secret } {
    // CloudFormation reads a secret when what refers to it is new, so that a new value in an old
    // secret would not become the key's.
    const secret = new Secret(this, `Secret${generation}`, {
      description: "The value of the API key of the game API",
      encryptionKey,
      // An API key takes 20 to 128 characters, and travels in a header.
      generateSecretString: { passwordLength: 40, excludePunctuation: true, includeSpace: false },
    });
    Validations.of(secret).acknowledge({
      id: "AwsSolutions-SMG4",
      reason:
        "The key is in its callers' hands, so that rotating it behind their backs would lock them out. GAME_API_KEY_GENERATIONS rotates it with an overlap.",
    });
    acknowledgeCheckov(secret, encryptionKey ? {} : { CKV_AWS_149: SERVICE_KEY });
    const key = new ApiKey(this, `Key${generation}`, {
      description: "The caller of the game API",
      value: secret.secretValue.unsafeUnwrap(),
    });
    return { key, secret };
  }
}

function check(generations: readonly number[], readerRoleArn: string | undefined): void {
  for (const generation of generations) {
    if (!Number.isInteger(generation) || generation < 1) {
      throw new Error(`${generation} is no generation of an API key: count 1, 2, 3`);
    }
  }
  if (new Set(generations).size !== generations.length) {
    throw new Error(`the API key generations ${generations.join(", ")} repeat one`);
  }
  if (readerRoleArn && !Token.isUnresolved(readerRoleArn) && !ROLE_ARN.test(readerRoleArn)) {
    throw new Error(
      `the reader ${readerRoleArn} is no role: write it like arn:aws:iam::123456789012:role/deploy`,
    );
  }
}

const ROLE_ARN = /^arn:aws[a-z-]*:iam::\d{12}:role\/[\w+=,.@/-]+$/;
