import django
from common import CA, HOST, PORT, REGION, expect
from django.conf import settings

settings.configure(
    INSTALLED_APPS=["django.contrib.contenttypes"],
    DATABASES={
        "default": {
            "ENGINE": "aurora_dsql_django",
            "HOST": HOST,
            "PORT": PORT,
            "NAME": "postgres",
            "USER": "admin",
            "OPTIONS": {"sslmode": "verify-full", "sslrootcert": CA, "region": REGION},
        }
    },
    DEFAULT_AUTO_FIELD="aurora_dsql_django.fields.AutoField",
)
django.setup()

from django.db import connection, models  # noqa: E402


class Note(models.Model):
    id = models.UUIDField(primary_key=True, default=__import__("uuid").uuid4)
    note = models.CharField(max_length=50)

    class Meta:
        app_label = "contenttypes"
        db_table = "notes"


with connection.schema_editor() as editor:
    editor.create_model(Note)
Note.objects.create(note="first")
expect(list(Note.objects.filter(note__startswith="f").values_list("note", flat=True)) == ["first"], "no row came back")
expect("notes" in connection.introspection.table_names(), "the table is not listed")
