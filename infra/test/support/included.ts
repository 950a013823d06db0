import { App, Stack } from "aws-cdk-lib";
import { CfnInclude } from "aws-cdk-lib/cloudformation-include";

/** Reads a template as CloudFormation would. */
export function included(path: string): Stack {
  const stack = new Stack(new App(), "Included");
  new CfnInclude(stack, "Template", {
    templateFile: new URL(path, import.meta.url).pathname,
  });
  return stack;
}
