"""What a student makes of soft labels: hard labels of an ensemble beside shares of its teachers at three temperatures, from one base.

    cargo build --release
    python benches/soft.py --base BASE --out /tmp/soft --small      # less than a quarter of an hour on two cores
    python benches/soft.py --base BASE --out /tmp/soft-whole        # 1,200 documents, four passes

The documents are drawn evenly from the train splits, and lose their annotations: vocabularies label them as notes
(`studies/teachers`, or --teachers), and one ensemble of all of these merges the labels (--rule, or a file of `teachers select` by
--ensemble). Every student learns the same notes with the same recipe, once a seed; dev documents are as people annotated them. Take a
base that has not learned these documents before: the student in `models/` has.

Passes, temperatures and thresholds of each student are chosen on dev, so that what soft targets do to the scale of probabilities does
not count. The figures are word-level F1 over all dev documents of a task, the mean of the seeds and their standard deviation. Whatever
is trained already is not trained again, and a training that was killed goes on.
"""
import argparse
import collections
import hashlib
import json
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORPORA = ["ncbi_disease", "bc5cdr", "maccrobat"]
TASKS = ["disease", "medication", "symptom"]
ARMS = {
    "hard": [],
    "soft, T = 0.5": ["--soft", "--soft-temperature", "0.5"],
    "soft, T = 1": ["--soft"],
    "soft, T = 2": ["--soft", "--soft-temperature", "2"],
}


def arguments():
    parser = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    parser.add_argument("--base", required=True, help="as for `stillroom train --base`")
    parser.add_argument("--out", required=True, type=pathlib.Path, help="folder for notes, labels and students")
    parser.add_argument("--corpora", type=pathlib.Path, default=ROOT.parent / "shared/data/corpora")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/stillroom")
    parser.add_argument("--teachers", nargs="+", type=pathlib.Path, help="files of profiles",
                        default=[ROOT / "studies/teachers" / f"{name}.toml" for name in ("plain", "rules", "labels")])
    parser.add_argument("--rule", default="union", help="union, intersection, or at_least:K")
    parser.add_argument("--ensemble", type=pathlib.Path, help="in place of all teachers by the rule")
    parser.add_argument("--small", action="store_true", help="200 documents, 60 of each dev split, two passes")
    parser.add_argument("--documents", type=int, help="to learn from; 1200 by default")
    parser.add_argument("--dev-documents", type=int, help="of each dev split; all by default")
    parser.add_argument("--epochs", type=int, help="passes; 4 by default")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--rate", type=float, default=3e-4)
    given = parser.parse_args()
    defaults = (200, 60, 2) if given.small else (1200, sys.maxsize, 4)
    for name, default in zip(("documents", "dev_documents", "epochs"), defaults):
        if getattr(given, name) is None:
            setattr(given, name, default)
    return given


