import aurora_dsql_psycopg as dsql
from common import CA, HOST, PORT, REGION, expect

connection = dsql.connect(
    host=HOST, port=PORT, region=REGION, user="admin", dbname="postgres", sslmode="verify-full", sslrootcert=CA
)
connection.autocommit = True
connection.execute("CREATE TABLE notes (id int PRIMARY KEY, note text)")
connection.execute("INSERT INTO notes VALUES (1, 'first')")
expect(connection.execute("SELECT note FROM notes").fetchone() == ("first",), "no row came back")
