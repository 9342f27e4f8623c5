"""The published method live: a weak student, a stream of notes that a vocabulary labels, and the student that retraining makes of it.

    cargo build --release --bin stillroom --example figures
    python benches/end_to_end.py --base FOLDER_OF_A_BERT --work /tmp/end-to-end      # Python 3.11, nothing to install

Steps, each in a folder of its own below --work; one whose result is there is skipped, one that was interrupted begins anew:
    weak        a student of 30 documents and one pass, or that of --weak
    teacher     the vocabulary alone on the dev splits, and the ensemble that it is
    live        the training documents of NCBI Disease, BC5CDR and MACCROBAT are notes on a log in a folder. `run` extracts them by the
                weak student and has each labelled by the vocabulary; `run --topology retraining` beside it trains on the labels
                alone, as people annotate only notes that are held out, and promotes by its gate. While it trains, a backlog and notes
                at a steady rate are timed, by turns with the training stopped (SIGSTOP) and going on. Then notes are appended until
                the new student has read one
    human       a student from the same weak one, on what people say of the same documents, by the same recipe
    report      word-level precision, recall and F1 on the dev splits, from which nobody learns and by which nothing is chosen

Memory is the resident peak of a process (VmHWM). The official test splits are not touched. About 25 minutes on two cores; the figures
of `live` are comparable within one run.
"""
import argparse
import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time

from end_to_end_report import CORPORA, write

ROOT = pathlib.Path(__file__).resolve().parent.parent
NOTES, LABELS = "clinical.notes.v1", "clinical.labels.v1"
STALL_SECONDS_MAX = 300
# As the student that comes with stillroom was trained, in fewer passes.
RECIPE = {"rate": 3e-4, "head_rate_factor": 10.0, "linear_decay": True}
# Of processor time, after which a training is past its start.
TRAINING_CPU_SECONDS_MIN = 10


def call(command, **options):
    """Runs a command to its end; what it printed."""
    command = list(map(str, command))
    print("$", " ".join(command), flush=True)
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def wait_for(what, is_there, processes=()):
    """Waits until `is_there()` gives something; ends the program when a process that is needed ends first, or nothing comes."""
    began = time.monotonic()
    while not (found := is_there()):
        ended = [process for process in processes if process.poll() is not None]
        if ended or time.monotonic() - began > STALL_SECONDS_MAX:
            raise SystemExit(f"{what} did not come; look at the *.err in the folder live")
        time.sleep(0.2)
    return found


def status(pid, field):
    """A size in /proc/PID/status, in MiB; 0 when the process is gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        found = re.search(rf"{field}:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())
        return int(found[1]) / 1024 if found else 0
    return 0


class Training(threading.Thread):
    """Watches the training that retraining has started: when it ends, its processor time and the peak of its memory."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid, self.began, self.stopped_seconds = pid, time.monotonic(), 0.0
        self.seconds = self.cpu_seconds = self.mib = 0
        self.ended = threading.Event()
        self.start()

    @staticmethod
    def of(parent):
        """That of a process of retraining; None when it has none."""
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                is_child = re.search(rf"^PPid:\s+{parent}$", (folder / "status").read_text(), re.M)
                arguments = (folder / "cmdline").read_bytes().split(b"\0")
                # The program nice becomes the training.
                if is_child and b"--leash" in arguments and not arguments[0].endswith(b"nice"):
                    return Training(int(folder.name))
        return None

    def run(self):
        while mib := status(self.pid, "VmHWM"):
            self.mib = max(self.mib, mib)
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                times = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
                self.cpu_seconds = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
            self.seconds = time.monotonic() - self.began - self.stopped_seconds
            time.sleep(0.1)
        self.ended.set()

    @contextlib.contextmanager
    def stopped(self):
        """Stopped meanwhile."""
        began = time.monotonic()
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)
            self.stopped_seconds += time.monotonic() - began

    def send(self, number):
        # One that has just ended is noticed by run().
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)


