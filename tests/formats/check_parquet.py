"""Parquet, read by pyarrow and by DuckDB: every field of every row, and sums."""

import datetime
import pathlib
import subprocess
import sys
import tempfile

import duckdb
import pyarrow.dataset
from made import Made, date_of

PARTS = ["strength", "dose", "form", "route", "frequency", "duration"]


def head_of(extraction):
    """The columns that both tables have of a note."""
    columns = {name: extraction[name] for name in ["note_id", "revision", "patient_id", "note_type", "site"]}
    columns.update({name: extraction[name] for name in ["model", "interpretation", "offset_unit"]})
    columns["signed_at"] = moment_of(extraction["signed_at"])
    date = date_of(extraction["signed_at"])
    columns["signed_date"] = date and str(date)
    return columns


def moment_of(signed):
    """The moment of a time that has a zone."""
    try:
        moment = datetime.datetime.fromisoformat(signed or "")
        return moment.astimezone(datetime.timezone.utc) if moment.tzinfo else None
    except ValueError:
        return None


def note_row(extraction):
    row = {**head_of(extraction), **extraction["coverage"], "entities": len(extraction["entities"])}
    return {**row, "signed_at_as_written": extraction["signed_at"], "text_hash": extraction["text_hash"]}


def entity_row(extraction, ordinal):
    entity = extraction["entities"][ordinal]
    assertion = entity.get("assertion", {})
    row = {**head_of(extraction), "ordinal": ordinal}
    row.update({name: entity[name] for name in ["task", "start", "end", "text", "score"]})
    row.update({name: assertion.get(name) for name in ["certainty", "temporality", "experiencer", "cues"]})
    present = [assertion.get(name) for name in ["certainty", "temporality", "experiencer"]]
    row["is_present"] = present == ["affirmed", "recent", "patient"] if assertion else None
    row.update({name: entity.get(name) for name in ["section", "concept", "dosage"]})
    if row["dosage"] is not None:
        row["dosage"] = {part: row["dosage"].get(part) for part in PARTS}
    return row


def sorted_rows(rows):
    return sorted(rows, key=lambda row: (row["note_id"], row["revision"], row.get("ordinal", 0)))


def check_rows(made, out):
    """Every field, by pyarrow."""
    found = {}
    for table in ["notes", "entities"]:
        dataset = pyarrow.dataset.dataset(out / table, format="parquet", partitioning="hive")
        found[table] = sorted_rows(dataset.to_table().to_pylist())
    assert found["notes"] == sorted_rows(note_row(extraction) for extraction in made.extractions)
    ordinals = [(extraction, at) for extraction in made.extractions for at in range(len(extraction["entities"]))]
    entities = [entity_row(extraction, at) for extraction, at in ordinals]
    assert len(entities) > 500, "too few to prove much"
    for one, other in zip(found["entities"], sorted_rows(entities), strict=True):
        assert one == other, f"{one}\n{other}"


def check_sums(made, out):
    """Sums by SQL, by DuckDB."""
    entities = [(extraction, entity) for extraction in made.extractions for entity in extraction["entities"]]
    tables = {table: f"'{out}/{table}/*/*.parquet'" for table in ["notes", "entities"]}
    ask = lambda query: duckdb.sql(query.format(**tables)).fetchall()
    assert ask("select count(*), sum(words)::bigint, sum(entities)::bigint from {notes}") == [
        (len(made.notes), sum(extraction["coverage"]["words"] for extraction in made.extractions), len(entities))
    ]
    sums = 'sum("end" - start)::bigint, sum(len(cues))::bigint, count(concept.code), count(dosage.route.text)'
    assert ask(f"select count(*), {sums} from {{entities}}") == [(
        len(entities),
        sum(entity["end"] - entity["start"] for _, entity in entities),
        sum(len(entity.get("assertion", {}).get("cues", [])) for _, entity in entities),
        sum("concept" in entity for _, entity in entities),
        sum("route" in entity.get("dosage", {}) for _, entity in entities),
    )]
    day = datetime.date(2026, 11, 9)
    on_that_day = sum(date_of(extraction["signed_at"]) == day for extraction, _ in entities)
    assert on_that_day > 0
    assert ask(f"select count(*) from {{entities}} where signed_date = date '{day}'") == [(on_that_day,)]
    undated = sum(date_of(extraction["signed_at"]) is None for extraction, _ in entities)
    assert undated > 0
    assert ask("select count(*) from {entities} where signed_date is null") == [(undated,)]


def main(write):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        made = Made(count=300, seed=7)
        subprocess.run([write, "parquet", *made.write(folder), folder / "out"], check=True)
        check_rows(made, folder / "out")
        check_sums(made, folder / "out")

        # Nothing, and a note of no date: types and columns are there all the same.
        undated = Made(count=0, seed=7)
        for count in [0, 1]:
            out = folder / f"undated{count}"
            subprocess.run([write, "parquet", *undated.write(folder), out], check=True)
            for table, rows in [("notes", count), ("entities", 0)]:
                query = f"select count(note_id), any_value(typeof(signed_date)) from '{out}/{table}/*/*.parquet'"
                assert duckdb.sql(query).fetchall() == [(rows, "DATE" if rows else None)]
                assert pyarrow.dataset.dataset(out / table, partitioning="hive").count_rows() == rows
            undated.extractions = [{**made.extractions[0], "signed_at": None, "entities": []}]
            undated.notes = [made.notes[0]]
    print(f"ok: Parquet, read by pyarrow {pyarrow.__version__} and DuckDB {duckdb.__version__}")


if __name__ == "__main__":
    main(sys.argv[1])
