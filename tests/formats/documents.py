"""Reads what was written of notes by programs of others, and holds it against what was to be written.

brat and PubTator by the package bioc, JSON by Python's own reader. Arguments: what is expected, as samples.py makes it, and the folder
that was written to.
"""

import base64
import collections
import hashlib
import json
import pathlib
import sys
import urllib.parse

from bioc import brat, pubtator

BRAT = {"disease": "Disease_disorder", "medication": "Medication", "symptom": "Sign_symptom"}
PUBTATOR = {"disease": "Disease", "medication": "Chemical", "symptom": "Symptom"}
USUAL = {"certainty": "affirmed", "temporality": "recent", "experiencer": "patient"}
ENDS_OF_LINES = [chr(code) for code in [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029]]


def on_one_line(text):
    return "".join(" " if character in ENDS_OF_LINES else character for character in text)


def check(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: found {found!r}, expected {expected!r}")


def last_of(expected):
    """Of a note that comes again the last."""
    last = {item["note"]["note_id"]: at for at, item in enumerate(expected)}
    return [item for at, item in enumerate(expected) if last[item["note"]["note_id"]] == at]


def concept_of(entity, safe):
    concept = entity.get("concept")
    return concept and f"{concept['vocabulary']}:{urllib.parse.quote(concept['code'], safe=safe)}"


def expected_of_brat(item):
    expected = {}
    for entity in item["entities"]:
        axes = entity.get("assertion") or {}
        axes = {axis.capitalize(): axes[axis].capitalize() for axis, usual in USUAL.items() if axes.get(axis, usual) != usual}
        expected[(BRAT[entity["task"]], entity["start"], entity["end"])] = (axes, concept_of(entity, ":|"))
    return expected


def found_in_brat(path, text, configuration):
    lines = path.with_suffix(".ann").read_bytes().decode()
    document = brat.loads(text, lines)
    attributes = collections.defaultdict(dict)
    for attribute in document.attributes:
        (value,) = attribute.attributes
        check(f"annotation.conf knows {value}", value in configuration, True)
        attributes[attribute.refid][attribute.type] = value
    columns = [line.split("\t") for line in lines.split("\n") if line.startswith("N")]
    concepts = dict(place.split(" ", 2)[1:] for _, place, _ in columns)
    found = {}
    for entity in document.entities:
        fragments = sorted((fragment.begin, fragment.end) for fragment in entity.locations)
        check(f"{path}: {entity.id}", entity.text, " ".join(text[begin:end] for begin, end in fragments))
        place = (entity.type, fragments[0][0], fragments[-1][1])
        found[place] = (attributes[entity.id], concepts.get(entity.id))
    check(f"remarks of {path}", len(document.notes), len(document.entities))
    return found


def check_brat(folder, expected):
    by_id = {item["note"]["note_id"]: item for item in expected}
    files = {urllib.parse.unquote(str(path.relative_to(folder))[:-4]): path for path in folder.rglob("*.txt")}
    check("documents of brat", sorted(files), sorted(by_id))
    configuration = (folder / "annotation.conf").read_text()
    sections = [line.strip("[]") for line in configuration.splitlines() if line.startswith("[")]
    check("sections of annotation.conf", sections, ["entities", "relations", "events", "attributes"])
    for note_id, path in files.items():
        text = path.read_bytes().decode()
        check(f"text of {path}", text, by_id[note_id]["note"]["text"])
        check(f"{path}", found_in_brat(path, text, configuration), expected_of_brat(by_id[note_id]))


def check_pubtator(path, expected):
    # bioc passes over documents without words.
    expected = [item for item in expected if item["note"]["text"].strip()]
    documents = pubtator.loads(path.read_bytes().decode())
    ids = [urllib.parse.unquote(document.pmid) for document in documents]
    check("ids of PubTator", ids, [item["note"]["note_id"] for item in expected])
    for document, item in zip(documents, expected):
        text = on_one_line(item["note"]["text"])
        # bioc strips the ends of lines, and takes the two parts together by a line feed.
        check(f"text of {document.pmid}", on_one_line(document.text).rstrip(), text.rstrip())
        found = [(ann.type, ann.start, ann.end, ann.text, ann.id) for ann in document.annotations]
        mentions = []
        for entity in item["entities"]:
            start, end = entity["start"], entity["end"]
            mentions.append((PUBTATOR[entity["task"]], start, end, text[start:end], concept_of(entity, ":") or "-"))
        check(f"mentions of {document.pmid}", sorted(found), sorted(mentions))


def check_fhir(path, expected, with_text):
    bundles = [json.loads(line) for line in path.read_bytes().decode().split("\n") if line]
    check("bundles", len(bundles), len(expected))
    for bundle, item in zip(bundles, expected):
        text = item["note"]["text"]
        resources = {entry["fullUrl"]: entry["resource"] for entry in bundle["entry"]}
        check("urls that are there once", len(resources), len(bundle["entry"]))
        (document,) = (found for found in resources.values() if found["resourceType"] == "DocumentReference")
        attachment = document["content"][0]["attachment"]
        check("hash", base64.b64decode(attachment["hash"]), hashlib.sha1(text.encode()).digest())
        check("size", attachment["size"], len(text.encode()))
        check("text", base64.b64decode(attachment.get("data", "")).decode(), text if with_text else "")
        places = {(entity["start"], entity["end"]): entity["text"] for entity in item["entities"]}
        for provenance in resources.values():
            if provenance["resourceType"] == "Provenance":
                check_provenance(provenance, resources, document, places)


def check_provenance(provenance, resources, document, places):
    """That the words of a fact stand where its provenance says."""
    (source,), (target,) = provenance["entity"], provenance["target"]
    check("source", resources[source["what"]["reference"]], document)
    parts = source["extension"][0]["extension"]
    start, end = ([part["valueUnsignedInt"] for part in parts if part["url"] == name][0] for name in ("start", "end"))
    fact = resources[target["reference"]]
    (history,) = fact.get("condition", [{}])
    code = fact.get("medicationCodeableConcept") or fact.get("code") or history["code"]
    check("words", code["text"], " ".join(on_one_line(places[(start, end)]).split()))


def main():
    expected = last_of(json.loads(pathlib.Path(sys.argv[1]).read_text()))
    folder = pathlib.Path(sys.argv[2])
    check_brat(folder / "brat", expected)
    check_pubtator(folder / "notes.pubtator", expected)
    check_fhir(folder / "bundles.ndjson", expected, with_text=False)
    check_fhir(folder / "bundles-with-text.ndjson", expected, with_text=True)
    entities = sum(len(item["entities"]) for item in expected)
    print(f"bioc and Python: {len(expected)} notes, {entities} entities")


main()
