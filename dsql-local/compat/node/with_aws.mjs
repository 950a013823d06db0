import { AuroraDSQLPool } from "@aws/aurora-dsql-node-postgres-connector";
import { expect, host, port, ssl } from "./common.mjs";

const pool = new AuroraDSQLPool({ host, port, user: "admin", database: "postgres", ssl });
await pool.query("CREATE TABLE notes (id int PRIMARY KEY, note text)");
await pool.query("INSERT INTO notes VALUES ($1, $2)", [1, "first"]);
const { rows } = await pool.query("SELECT note FROM notes");
expect(rows[0].note === "first", "no row came back");
await pool.end();
