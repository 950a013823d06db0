import psycopg2
from common import conflict_of, expect

one, two = psycopg2.connect(""), psycopg2.connect("")
cursors = [connection.cursor() for connection in (one, two)]
first, second = cursors
first.execute("CREATE TABLE notes (id int PRIMARY KEY, note text)")
one.commit()
first.execute("INSERT INTO notes VALUES (%s, %s) RETURNING note", (1, "first"))
expect(first.fetchone() == ("first",), "no row came back")
one.commit()
second.execute("SELECT note FROM notes")
first.execute("UPDATE notes SET note = 'one'")


def conflicting():
    try:
        second.execute("UPDATE notes SET note = 'two'")
    finally:
        one.commit()
    two.commit()


conflict_of(conflicting, lambda error: error.pgcode)
two.rollback()
