import assert from "node:assert/strict";
import { test } from "node:test";
import { only, Synthesis } from "./support/synthesis.ts";

test("GAME_KMS_KEY_ARN encrypts the cluster, the backups, the logs, the secrets and the topic", () => {
  const key = "arn:aws:kms:us-east-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab";
  const encrypted = new Synthesis({ GAME_KMS_KEY_ARN: key });
  const [, { Properties: cluster }] = only(encrypted.storage, "AWS::DSQL::Cluster");
  assert.equal(cluster.KmsEncryptionKey, key);
  const [, { Properties: vault }] = only(encrypted.storage, "AWS::Backup::BackupVault");
  assert.equal(vault.EncryptionKeyArn, key);
  for (const { Properties } of encrypted.resources("AWS::Logs::LogGroup")) {
    assert.equal(Properties.KmsKeyId, key);
  }
  for (const { Properties } of encrypted.resources("AWS::SecretsManager::Secret")) {
    assert.equal(Properties.KmsKeyId, key);
  }
  const [, { Properties: topic }] = only(encrypted.api, "AWS::SNS::Topic");
  assert.equal(topic.KmsMasterKeyId, key);
  const plain = JSON.stringify(new Synthesis().templates.map((template) => template.toJSON()));
  assert.doesNotMatch(plain, /Kms|EncryptionKey/);
});
