"""NOTE and NOTE_NLP of OMOP, loaded by DuckDB and SQLite into tables with the constraints of the specification, and compared."""

import collections
import csv
import pathlib
import sqlite3
import subprocess
import sys
import tempfile

import duckdb
from made import Made, date_of

# Column, type, whether it is required, and length: OMOP_CDMv5.4_Field_Level.csv of the OHDSI's CommonDataModel.
NOTE = [
    ("note_id", "integer", True, None),
    ("person_id", "integer", True, None),
    ("note_date", "date", True, None),
    ("note_datetime", "timestamp", False, None),
    ("note_type_concept_id", "integer", True, None),
    ("note_class_concept_id", "integer", True, None),
    ("note_title", "varchar", False, 250),
    ("note_text", "varchar", True, None),
    ("encoding_concept_id", "integer", True, None),
    ("language_concept_id", "integer", True, None),
    ("provider_id", "integer", False, None),
    ("visit_occurrence_id", "integer", False, None),
    ("visit_detail_id", "integer", False, None),
    ("note_source_value", "varchar", False, 50),
    ("note_event_id", "integer", False, None),
    ("note_event_field_concept_id", "integer", False, None),
]
NOTE_NLP = [
    ("note_nlp_id", "integer", True, None),
    ("note_id", "integer", True, None),
    ("section_concept_id", "integer", False, None),
    ("snippet", "varchar", False, 250),
    ("offset", "varchar", False, 50),
    ("lexical_variant", "varchar", True, 250),
    ("note_nlp_concept_id", "integer", False, None),
    ("note_nlp_source_concept_id", "integer", False, None),
    ("nlp_system", "varchar", False, 250),
    ("nlp_date", "date", True, None),
    ("nlp_datetime", "timestamp", False, None),
    ("term_exists", "varchar", False, 1),
    ("term_temporal", "varchar", False, 50),
    ("term_modifiers", "varchar", False, 2000),
]
TABLES = {"note": NOTE, "note_nlp": NOTE_NLP}
SIDECARS = ["note_stillroom", "note_nlp_stillroom"]


def ddl(table, columns):
    """The table as the specification has it, its lengths checked in bytes as well, and with its keys."""
    lines = []
    for name, kind, is_required, length in columns:
        line = f'"{name}" {kind}' + (" not null" if is_required else "")
        if kind == "integer":
            # SQLite would take any number.
            line += f' check ("{name}" between -2147483648 and 2147483647)'
        lines.append(line + (f' check (octet_length(encode("{name}")) <= {length})' if length else ""))
    keys = [f"primary key ({table}_id)"]
    if table == "note_nlp":
        keys.append("foreign key (note_id) references note (note_id)")
    return f"create table {table} ({', '.join(lines + keys)})"


def rows_of(path):
    """The rows of a file by column; what is empty is null, but for the text that must not be."""
    with open(path, newline="", encoding="utf-8") as file:
        csv.field_size_limit(1 << 30)
        for row in csv.DictReader(file):
            yield {name: None if value == "" and name != "note_text" else value for name, value in row.items()}


def check_header(out):
    for table, columns in TABLES.items():
        with open(out / f"{table}.csv", newline="", encoding="utf-8") as file:
            assert next(csv.reader(file)) == [name for name, *_ in columns], table


def in_sqlite(out):
    """Loaded into SQLite as the specification has the tables."""
    database = sqlite3.connect(":memory:")
    database.execute("pragma foreign_keys = on")
    for table, columns in TABLES.items():
        # SQLite's length of a blob is in bytes.
        in_bytes = ddl(table, columns).replace("octet_length(encode(", "length(cast(").replace('")) <=', '" as blob)) <=')
        database.execute(in_bytes)
        marks = ", ".join("?" * len(columns))
        rows = (list(row.values()) for row in rows_of(out / f"{table}.csv"))
        database.executemany(f"insert into {table} values ({marks})", rows)
    return database


def in_duckdb(out, tables):
    """Loaded into DuckDB by COPY, into the tables that are made by `tables`."""
    database = duckdb.connect()
    for statement in tables:
        database.execute(statement)
    for table in [*TABLES, *SIDECARS]:
        if database.execute("select count(*) from duckdb_tables() where table_name = ?", [table]).fetchone() == (1,):
            # As PostgreSQL reads CSV: nothing is null, and a pair of quotes an empty text.
            options = "delimiter ',', quote '\"', escape '\"', nullstr '', allow_quoted_nulls false, strict_mode true"
            database.execute(f"copy {table} from '{out}/{table}.csv' (format csv, header, {options})")
    return database


