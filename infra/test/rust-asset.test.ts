import assert from "node:assert/strict";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Architecture } from "aws-cdk-lib/aws-lambda";
import { rustAsset } from "../lib/rust-asset.ts";
import { AARCH64, programs, X86_64 } from "./support/programs.ts";

const folder = (machine?: number) => join(programs({ machine }), "generate-game");

test("a program for the function's architecture is accepted", () => {
  rustAsset(folder(AARCH64), Architecture.ARM_64);
  rustAsset(folder(X86_64), Architecture.X86_64);
});

test("a program for another machine is refused, with both named", () => {
  assert.throws(
    () => rustAsset(folder(X86_64), Architecture.ARM_64),
    /bootstrap is for x86_64, but the function is arm64: build it with `.* --arm64 .*GAME_ARCHITECTURE/,
  );
  assert.throws(
    () => rustAsset(folder(AARCH64), Architecture.X86_64),
    /bootstrap is for arm64, but the function is x86_64: build it with `.* --x86-64 .*/,
  );
});

test("a file that is not a program is refused", () => {
  for (const content of ["", "#!/bin/sh\n", "\x7fELF", "MZ".padEnd(64)]) {
    const assets = folder();
    writeFileSync(join(assets, "bootstrap"), content);
    assert.throws(() => rustAsset(assets, Architecture.ARM_64), /is no Linux program for Lambda/);
  }
});

test("a program that may not be executed is refused", () => {
  const assets = folder();
  chmodSync(join(assets, "bootstrap"), 0o644);
  assert.throws(() => rustAsset(assets, Architecture.ARM_64), /is not executable.*: chmod \+x it/);
});

test("a missing program is refused with how to build it", () => {
  for (const assets of ["/nowhere", join(programs(), "..")]) {
    assert.throws(
      () => rustAsset(assets, Architecture.ARM_64),
      /bootstrap is missing: build it with `cargo lambda build .* --lambda-dir target\/functions .*GAME_ASSETS/,
    );
  }
});
