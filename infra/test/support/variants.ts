import { programs, X86_64 } from "./programs.ts";

/** Environments that together turn on every setting, for checks of whole templates. */
export const VARIANTS: Readonly<Record<string, Record<string, string>>> = {
  default: {},
  // For the wiring tests: moto's account, without resources that moto cannot create.
  account: {
    CDK_DEFAULT_ACCOUNT: "123456789012",
    GAME_API_KEY_GENERATIONS: "1,2",
    GAME_BACKUP_RETENTION_DAYS: "none",
  },
  everything: {
    CDK_DEFAULT_ACCOUNT: "123456789012",
    GAME_ALARM_EMAIL: "ops@example.com",
    GAME_API_KEY_GENERATIONS: "1,2",
    GAME_AUTHORIZER: "iam",
    GAME_BACKUP_RETENTION_DAYS: "7",
    GAME_FAULT_INJECTION: "on",
    GAME_KMS_KEY_ARN: "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab",
    GAME_MONTHLY_BUDGET_USD: "20",
    GAME_PERMISSIONS_BOUNDARY_ARN: "arn:aws:iam::123456789012:policy/boundary",
    GAME_SMOKE_TEST_ROLE_ARN: "arn:aws:iam::123456789012:role/deploy",
    GAME_STAGE: "test",
    GAME_SUBNET_IDS: "subnet-0123456789abcdef0,subnet-0123456789abcdef1",
    GAME_VPC_ID: "vpc-0123456789abcdef0",
    GAME_WEB_ACL: "on",
  },
  "user-pool": {
    GAME_AUTHORIZER: "arn:aws:cognito-idp:us-east-1:123456789012:userpool/us-east-1_AbCdEfGhI",
    GAME_STAGE: "test",
  },
  "multi-region": {
    GAME_CLUSTER_ARNS:
      "arn:aws:dsql:us-east-1:123456789012:cluster/abcdefghijklmnopqrstuvwx23,arn:aws:dsql:us-east-2:123456789012:cluster/abcdefghijklmnopqrstuvwx24",
    GAME_CLUSTER_ENDPOINTS:
      "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws,abcdefghijklmnopqrstuvwx24.dsql.us-east-2.on.aws",
    GAME_FAULT_INJECTION: "on",
    GAME_REGIONS: "us-east-1,us-east-2",
    GAME_WITNESS_REGION: "us-west-2",
  },
  restored: {
    GAME_CLUSTER_ARN: "arn:aws:dsql:us-east-1:123456789012:cluster/abcdefghijklmnopqrstuvwx23",
    GAME_CLUSTER_ENDPOINT: "abcdefghijklmnopqrstuvwx23.dsql.us-east-1.on.aws",
  },
  "small-account": {
    GAME_ARCHITECTURE: "x86_64",
    GAME_ASSETS: programs({ machine: X86_64 }),
    GAME_RESERVED_CONCURRENCY: "none",
  },
};
