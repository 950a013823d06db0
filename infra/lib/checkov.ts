import { CfnResource } from "aws-cdk-lib";
import type { IConstruct } from "constructs";

/**
 * Tells checkov, which `npm run lint:templates` runs, why a rule does not apply to a resource.
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

/** For what is encrypted by a key of the service unless GAME_KMS_KEY_ARN names one. */
export const SERVICE_KEY =
  "The service's own key encrypts it. GAME_KMS_KEY_ARN names one of your own.";
