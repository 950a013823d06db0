import { programs, X86_64 } from "./programs.ts";

/** Environments that between them switch on everything, for what checks whole templates. */
export const VARIANTS: Readonly<Record<string, Record<string, string>>> = {
  default: {},
  everything: {
    CDK_DEFAULT_ACCOUNT: "123456789012",
    GAME_ALARM_EMAIL: "ops@example.com",
    GAME_API_KEY_GENERATION: "2",
    GAME_KMS_KEY_ARN: "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    GAME_SMOKE_TEST_ROLE_ARN: "arn:aws:iam::123456789012:role/deploy",
    GAME_STAGE: "test",
  },
  "multi-region": {
    GAME_PEER_CLUSTER_ARNS:
      "arn:aws:dsql:us-east-2:123456789012:cluster/abcdefghijklmnopqrstuvwx23",
    GAME_WITNESS_REGION: "us-west-2",
  },
  "small-account": {
    GAME_ARCHITECTURE: "x86_64",
    GAME_ASSETS: programs({ machine: X86_64 }),
    GAME_RESERVED_CONCURRENCY: "none",
  },
};
