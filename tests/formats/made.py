"""Made-up notes and what might be found in them, with everything that a format may stumble over."""

import datetime
import hashlib
import json
import random

TASKS = ["disease", "medication", "symptom"]
WORDS = ["fever", "na\u00efve", "\U0001f912", "aspirin", "\"type 2\"", "a,b", "x;y=z", "mother's", "\u4e2d\u6587", "it\u0000ch", "<b>"]
GAPS = [" ", "\n", "\r\n", "\t", "  "]
UNITS = {
    "code_point": len,
    "byte": lambda text: len(text.encode()),
    "utf16": lambda text: len(text.encode("utf-16-le")) // 2,
}


class Made:
    """Notes, extractions of them, and the same extractions in code points."""

    def __init__(self, count, seed):
        self.draw = random.Random(seed)
        self.notes, self.extractions, self.expected = [], [], []
        ids = [self.name(index) for index in range(count)]
        # Some come again, amended.
        coming = [(note_id, 0) for note_id in ids] + [(note_id, 7) for note_id in self.draw.sample(ids, count // 8)]
        for note_id, revision in coming:
            self.add(note_id, revision)

    def name(self, index):
        return self.draw.choice(["n{}", "ward/{}", "../{}", "a\nb{}", "\"{}\"", "\u00e9,{}", "=1+{}"]).format(index)

    def maybe(self, *values):
        return self.draw.choice([None, *values])

    def add(self, note_id, revision):
        draw = self.draw
        text, places = "", []
        for _ in range(draw.choice([0, 1, 5, 40, 200])):
            word = draw.choice(WORDS)
            places.append((len(text), len(text) + len(word)))
            text += word + draw.choice(GAPS)
        day = datetime.date(2026, 11, 1) + datetime.timedelta(days=draw.randrange(20))
        at = [f"{day}T23:30:00-05:00", f"{day}T08:00:00.25Z", f"{day} 07:00:00", f"{day}", "last week", None]
        note = {
            "note_id": note_id,
            "patient_id": self.maybe("p1", "p2", "p/3"),
            "revision": revision,
            "note_type": self.maybe("progress_note", "x" * 300),
            "site": self.maybe("north"),
            "signed_at": draw.choice(at),
            "text": text,
        }
        found = sorted(draw.sample(places, min(len(places), draw.randrange(12))))
        entities = [self.entity(text, start, end) for start, end in found]
        head = {name: value for name, value in note.items() if name != "text"}
        head["text_hash"] = hashlib.sha256(text.encode()).hexdigest()
        head["model"] = "made@0123456789ab"
        head["interpretation"] = "assertion@0123456789ab" if text else None
        head["coverage"] = {"words": len(places), "word_pieces": 2 * len(places), "windows": 1}
        unit = draw.choice(list(UNITS))
        self.notes.append(note)
        self.expected.append({**head, "offset_unit": unit, "entities": entities})
        counted = [count_in(entity, text, UNITS[unit]) for entity in entities]
        self.extractions.append({**head, "offset_unit": unit, "entities": counted})

    def entity(self, text, start, end):
        draw = self.draw
        entity = {"task": draw.choice(TASKS), "start": start, "end": end, "text": text[start:end]}
        entity["score"] = draw.randrange(5000, 10001) / 10000
        place = {"start": start, "end": end}
        if draw.random() < 0.8:
            cue = {"says": "negated", "trigger": "no, \"sign\" of", **place}
            entity["assertion"] = {
                "certainty": draw.choice(["affirmed", "affirmed", "uncertain", "negated"]),
                "temporality": draw.choice(["recent", "recent", "historical", "hypothetical"]),
                "experiencer": draw.choice(["patient", "patient", "family", "other"]),
                "cues": [cue] * draw.randrange(3),
            }
        if draw.random() < 0.5:
            entity["section"] = "family_history"
        if draw.random() < 0.5:
            code = {"vocabulary": "rxnorm", "code": str(draw.randrange(1000))}
            ingredients = [{"vocabulary": "rxnorm", "code": "1"}] * draw.randrange(3)
            named = {"version": "2026", "name": "a \"name\"", "tier": draw.choice(["exact", "fuzzy"]), "score": 0.5}
            entity["concept"] = {**code, **named, "ingredients": ingredients}
        if draw.random() < 0.3:
            parts = draw.sample(["strength", "dose", "form", "route", "frequency", "duration"], draw.randrange(7))
            entity["dosage"] = {part: {**place, "text": text[start:end]} for part in parts}
        return entity

    def write(self, folder):
        """The two files that are given to who writes formats."""
        paths = [folder / "notes.jsonl", folder / "extractions.jsonl"]
        for path, records in zip(paths, [self.notes, self.extractions]):
            path.write_text("".join(json.dumps(without_nulls(record)) + "\n" for record in records))
        return paths


def count_in(value, text, length):
    """The same with positions counted by `length`."""
    if isinstance(value, list):
        return [count_in(item, text, length) for item in value]
    if isinstance(value, dict):
        at = lambda name, item: length(text[:item]) if name in ("start", "end") else count_in(item, text, length)
        return {name: at(name, item) for name, item in value.items()}
    return value


def without_nulls(record):
    return {name: value for name, value in record.items() if value is not None}


def date_of(signed):
    """The date of a time as it was written, or nothing."""
    try:
        return datetime.date.fromisoformat((signed or "")[:10])
    except ValueError:
        return None
