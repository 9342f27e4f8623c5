"""Makes what examples/write_format.rs reads, and what of it has to come back, of the samples of operators/formats and of made-up notes.

Arguments: the samples, and a folder. It gets a folder `samples` and a folder `made`, each with notes.jsonl, extractions.jsonl and
expected.json: a list of notes, each with its entities in code points.
"""

import hashlib
import json
import pathlib
import sys

from made import Made, UNITS, count_in, without_nulls


def entity_of(text, sample):
    """An entity of a sample, whose words and those of its cues and dosage are found in the text."""
    start = -1
    for _ in range(sample.get("nth", 0) + 1):
        start = text.index(sample["words"], start + 1)

    def place(words, begin):
        at = text.index(words, begin)
        return {"start": at, "end": at + len(words)}

    entity = {"task": sample["task"], **place(sample["words"], start), "text": sample["words"], "score": 0.9375}
    if "assertion" in sample:
        cues = [{"says": says, "trigger": words, **place(words, 0)} for says, words in sample.get("cues", [])]
        entity["assertion"] = {**sample["assertion"], "cues": cues}
    parts = sample.get("dosage", {})
    if parts:
        entity["dosage"] = {name: {**place(words, start), "text": words} for name, words in parts.items()}
    return {**entity, **{name: sample[name] for name in ("section", "concept") if name in sample}}


def extraction_of(note, entities):
    head = {name: value for name, value in note.items() if name != "text"}
    head["text_hash"] = hashlib.sha256(note["text"].encode()).hexdigest()
    head.update(revision=note.get("revision", 0), model="sample@0123456789ab", offset_unit="utf16")
    head["coverage"] = {"words": 1, "word_pieces": 1, "windows": 1}
    # In a unit in which every writer has to count anew.
    return {**head, "entities": count_in(entities, note["text"], UNITS["utf16"])}


def write(folder, notes, extractions, entities):
    folder.mkdir(parents=True)
    for name, records in [("notes", notes), ("extractions", extractions)]:
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(without_nulls(record)) + "\n" for record in records))
    expected = [{"note": note, "entities": found} for note, found in zip(notes, entities)]
    (folder / "expected.json").write_text(json.dumps(expected))


def main():
    samples = json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    folder = pathlib.Path(sys.argv[2])
    notes = [sample["note"] for sample in samples]
    entities = [[entity_of(sample["note"]["text"], found) for found in sample.get("entities", [])] for sample in samples]
    write(folder / "samples", notes, [extraction_of(note, found) for note, found in zip(notes, entities)], entities)
    made = Made(60, seed=11)
    write(folder / "made", made.notes, made.extractions, [found["entities"] for found in made.expected])


main()
