import { readFileSync } from "node:fs";
import { App } from "aws-cdk-lib";
import { Template } from "aws-cdk-lib/assertions";
import { settings } from "../../lib/settings.ts";
import { addStacks, type Stacks } from "../../lib/stacks.ts";
import { programs } from "./programs.ts";

/** A resource of a template. */
export interface Resource {
  readonly Type: string;
  // biome-ignore lint/suspicious/noExplicitAny: a template is JSON of any shape
  readonly Properties: any;
  readonly DependsOn?: readonly string[];
  readonly DeletionPolicy?: string;
  readonly UpdateReplacePolicy?: string;
}

/** The stacks and templates of an environment. */
export class Synthesis {
  readonly stacks: Stacks;
  readonly storage: Template;
  readonly functions: Template;
  readonly api: Template;

  constructor(environment: Record<string, string> = {}) {
    this.stacks = appOf(environment).stacks;
    this.storage = Template.fromStack(this.stacks.storage);
    this.functions = Template.fromStack(this.stacks.functions);
    this.api = Template.fromStack(this.stacks.api);
  }

  get templates(): readonly Template[] {
    return [this.storage, this.functions, this.api];
  }

  /** Returns the resources of a type in all stacks. */
  resources(type: string): readonly Resource[] {
    return this.templates.flatMap((template) => Object.values(found(template, type)));
  }

  /** Returns the exported value of an import. */
  imported(value: unknown): unknown {
    const name = (value as { "Fn::ImportValue"?: string })["Fn::ImportValue"];
    for (const template of this.templates) {
      for (const output of Object.values(template.findOutputs("*"))) {
        if (name && output["Export"]?.Name === name) {
          return output["Value"];
        }
      }
    }
    throw new Error(`${JSON.stringify(value)} is imported from no stack`);
  }
}

/** Returns the app of an environment, with stand-ins for the programs. */
export function appOf(environment: Record<string, string>, outdir?: string) {
  const app = new App({ context: CONTEXT, outdir });
  const stacks = addStacks(
    app,
    settings({ AWS_REGION: "us-east-1", GAME_ASSETS: BUILT, ...environment }),
  );
  return { app, stacks };
}

/** Returns the resources of a type by their logical IDs. */
export function found(template: Template, type: string): Record<string, Resource> {
  return template.findResources(type) as unknown as Record<string, Resource>;
}

/** Returns the only resource of a type, and its logical ID. */
export function only(template: Template, type: string): [string, Resource] {
  const [first, ...others] = Object.entries(found(template, type));
  if (!first || others.length > 0) {
    throw new Error(`there are ${others.length + (first ? 1 : 0)} of ${type}`);
  }
  return first;
}

/** Returns the function of a description, and its logical ID. */
export function functionOf(template: Template, description: RegExp): [string, Resource] {
  const functions = Object.entries(found(template, "AWS::Lambda::Function"));
  const match = functions.find(([, { Properties }]) => description.test(Properties.Description));
  if (!match) {
    throw new Error(`no function is described as ${description}`);
  }
  return match;
}

export const GAME = /^Makes up games/;
export const BOOTSTRAP = /^Prepares the cluster/;
export const SWEEP = /^Sweeps old outcomes/;
export const FRAMEWORK = /^AWS CDK resource provider framework/;

/** The CLI passes this context to the app. */
const CONTEXT = JSON.parse(
  readFileSync(new URL("../../cdk.json", import.meta.url), "utf8"),
).context;

const BUILT = programs();