class Bench:
    def __init__(self, args):
        self.args, self.work = args, args.work.resolve()
        self.weak = args.weak.resolve() if args.weak else self.work / "weak/student"
        self.live = self.work / "live"
        self.train, self.dev = ({name: args.corpora.resolve() / name / f"{part}.jsonl" for name in CORPORA}
                                for part in ("train", "dev"))
        self.work.mkdir(parents=True, exist_ok=True)

    def stillroom(self, *arguments):
        return call([self.args.binary, *arguments])

    def figures(self, *arguments, **variables):
        """The line of JSON that a group of figures ends with."""
        variables = {"STILLROOM_FOLDER": str(self.live / "log"), **variables}
        return json.loads(call([self.args.figures, *arguments], env={**os.environ, **variables}).splitlines()[-1])

    def step(self, name, make):
        """Makes NAME/result.json, unless it is there."""
        result = self.work / name / "result.json"
        if not result.exists():
            shutil.rmtree(result.parent, ignore_errors=True)
            result.parent.mkdir()
            began = time.monotonic()
            made = {**make(), "step_seconds": time.monotonic() - began}
            result.write_text(json.dumps(made, indent=1))
        return json.loads(result.read_text())

    def learn(self, base, folder, train, dev, epochs):
        """Trains a student in FOLDER/student."""
        plain = {"rate": RECIPE["rate"], "head-rate-factor": RECIPE["head_rate_factor"], "epochs": epochs,
                 "patience": epochs, "seed": 0, "name": folder.name}
        options = [part for name, value in plain.items() for part in (f"--{name}", value)]
        began = time.monotonic()
        self.stillroom("train", "--base", base, "--train", train, "--dev", dev, "--out", folder / "student", "--linear-decay",
                       *options)
        return {"seconds": time.monotonic() - began}

    def data(self):
        """Documents of each corpus in an order of their own: first those of the weak student, then the stream's."""
        held_out = {json.loads(line)["text"].strip() for path in self.dev.values() for line in lines(path)}
        few = self.args.weak_documents // len(CORPORA)
        parts = {"weak": [], "weak-dev": [], "stream": []}
        for path in self.train.values():
            documents = [(json.loads(line), line) for line in lines(path)]
            documents.sort(key=lambda row: hashlib.sha256(row[0]["id"].encode()).digest())
            # What is in a dev split too would flatter whoever learns from it.
            own = [line for row, line in documents if row["text"].strip() not in held_out]
            parts["weak"] += own[:few]
            parts["weak-dev"] += own[few:2 * few]
            parts["stream"] += own[2 * few:][:self.args.documents or None]
        for name, part in parts.items():
            (self.work / "data" / f"{name}.jsonl").write_text("".join(part))
        return {name: len(part) for name, part in parts.items()}

    def teacher(self):
        teacher, folder = self.args.teacher.resolve(), self.work / "teacher"
        common = ["--teachers", teacher, "--model", self.weak, "--public", "--set", f"teachers.store={folder / 'labels.redb'}"]
        alone = {}
        for name, path in self.dev.items():
            rows = self.stillroom("teachers", "select", "--json", "--dev", path, *common).splitlines()
            # One teacher is one subset; of several rules that come to the same the first counts.
            alone[name] = {row["task"]: row["figures"] for row in reversed(list(map(json.loads, rows)))}
        every = [part for path in self.dev.values() for part in ("--dev", path)]
        self.stillroom("teachers", "select", *every, *common, "-o", folder / "ensemble.toml")
        return {"dev": alone}

    def configure(self, examples):
        """The configuration of both topologies; a run starts when so many examples are new: all."""
        quoted, args = (lambda path: json.dumps(str(path))), self.args
        recipe = [f"{name} = {json.dumps(value)}" for name, value in {**RECIPE, "epochs": args.epochs}.items()]
        config = self.live / "stillroom.toml"
        config.write_text("\n".join([
            "[log]", f"dir = {quoted(self.live / 'log')}", "[student]", f"folders = [{quoted(self.weak)}]",
            "[models]", f"registry = {quoted(self.live / 'registry')}",
            "[teachers]", f"profiles = {quoted(args.teacher.resolve().parent)}", f"ask = [{quoted(args.teacher.stem)}]",
            f"store = {quoted(self.live / 'labels.redb')}", f"ensemble = {quoted(self.work / 'teacher/ensemble.toml')}",
            "[teachers.sampling]", "rate = 1.0", 'note_types = [{ note_type = "paced", rate = 0.0 }]',
            "[retraining]", f"dir = {quoted(self.live / 'retraining')}", f"held_out = {args.held_out / 100}",
            f"labels_min = {examples}", "f1_drop = 0.0", "look_every_seconds = 1", f"threads = {args.threads}", "keep_snapshots = true",
            f"patience = {args.epochs}", "[retraining.recipe]", *recipe, ""]))
        return config

    @contextlib.contextmanager
    def running(self, name, *arguments):
        """A process that is told to end at the end, with what it says in NAME.out and NAME.err."""
        with open(self.live / f"{name}.out", "w") as out, open(self.live / f"{name}.err", "w") as err:
            command = list(map(str, [self.args.binary, "run", "-c", self.live / "stillroom.toml", *arguments]))
            print("$", " ".join(command), "&", flush=True)
            process = subprocess.Popen(command, stdout=out, stderr=err)
        try:
            yield process
        finally:
            process.terminate()
            process.wait(120)

    def said(self, name):
        return (self.live / name).read_text()

    def verdict(self):
        """What came of the run of retraining; None until it is done."""
        line, end, _ = self.said("retraining.out").partition("\n")
        return json.loads(line) if end else None

    def read(self, topic):
        """How many records of a topic are committed as read."""
        path = self.live / "log/progress.json"
        inputs = json.loads(path.read_text())["progress"]["inputs"] if path.exists() else {}
        return sum(inputs.get(topic, {}).values())

    def go_live(self):
        profile = self.args.teacher.read_text()
        tasks = len(set(re.findall(r'task = "(\w+)"', profile)))
        fed = self.figures("feed", self.args.held_out, STILLROOM_GOLD=str(self.work / "data/stream.jsonl"))
        self.configure(fed["learned"] * tasks)
        began = time.monotonic()
        with self.running("extraction") as extraction:
            wait_for("the extraction", lambda: "running on" in self.said("extraction.err"), [extraction])
            with self.running("retraining", "--topology", "retraining") as retraining:
                both = [extraction, retraining]
                wait_for("all labels", lambda: self.read(LABELS) >= fed["notes"], both)
                labelled = time.monotonic() - began
                training = wait_for("the training", lambda: Training.of(retraining.pid), both)
                paced = self.alternate(training)
                training.ended.wait()
                swap = self.swap(both)
                memory = {name: status(process.pid, "VmHWM") for name, process in
                          (("extraction", extraction), ("retraining", retraining))}
        return {"fed": fed, "labelled_seconds": labelled, "paced": paced, "swap": swap, "report": self.verdict(),
                "totals": json.loads(self.said("extraction.out").splitlines()[-1]),
                "training": {"seconds": training.seconds, "cpu_seconds": training.cpu_seconds, "threads": self.args.threads},
                "mib": {**memory, "training": training.mib}}

    def alternate(self, training):
        """A backlog and notes at a steady rate, by turns with the training stopped and going on, for as long as there is one."""
        wait_for("the training's first steps", lambda: training.cpu_seconds > TRAINING_CPU_SECONDS_MIN or training.ended.is_set())
        runs = {"with": [], "without": []}
        pace = ["pace", self.args.backlog, self.args.note_rate, self.args.seconds]
        for _ in range(self.args.rounds):
            if training.ended.is_set():
                break
            with training.stopped():
                without = self.figures(*pace)
            beside = self.figures(*pace)
            # One that ended meanwhile was not beside all of it.
            if not training.ended.is_set():
                runs["without"].append(without)
                runs["with"].append(beside)
        if not runs["with"]:
            raise SystemExit("the training ended before anything was timed beside it; take more --epochs or fewer --seconds")
        return {"rounds": len(runs["with"]), **{kind: pooled(of_kind) for kind, of_kind in runs.items()}}

    def swap(self, both):
        """Notes before, during and after a change of students; ends the program when the new one is not promoted."""
        variables = {**os.environ, "STILLROOM_FOLDER": str(self.live / "log")}
        command = [str(self.args.figures), "swap", str(self.args.note_rate)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables) as swapping:
            try:
                report = wait_for("the verdict", self.verdict, both)
                if not report["is_promoted"]:
                    raise SystemExit(f"the student was not promoted: {report['reason']}")
                printed, _ = swapping.communicate(timeout=STALL_SECONDS_MAX)
            finally:
                swapping.kill()
        if swapping.returncode:
            raise SystemExit("the change of students was not timed")
        return json.loads(printed.splitlines()[-1])

    def human(self, snapshot):
        """On what people say of the documents that the promoted student learned from and was chosen by."""
        people = {json.loads(line)["id"]: line for line in lines(self.work / "data/stream.jsonl")}
        for part in ("train", "dev"):
            ids = [json.loads(line)["id"] for line in lines(self.run_folder(snapshot) / f"{part}.jsonl")]
            (self.work / "human" / f"{part}.jsonl").write_text("".join(people[note_id] for note_id in ids))
        folder = self.work / "human"
        return self.learn(self.weak, folder, folder / "train.jsonl", folder / "dev.jsonl", self.args.epochs)

    def run_folder(self, snapshot):
        return self.live / "retraining" / snapshot[:12]

    def measured(self, student):
        """In words, by corpus and task."""
        evaluated = {name: json.loads(self.stillroom("eval", "--json", "--gold", path, "--model", student))
                     for name, path in self.dev.items()}
        return {name: levels["word"] for name, levels in evaluated.items()}