def read(path):
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def write(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def evenly(rows, count):
    """So many of the rows at most, from all over."""
    count = min(count, len(rows))
    return [rows[index * len(rows) // count] for index in range(count)]


def ensemble_text(teachers, rule):
    """Every teacher for every task; the figures that a choice has are not read by `train`."""
    name, _, least = rule.partition(":")
    rule = f'rule = "{name}"\n' + (f"least = {least}\n" if least else "")
    names = json.dumps([teacher.stem for teacher in teachers])
    return "".join(f"[{task}]\nf1 = 0.0\ninterval = [0.0, 1.0]\ndocuments = 0\nteachers = {names}\n{rule}\n" for task in TASKS)


def prepare(given):
    """Notes, dev documents, labels and ensemble; a hash that is another one when any of them is."""
    train = [row for corpus in CORPORA for row in read(given.corpora / corpus / "train.jsonl")]
    notes = [{"note_id": row["id"], "text": row["text"]} for row in evenly(train, given.documents)]
    write(given.out / "notes.jsonl", notes)
    for corpus in CORPORA:
        write(given.out / f"{corpus}.jsonl", evenly(read(given.corpora / corpus / "dev.jsonl"), given.dev_documents))
    teachers = ",".join(str(teacher.resolve()) for teacher in given.teachers)
    stillroom(given, ["label", "notes.jsonl", "--teachers", teachers, "--public", "-o", "labels.jsonl"])
    chosen = given.ensemble.read_text() if given.ensemble else ensemble_text(given.teachers, given.rule)
    (given.out / "ensemble.toml").write_text(chosen)
    # What a label took is another number each time.
    said = [[label[key] for key in ("note_id", "annotator", "tasks", "spans")] for label in read(given.out / "labels.jsonl")]
    dev = [(given.out / f"{corpus}.jsonl").read_text(encoding="utf-8") for corpus in CORPORA]
    learned = json.dumps([notes, sorted(said, key=json.dumps), dev, chosen, given.base, given.epochs, given.rate])
    print(f"{len(notes)} notes; of what any teacher marks {disagreement(said):.1%} is not marked by all", flush=True)
    return hashlib.sha256(learned.encode()).hexdigest()[:12]


def disagreement(said):
    """The share of marked code points that not every teacher marks: without any there is nothing that could be soft."""
    teachers, marks = {annotator for _, annotator, _, _ in said}, collections.Counter()
    for note, _, _, spans in said:
        places = {(note, span["task"], at) for span in spans for at in range(span["start"], span["end"])}
        marks.update(places)
    return sum(count < len(teachers) for count in marks.values()) / max(1, len(marks))


def stillroom(given, command):
    done = subprocess.run([str(given.binary.resolve()), *command], cwd=given.out, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"stillroom {command[0]} ended with {done.returncode}:\n{done.stderr}")


def train(given, folder, options):
    """The manifest of the student in a folder, which is trained if it is not there."""
    path = given.out / folder
    if not (path / "manifest.json").exists() or (path / "checkpoint").exists():
        began = time.monotonic()
        dev = [part for corpus in CORPORA for part in ("--dev", f"{corpus}.jsonl")]
        recipe = ["--rate", str(given.rate), "--head-rate-factor", "10", "--linear-decay", "--epochs", str(given.epochs)]
        stillroom(given, ["train", "--base", given.base, "--notes", "notes.jsonl", "--labels", "labels.jsonl", "--ensemble",
                          "ensemble.toml", *dev, "--out", folder, *recipe, "--dev-documents-max", "30", *options])
        print(f"{folder}: {time.monotonic() - began:.0f} s", flush=True)
    return json.loads((path / "manifest.json").read_text())


def f1(manifest, task):
    counts = [of[task] for of in manifest["dev_counts"].values() if task in of]
    tp, wrong = sum(of["tp"] for of in counts), sum(of["fp"] + of["fn"] for of in counts)
    return 2 * tp / max(1, 2 * tp + wrong)


def main():
    given = arguments()
    if pathlib.Path(given.base).is_dir():
        # Commands run in the folder of what they make.
        given.base = str(pathlib.Path(given.base).resolve())
    given.out.mkdir(parents=True, exist_ok=True)
    prepared = prepare(given)
    rows = {arm: [] for arm in ARMS}
    # By turns, so that a run that is stopped has something of every row.
    for seed in given.seeds:
        for arm, options in ARMS.items():
            name = arm.replace(", T = ", "-")
            manifest = train(given, f"{prepared}-{name}-{seed}", [*options, "--seed", str(seed)])
            rows[arm].append([f1(manifest, task) for task in TASKS])
    print(f"| {len(given.seeds)} seeds | " + " | ".join(TASKS) + " | mean |\n" + "|---" * (len(TASKS) + 2) + "|")
    for arm, seeds in rows.items():
        columns = [*zip(*seeds), [statistics.mean(row) for row in seeds]]
        deviation = lambda column: statistics.stdev(column) if len(column) > 1 else 0.0
        cells = [f"{statistics.mean(column):.4f} ± {deviation(column):.4f}" for column in columns]
        print(f"| {arm} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
