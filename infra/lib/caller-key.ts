import { Token, Validations } from "aws-cdk-lib";
import { ApiKey, Period, type RestApi } from "aws-cdk-lib/aws-apigateway";
import { ArnPrincipal, PolicyStatement } from "aws-cdk-lib/aws-iam";
import { Secret } from "aws-cdk-lib/aws-secretsmanager";
import { Construct } from "constructs";

export interface CallerKeyProps {
  readonly api: RestApi;
  /** Another number is another key; the one before it ends. Defaults to 1. */
  readonly generation?: number;
  /** A role of this account that may read the key's value. Defaults to none. */
  readonly readerRoleArn?: string;
}

/**
 * The key of one caller, and how much may be asked with it.
 *
 * Its value is made by Secrets Manager and read by CloudFormation: it is in no template, output or
 * log.
 */
export class CallerKey extends Construct {
  readonly keyId: string;
  readonly secretArn: string;

  constructor(
    scope: Construct,
    id: string,
    { api, generation = 1, readerRoleArn }: CallerKeyProps,
  ) {
    super(scope, id);
    check(generation, readerRoleArn);

    // CloudFormation reads a secret when what refers to it is new, so that a new value in an old
    // secret would not become the key's.
    const secret = new Secret(this, `Secret${generation}`, {
      description: "The value of the API key of the game API",
      // An API key takes 20 to 128 characters, and travels in a header.
      generateSecretString: { passwordLength: 40, excludePunctuation: true, includeSpace: false },
    });
    Validations.of(secret).acknowledge({
      id: "AwsSolutions-SMG4",
      reason:
        "The key is in its callers' hands, so that rotating it behind their backs would lock them out. It is replaced by raising its generation.",
    });
    const key = new ApiKey(this, `Key${generation}`, {
      description: "The caller of the game API",
      value: secret.secretValue.unsafeUnwrap(),
    });
    if (readerRoleArn) {
      secret.addToResourcePolicy(
        new PolicyStatement({
          principals: [new ArnPrincipal(readerRoleArn)],
          actions: ["secretsmanager:GetSecretValue"],
          resources: [secret.secretArn],
        }),
      );
    }

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
    plan.addApiKey(key);

    this.keyId = key.keyId;
    this.secretArn = secret.secretArn;
  }
}

function check(generation: number, readerRoleArn: string | undefined): void {
  if (!Number.isInteger(generation) || generation < 1) {
    throw new Error(`${generation} is no generation of an API key: count 1, 2, 3`);
  }
  if (readerRoleArn && !Token.isUnresolved(readerRoleArn) && !ROLE_ARN.test(readerRoleArn)) {
    throw new Error(
      `the reader ${readerRoleArn} is no role: write it like arn:aws:iam::123456789012:role/deploy`,
    );
  }
}

const ROLE_ARN = /^arn:aws[a-z-]*:iam::\d{12}:role\/[\w+=,.@/-]+$/;