def lines(path):
    # Texts may hold what splitlines() takes for the end of a line.
    return [f"{line}\n" for line in path.read_text().split("\n") if line]


def pooled(runs):
    """The median of what backlogs came to, and percentiles over all notes at a steady rate."""
    rates = [run["notes_per_second"] for run in runs]
    cuts = statistics.quantiles([took for run in runs for took in run["milliseconds"]], n=100, method="inclusive")
    notes = sum(len(run["milliseconds"]) for run in runs)
    return {"notes_per_second": statistics.median(rates), "least": min(rates), "most": max(rates), "notes": notes,
            "p50_ms": cuts[49], "p99_ms": cuts[98]}


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    release = ROOT / "target/release"
    parser.add_argument("--work", required=True, type=pathlib.Path, help="folder of all that is made")
    parser.add_argument("--base", help="as for `train`: what the weak student starts from")
    parser.add_argument("--weak", type=pathlib.Path, help="folder of a weak student, in place of one that is trained")
    parser.add_argument("--binary", default=release / "stillroom", type=pathlib.Path)
    parser.add_argument("--figures", default=release / "examples/figures", type=pathlib.Path)
    parser.add_argument("--corpora", default=ROOT.parent / "shared/data/corpora", type=pathlib.Path)
    parser.add_argument("--teacher", default=ROOT / "studies/teachers/rules.toml", type=pathlib.Path,
                        help="profile of a vocabulary; public names alone by default")
    parser.add_argument("--weak-documents", default=30, type=int, help="documents of the weak student, and as many to choose by")
    parser.add_argument("--documents", default=0, type=int, help="documents of each corpus in the stream; 0: all")
    parser.add_argument("--epochs", default=3, type=int, help="passes of retraining and of the human student")
    parser.add_argument("--held-out", default=25, type=int, help="percent of the notes that people annotate, to measure by")
    parser.add_argument("--threads", default=1, type=int, help="threads of retraining")
    parser.add_argument("--rounds", default=3, type=int, help="turns with and without training")
    parser.add_argument("--backlog", default=300, type=int, help="notes of a backlog")
    parser.add_argument("--note-rate", default=10, type=int, help="paced notes a second")
    parser.add_argument("--seconds", default=20, type=int, help="how long notes are paced")
    args = parser.parse_args()
    if not (args.base or args.weak):
        parser.error("name a BERT by --base, or a student by --weak")
    return args


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    bench = Bench(arguments())
    done = {"data": bench.step("data", bench.data)}
    if not bench.args.weak:
        folder, data = bench.work / "weak", bench.work / "data"
        done["weak"] = bench.step("weak", lambda: bench.learn(bench.args.base, folder, data / "weak.jsonl",
                                                              data / "weak-dev.jsonl", 1))
    done["teacher"] = bench.step("teacher", bench.teacher)
    done["live"] = bench.step("live", bench.go_live)
    snapshot = done["live"]["report"]["snapshot"]
    done["human"] = bench.step("human", lambda: bench.human(snapshot))
    students = {"weak": bench.weak, "promoted": bench.run_folder(snapshot) / "student", "human": bench.work / "human/student"}
    done["dev"] = bench.step("dev", lambda: {name: bench.measured(folder) for name, folder in students.items()})
    write(bench.work, done)


if __name__ == "__main__":
    main()
