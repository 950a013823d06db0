// Shared by the clients: the cluster's address, and the SQLSTATE of a conflict.
import { readFileSync } from "node:fs";

export const { PGHOST: host, PGPASSWORD: password } = process.env;
export const port = Number(process.env.PGPORT);
export const ssl = { ca: readFileSync(process.env.PGSSLROOTCERT), rejectUnauthorized: true };

export function expect(condition, what) {
  if (!condition) throw new Error(what);
}

// Runs a function that must fail with a conflict.
export async function conflictOf(run) {
  let conflict;
  try {
    await run();
  } catch (error) {
    conflict = error;
  }
  expect(conflict, "the second writer got no error");
  expect((conflict.code ?? conflict.cause?.code) === "40001", `got ${conflict} instead of a conflict`);
}
