"""What `end_to_end.py` found, as report.md and report.json."""
import json
import os
import pathlib
import re

CORPORA = ("ncbi_disease", "bc5cdr", "maccrobat")
SYSTEMS = {"weak": "weak student", "teacher": "teacher alone", "promoted": "promoted by retraining", "human": "human labels"}


def table(head, rows):
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in cells)


def words(done):
    """A row for each corpus and task, a column for each system: F1, with precision and recall."""
    systems = {**done["dev"], "teacher": done["teacher"]["dev"]}
    rows = []
    for corpus in CORPORA:
        for task in systems["weak"][corpus]:
            of_task = [systems[system][corpus].get(task) for system in SYSTEMS]
            rows.append([f"{corpus} {task}", *(f"{row['f1']:.3f} ({row['precision']:.3f}, {row['recall']:.3f})" if row else ""
                                               for row in of_task)])
    return table(["dev: F1 (precision, recall) in words", *SYSTEMS.values()], rows)


def beside(paced):
    """Extraction while a candidate trains and without, and how many times as much."""
    without, beside = paced["without"], paced["with"]

    def row(name, key, digits):
        one, other = without[key], beside[key]
        return [name, f"{one:.{digits}f}", f"{other:.{digits}f}", f"{other / one:.2f}"]

    spread = [f"{of['least']:.0f} to {of['most']:.0f}" for of in (without, beside)]
    return table(["extraction", "training stopped", "training beside it", "times"],
                 [row("notes/s of a backlog, median", "notes_per_second", 1), ["least and most", *spread, ""],
                  row("p50 from append to commit, ms", "p50_ms", 0), row("p99, ms", "p99_ms", 0),
                  ["notes at a steady rate", without["notes"], beside["notes"], ""]])


def latency(of):
    times = [of[key] for key in ("p50_ms", "p99_ms", "longest_ms")]
    return ", ".join([str(of["notes"]), *("" if time is None else f"{time:.0f}" for time in times)])


def figures(live):
    training, swap, report, mib = live["training"], live["swap"], live["report"], live["mib"]
    notes, of_tasks = report["notes"], report["tasks"]
    examples = ", ".join(f"{task} {of['teachers']} by teachers and {of['human']} by people" for task, of in of_tasks.items())
    rows = [
        ["notes in the stream, of which people annotated", f"{live['fed']['notes']}, {live['fed']['held_out']}"],
        ["documents learned from, chosen by, measured by", f"{notes['train']}, {notes['dev']}, {notes['held_out']}"],
        ["examples to learn from and to choose by", examples],
        ["all notes extracted, labelled and committed, s", f"{live['labelled_seconds']:.0f}"],
        ["training, s (stops left out)", f"{training['seconds']:.0f}, on {training['threads']} thread(s), niceness 10"],
        ["training, processor time, s", f"{training['cpu_seconds']:.0f}"],
        ["activation to the first committed note of the new student, s", f"{swap['seconds']:.2f}"],
        *([f"{when}: notes, p50, p99 and the longest from append to commit, ms", latency(swap[key])] for when, key in
          (("before the activation", "before"), ("until that note", "during"), ("in the 10 s after it", "after"))),
        ["notes by student in all of that time", ", ".join(f"{who} {n}" for who, n in swap["notes_by_student"].items())],
        ["peak memory of the training, MiB", f"{mib['training']:.0f}"],
        ["peak memory of the extraction, MiB", f"{mib['extraction']:.0f}"],
        ["peak memory of the retraining topology, MiB", f"{mib['retraining']:.0f}"],
    ]
    return table(["live", ""], rows)


def gate(report):
    """The verdict of the gate on the notes that are held out."""
    def f1(counts):
        tp, fp, fn = counts["tp"], counts["fp"], counts["fn"]
        return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0

    rows = [[of["task"], of["documents"], f"{f1(of['serving']):.3f}", f"{f1(of['candidate']):.3f}",
             f"{of['difference']['low']:+.3f} to {of['difference']['high']:+.3f}"] for of in report["figures"]]
    return table(["gate, on notes held out", "documents", "weak", "candidate", "difference, 95 %"], rows)


def write(work, done):
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())[1]
    machine = f"{len(os.sched_getaffinity(0))} cores of {cpu}; the parts that are there took " + ", ".join(
        f"{name} {part['step_seconds']:.0f} s" for name, part in done.items())
    live = done["live"]
    parts = [machine, words(done), gate(live["report"]), beside(live["paced"]), figures(live)]
    text = "\n\n".join(parts) + "\n"
    (work / "report.json").write_text(json.dumps(done, indent=1))
    (work / "report.md").write_text(text)
    print(text)
