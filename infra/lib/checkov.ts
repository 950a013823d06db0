import { CfnResource } from "aws-cdk-lib";
import type { IConstruct } from "constructs";

/**
 * Acknowledges a rule of checkov that does not apply to a resource. `npm run lint:templates` runs
 * checkov.
 * https://www.checkov.io/2.Basics/Suppressing%20and%20Skipping%20Policies.html
 */
export function acknowledgeCheckov(construct: IConstruct, reasons: Record<string, string>): void {
  const resource =
    construct instanceof CfnResource ? construct : (construct.node.defaultChild as CfnResource);
  const before = resource.getMetadata("checkov")?.skip ?? [];
  const skip = Object.entries(reasons).map(([id, comment]) => ({ id, comment }));
  if (skip.length > 0) {
    resource.addMetadata("checkov", { skip: [...before, ...skip] });
  }
}

/** The reason for resources that the service's key encrypts unless GAME_KMS_KEY_ARN is set. */
export const SERVICE_KEY =
  "The key of the service encrypts it. GAME_KMS_KEY_ARN replaces that key.";