def last_of(made):
    """Each note with what was found in it last, by its id."""
    return {note["note_id"]: (note, expected) for note, expected in zip(made.notes, made.expected)}


def check_values(made, database):
    """What the tables say against what was found, for every mention."""
    query = """
        select source_note_id, note_text, person_id, note_date, start_offset, end_offset, lexical_variant, snippet, "offset",
               term_exists, term_temporal, term_modifiers, certainty, temporality, experiencer, code, section_concept_id, interpretation
        from note_nlp
        join note_nlp_stillroom on note_nlp_stillroom.note_nlp_id = note_nlp.note_nlp_id
                               and note_nlp_stillroom.note_id = note_nlp.note_id
        join note on note.note_id = note_nlp.note_id
        join note_stillroom on note_stillroom.note_id = note_nlp.note_id
        order by source_note_id, start_offset"""
    found = collections.defaultdict(list)
    for row in database.execute(query).fetchall():
        found[row[0]].append(row)
    mentions = 0
    for note_id, (note, expected) in last_of(made).items():
        text = note["text"].replace("\0", "\ufffd")
        for row, entity in zip(found.pop(note_id, []), expected["entities"], strict=True):
            _, note_text, person, date, start, end, variant, snippet, offset, *row = row
            exists, temporal, modifiers, *axes, code, section, interpretation = row
            assertion = entity.get("assertion")
            assert (note_text, start, end) == (text, entity["start"], entity["end"])
            assert variant == text[start:end] and offset == str(start)
            plain = "".join(" " if character.isspace() else character for character in entity["text"].replace("\0", " "))
            assert plain in snippet
            assert (person == 0) == (note["patient_id"] is None)
            assert str(date) == str(date_of(note["signed_at"]) or "1970-01-01")
            assert interpretation == expected["interpretation"]
            assert axes == [assertion and assertion[name] for name in ["certainty", "temporality", "experiencer"]]
            is_so = axes[0] == "affirmed" and axes[1] != "hypothetical" and axes[2] == "patient"
            assert exists == (assertion and ("Y" if is_so else "N"))
            assert temporal == (assertion and {"recent": "present", "historical": "past", "hypothetical": None}[axes[1]])
            assert ("Negation=true" in (modifiers or "")) == (axes[0] == "negated")
            assert code == entity.get("concept", {}).get("code") and section == (0 if "section" in entity else None)
            mentions += 1
    assert not found and mentions > 300, (len(found), mentions)
    return mentions


def check_counts(made, database, mentions):
    notes = database.execute("select count(*), count(distinct note_id) from note").fetchone()
    assert notes == (len(last_of(made)),) * 2
    assert database.execute("select count(*), count(distinct note_nlp_id) from note_nlp").fetchone() == (mentions, mentions)
    empty = sum(note["text"] == "" for note, _ in last_of(made).values())
    assert empty > 0 and database.execute("select count(*) from note where note_text = ''").fetchone() == (empty,)


def main(write):
    made = Made(count=300, seed=11)
    specified = [ddl(table, columns) for table, columns in TABLES.items()]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        notes = made.write(folder)
        # Hashes in the tables of omop.sql, and counted ids in those of the specification, whose integers have 32 bits.
        subprocess.run([write, "omop", *notes, folder / "hashed"], check=True)
        subprocess.run([write, "omop", *notes, folder / "counted", "1000"], check=True)
        for name in ["hashed", "counted"]:
            out = folder / name
            check_header(out)
            script = (out / "omop.sql").read_text()
            database = in_duckdb(out, [script])
            check_counts(made, database, check_values(made, database))
        mentions = database.execute("select count(*) from note_nlp").fetchone()[0]
        check_counts(made, in_duckdb(folder / "counted", specified), mentions)
        check_counts(made, in_sqlite(folder / "counted"), mentions)

        empty = Made(count=0, seed=11).write(folder)
        subprocess.run([write, "omop", *empty, folder / "empty"], check=True)
        database = in_duckdb(folder / "empty", [(folder / "empty/omop.sql").read_text()])
        assert database.execute("select count(*) from note").fetchone() == (0,)
    print(f"ok: OMOP, loaded by DuckDB {duckdb.__version__} and SQLite {sqlite3.sqlite_version}")


if __name__ == "__main__":
    main(sys.argv[1])
