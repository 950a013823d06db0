import { Token, Validations } from "aws-cdk-lib";
import { ApiKey, Period, type RestApi } from "aws-cdk-lib/aws-apigateway";
import { ArnPrincipal, PolicyStatement } from "aws-cdk-lib/aws-iam";
import type { IKey } from "aws-cdk-lib/aws-kms";
import { Secret } from "aws-cdk-lib/aws-secretsmanager";
import { Construct } from "constructs";
import { acknowledgeCheckov, SERVICE_KEY } from "./checkov.ts";

export interface CallerKeysProps {
  /**
   * The numbers of the valid keys, the newest last. Two during a rotation. Defaults to 1.
   */
  readonly generations?: readonly number[];
  /** A role of this account that may read the newest key's value. Defaults to none. */
  readonly readerRoleArn?: string;
  /** Defaults to the key of Secrets Manager. */
  readonly encryptionKey?: IKey;
}

/**
 * The API keys of one caller.
 *
 * Secrets Manager generates their values and CloudFormation reads them. They are in no template,
 * output or log.
 */
export class CallerKeys extends Construct {
  readonly keyId: string;
  readonly secretArn: string;
  /**
   * Tells the function that these keys belong to one caller, so that an Idempotency-Key stays valid
   * when the API key is rotated. The program reads variables that begin with `caller_`.
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

  /** Gives the caller access to the API, with a quota and a throttle. */
  admitTo(api: RestApi): void {
    const plan = api.addUsagePlan("Plan", {
      description: "The limits of one caller",
      apiStages: [{ stage: api.deploymentStage }],
      // Enough for a caller that sends one request after the other. The default reserved
      // concurrency serves a burst at once.
      throttle: { rateLimit: 10, burstLimit: 20 },
      // Limits the daily cost of a stolen key. Quotas are best effort; a budget notifies.
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
    // CloudFormation reads a secret only when the resource that refers to it changes. A new value
    // in an old secret would not reach the key.
    const secret = new Secret(this, `Secret${generation}`, {
      description: "The value of the API key of the game API",
      encryptionKey,
      // An API key has 20 to 128 characters and is sent in a header.
      generateSecretString: { passwordLength: 40, excludePunctuation: true, includeSpace: false },
    });
    Validations.of(secret).acknowledge({
      id: "AwsSolutions-SMG4",
      reason:
        "Callers hold the key, so an automatic rotation would lock them out. GAME_API_KEY_GENERATIONS rotates it with an overlap.",
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
