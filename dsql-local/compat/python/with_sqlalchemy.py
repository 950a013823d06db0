import uuid

from aurora_dsql_sqlalchemy import create_dsql_engine
from common import CA, HOST, PORT, conflict_of, expect
from sqlalchemy import String, inspect, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

engine = create_dsql_engine(
    host=HOST,
    user="admin",
    driver="psycopg",
    connect_args={"port": PORT, "sslmode": "verify-full", "sslrootcert": CA},
)


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "notes"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)
    note: Mapped[str] = mapped_column(String(50), index=True)


for table in Base.metadata.sorted_tables:
    table.create(engine)
expect(inspect(engine).get_table_names() == ["notes"], "other tables")
with Session(engine) as session:
    session.add(Note(note="first"))
    session.commit()
    expect(session.scalars(select(Note.note)).all() == ["first"], "no row came back")
one, two = Session(engine), Session(engine)
one.scalars(select(Note)).one().note = "one"
two.scalars(select(Note)).one().note = "two"
one.flush()


def conflicting():
    try:
        two.flush()
    finally:
        one.commit()
    two.commit()


conflict_of(conflicting, lambda error: error.orig.sqlstate)
two.rollback()
