import { Duration, RemovalPolicy, Validations } from "aws-cdk-lib";
import {
  BackupPlan,
  BackupPlanRule,
  BackupResource,
  BackupSelection,
  BackupVault,
} from "aws-cdk-lib/aws-backup";
import { Schedule } from "aws-cdk-lib/aws-events";
import { ManagedPolicy, Role, ServicePrincipal } from "aws-cdk-lib/aws-iam";
import type { IKey } from "aws-cdk-lib/aws-kms";
import { Construct } from "constructs";
import { acknowledgeCheckov, SERVICE_KEY } from "./checkov.ts";

export interface BackupsProps {
  readonly clusterArn: string;
  readonly retentionDays: number;
  readonly key?: IKey;
}

/**
 * Backs the cluster up each day. A restore creates a new cluster, which the app adopts with
 * GAME_CLUSTER_ENDPOINT: docs/deploy.md, Restore.
 * https://docs.aws.amazon.com/aurora-dsql/latest/userguide/backup-aurora-dsql.html
 */
export class Backups extends Construct {
  readonly vaultName: string;

  constructor(scope: Construct, id: string, { clusterArn, retentionDays, key }: BackupsProps) {
    super(scope, id);
    if (!Number.isInteger(retentionDays) || retentionDays < 1) {
      throw new Error(
        `a backup retention of ${retentionDays} days: choose 1 or more, or none for no backups`,
      );
    }

    const vault = new BackupVault(this, "Vault", {
      encryptionKey: key,
      // Backups protect against deleting too much, so they outlive the stack.
      removalPolicy: RemovalPolicy.RETAIN,
    });
    acknowledgeCheckov(vault, key ? {} : { CKV_AWS_166: SERVICE_KEY });
    const plan = new BackupPlan(this, "Plan", {
      backupVault: vault,
      backupPlanRules: [
        new BackupPlanRule({
          ruleName: "daily",
          scheduleExpression: Schedule.cron({ hour: "3", minute: "0" }),
          startWindow: Duration.hours(1),
          completionWindow: Duration.hours(12),
          deleteAfter: Duration.days(retentionDays),
        }),
      ],
    });
    const role = new Role(this, "Role", {
      description: "Lets AWS Backup read the cluster",
      assumedBy: new ServicePrincipal("backup.amazonaws.com"),
      managedPolicies: [
        ManagedPolicy.fromAwsManagedPolicyName("service-role/AWSBackupServiceRolePolicyForBackup"),
      ],
    });
    Validations.of(role).acknowledge({
      id: "AwsSolutions-IAM4[Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup]",
      reason:
        "AWS's policy for AWS Backup: AWS adds actions when backups need them. Only AWS Backup can assume the role.",
    });
    new BackupSelection(this, "Selection", {
      backupPlan: plan,
      backupSelectionName: "cluster",
      resources: [BackupResource.fromArn(clusterArn)],
      role: role.withoutPolicyUpdates(),
    });
    this.vaultName = vault.backupVaultName;
  }
}
