import { App } from "aws-cdk-lib";
import { settings } from "../lib/settings.ts";
import { addStacks } from "../lib/stacks.ts";

addStacks(new App(), settings(process.env));
