import pg from "pg";
import { conflictOf, expect, host, password, port, ssl } from "./common.mjs";

const pool = new pg.Pool({ host, port, user: "admin", password, database: "postgres", ssl });
await pool.query("CREATE TABLE notes (id int PRIMARY KEY, note text)");
await pool.query({ name: "add", text: "INSERT INTO notes VALUES ($1, $2)", values: [1, "first"] });
const { rows } = await pool.query("SELECT note FROM notes WHERE id = $1", [1]);
expect(rows[0].note === "first", "no row came back");
const [one, two] = [await pool.connect(), await pool.connect()];
for (const client of [one, two]) {
  await client.query("SELECT 1 FROM notes").catch(() => client.query("SELECT 1 FROM notes"));
  await client.query("BEGIN");
}
await one.query("UPDATE notes SET note = 'one'");
await conflictOf(async () => {
  try {
    await two.query("UPDATE notes SET note = 'two'");
  } finally {
    await one.query("COMMIT");
  }
  await two.query("COMMIT");
});
await two.query("ROLLBACK");
one.release();
two.release();
await pool.end();
