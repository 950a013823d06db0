import psycopg
from common import conflict_of, expect

one, two = psycopg.connect(autocommit=True), psycopg.connect(autocommit=True)
one.execute("CREATE TABLE notes (id int PRIMARY KEY, note text)")
with one.cursor() as cursor:
    cursor.executemany("INSERT INTO notes VALUES (%s, %s)", [(1, "first"), (2, "second")])
for _ in range(8):  # psycopg prepares the statement on the server at the fifth execution.
    row = one.execute("SELECT note FROM notes WHERE id = %s", (1,)).fetchone()
    expect(row == ("first",), row)
two.execute("SELECT 1 FROM notes")


outer = one.transaction()
outer.__enter__()
one.execute("UPDATE notes SET note = 'one' WHERE id = 1")


def conflicting():
    two.execute("BEGIN")
    two.execute("SELECT 1")
    try:
        two.execute("UPDATE notes SET note = 'two' WHERE id = 1")
    finally:
        outer.__exit__(None, None, None)
    two.execute("COMMIT")


conflict_of(conflicting, lambda error: error.sqlstate)
two.execute("ROLLBACK")
expect(one.execute("SELECT note FROM notes WHERE id = 1").fetchone() == ("one",), "the first writer lost")
