"""How many notes a second stillroom carries over Kafka, how late each is committed, and how long a restart takes; beside peers.

    pip install -r benches/kafka.requirements.txt                 # Python 3.11; Pathway brings 1.6 GB with it
    scripts/kafka start --dir /tmp/bench-kafka --port 29092
    cargo build --release && python benches/kafka.py
    scripts/kafka clean --dir /tmp/bench-kafka

Every run has new topics of four partitions and one process:
    warm-up     notes that are there when the process starts are waited for
    backlog     N notes lie in the notes topic in one transaction; from its commit, which shows them, to the arrival of the last
                output. The start of the process is therefore no part of notes/s
    paced       notes are produced at a fixed rate; latency is from the call that produces a note to the arrival of its output
and at the end stillroom is restarted with the state of N notes, each with a reference: from the start of the process, which a
new note awaits, to the arrival of its output; and without any state, for comparison.

An output arrives when a read_committed consumer has it: for stillroom with the commit of its transaction, for the peers, which
have no transactions, as soon as it is acknowledged. A note without its output fails the run. Runs alternate; a figure is the
median of all with the least and the most; memory is the resident peak of the process.

The peers do less: they parse the JSON, cut the text into words and keep those whose length divides by three, in place of
tokenizer, BERT, revisions, F1 and dead letters. Both go on from what they persist every second, in a local folder and not
in Kafka, and repeat outputs after a crash:
    Bytewax     offsets, in SQLite
    Pathway     offsets and the notes themselves, in files
"""
import argparse
import collections
import functools
import hashlib
import json
import os
import pathlib
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import confluent_kafka as ck
from confluent_kafka.admin import AdminClient, NewTopic

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
TINY, DEFAULT = ROOT / "operators/student/tests/tiny", ROOT / "models/stillroom-minilm-l6"
PARTITIONS = 4
TEXT_CHARS = 1500
WARM_UP = 40
STALL_SECONDS_MAX = 90
SENTENCES = """The patient is a 63-year-old man with a history of type 2 diabetes mellitus and hypertension.
He was started on metformin 500 mg twice daily and tolerated it well.
She denies chest pain, shortness of breath, nausea or vomiting.
Blood pressure was 148/92 mmHg, heart rate 88/min, temperature 38.4 °C.
Computed tomography of the chest showed a small left pleural effusion without pulmonary embolism.
Vancomycin and piperacillin-tazobactam were given for presumed sepsis.
Family history is notable for breast cancer in her mother.
Laboratory results were significant for a creatinine of 1.9 mg/dL and a haemoglobin of 9.8 g/dL.
The cough improved after three days of azithromycin, but fatigue persisted.
Follow-up with cardiology in two weeks; continue aspirin 81 mg and atorvastatin 40 mg at bedtime.
Neurological examination revealed mild weakness of the left arm and slurred speech.
No evidence of deep vein thrombosis was found on ultrasound.""".splitlines()
WORD = re.compile(r"\w+|[^\w\s]")


def tag(value):
    """The extraction of a note, as a peer makes it."""
    note = json.loads(value)
    words = list(WORD.finditer(note["text"]))
    entities = [{"task": "disease", "start": word.start(), "end": word.end(), "text": word[0], "score": 1.0}
                for word in words if len(word[0]) % 3 == 0]
    return json.dumps({
        "note_id": note["note_id"], "revision": 0, "text_hash": hashlib.sha256(note["text"].encode()).hexdigest(),
        "model": "length-modulo-3", "offset_unit": "code_point",
        "coverage": {"words": len(words), "word_pieces": len(words), "windows": 1}, "entities": entities,
    }, ensure_ascii=False, separators=(",", ":")).encode()


def bytewax_flow(broker, notes, extractions):
    """Imported by a process of Bytewax's own."""
    from bytewax import operators
    from bytewax.connectors.kafka import KafkaSink, KafkaSinkMessage, KafkaSource
    from bytewax.dataflow import Dataflow
    flow = Dataflow("peer")
    records = operators.input("notes", flow, KafkaSource([broker], [notes]))
    tagged = operators.map("tag", records, lambda record: KafkaSinkMessage(record.key, tag(record.value)))
    operators.output("extractions", tagged, KafkaSink([broker], extractions))
    return flow


def pathway_run(broker, notes, extractions, folder):
    import pathway as pw
    settings = {"bootstrap.servers": broker, "group.id": notes, "auto.offset.reset": "earliest"}
    records = pw.io.kafka.read(settings, topic=notes, format="raw", autocommit_duration_ms=20, name="notes")
    tagged = records.select(key=pw.this.key, value=pw.udf(tag, return_type=bytes, deterministic=True)(pw.this.data))
    pw.io.kafka.write(tagged, settings, extractions, format="raw", key=tagged.key, value=tagged.value)
    store = pw.persistence.Backend.filesystem(folder)
    pw.run(persistence_config=pw.persistence.Config(store, snapshot_interval_ms=1000),
           monitoring_level=pw.MonitoringLevel.NONE)


def stillroom(binary, student, workers, broker, prefix, folder):
    """The command that runs a pipeline on the topics of a prefix, as for the peers below; its files are in `folder`."""
    names = ("notes", "references", "labels", "extractions", "quality", "state", "dead_letters", "progress")
    config = folder / "stillroom.toml"
    config.write_text("\n".join([
        "[kafka]", f'transactional_id = "{prefix}"', f'group_id = "{prefix}"', "create_topics = true",
        "[kafka.properties]", f'bootstrap.servers = "{broker}"',
        "[student]", f'folders = ["{student}"]', "[engine]", f"workers = {workers}",
        "[engine.topics]", *(f'{name} = "{prefix}.{name}"' for name in names)]))
    return [binary, "run", "-c", config]


def bytewax(broker, prefix, folder):
    subprocess.run([sys.executable, "-m", "bytewax.recovery", folder, "1"], check=True)
    flow = f"kafka:bytewax_flow('{broker}', '{prefix}.notes', '{prefix}.extractions')"
    return [sys.executable, "-m", "bytewax.run", flow, "-r", folder, "-s", "1", "-b", "0"]


def pathway(broker, prefix, folder):
    code = "import sys, kafka; kafka.pathway_run(*sys.argv[1:])"
    return [sys.executable, "-c", code, broker, f"{prefix}.notes", f"{prefix}.extractions", folder]


class Site:
    """Topics, a process that works on them and what has arrived; nothing of it is left at the end."""

    def __init__(self, broker, prefix, pipeline):
        self.broker, self.prefix, self.pipeline, self.process = broker, prefix, pipeline, None
        self.admin = AdminClient({"bootstrap.servers": broker})
        self.temporary = tempfile.TemporaryDirectory(prefix="stillroom-bench-")
        self.folder = pathlib.Path(self.temporary.name)
        self.arrived, self.output_bytes = {}, 0

    def __enter__(self):
        return self

    def prepare(self):
        store = self.folder / "store"
        store.mkdir()
        self.command = self.pipeline(self.broker, self.prefix, store)
        policies = {"notes": "delete", "references": "compact", "extractions": "compact"}
        topics = [NewTopic(f"{self.prefix}.{name}", PARTITIONS, 1, config={"cleanup.policy": policy})
                  for name, policy in policies.items()]
        for created in self.admin.create_topics(topics).values():
            created.result()
        self.outputs = self.consumer("extractions", PARTITIONS)

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        topics = [name for name in self.admin.list_topics(timeout=30).topics if name.startswith(f"{self.prefix}.")]
        groups = [group.group_id for group in self.admin.list_consumer_groups().result().valid
                  if group.group_id in (self.prefix, f"{self.prefix}.notes")]
        for gone in [*self.admin.delete_topics(topics).values(),
                     *(self.admin.delete_consumer_groups(groups).values() if groups else ())]:
            gone.exception()
        self.temporary.cleanup()

    def consumer(self, topic, partitions):
        consumer = ck.Consumer({"bootstrap.servers": self.broker, "group.id": f"{self.prefix}.reader", "fetch.wait.max.ms": 10,
                                "enable.auto.commit": False, "isolation.level": "read_committed", "log_level": 4})
        consumer.assign([ck.TopicPartition(f"{self.prefix}.{topic}", index, ck.OFFSET_BEGINNING) for index in range(partitions)])
        return consumer

    def producer(self, **settings):
        return ck.Producer({"bootstrap.servers": self.broker, "queue.buffering.max.kbytes": 1 << 20,
                            "queue.buffering.max.messages": 1 << 20, **settings})

    def put(self, producer, key, text):
        value = json.dumps({"note_id": key, "text": text}, ensure_ascii=False)
        producer.produce(f"{self.prefix}.notes", key=key, value=value)
        producer.poll(0)

    def start(self):
        # A session of its own, so that Ctrl-C reaches this program alone, which ends the process and removes its topics.
        command, environment = list(map(str, self.command)), {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        with open(self.folder / "stdout", "w") as out, open(self.folder / "stderr", "w") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err, cwd=HERE, env=environment, start_new_session=True)

    def wait_for(self, keys, since):
        """Waits until each of the keys has its output; the seconds from `since` to the last arrival."""
        missing, last = set(keys) - self.arrived.keys(), time.monotonic()
        while missing:
            record, now = self.outputs.poll(0.1), time.monotonic()
            if record is not None and not record.error():
                last, key = now, record.key().decode()
                self.arrived.setdefault(key, now)
                self.output_bytes += len(record.value())
                missing.discard(key)
            elif self.process.poll() is not None or now - last > STALL_SECONDS_MAX:
                said = (self.folder / "stderr").read_text()[-2000:]
                raise SystemExit(f"{self.prefix}: {len(missing)} of {len(keys)} notes have no output; the process said:\n{said}")
        return last - since

    def stop(self, committed=None):
        """Stops the process in order; the peak of its memory in MiB. `committed` is what stillroom has to say it extracted."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        self.process.terminate()
        self.process.wait(60)
        if committed is not None:
            totals = json.loads((self.folder / "stdout").read_text())
            if (totals["notes"], totals["extracted"]) != (committed, committed):
                raise SystemExit(f"{self.prefix}: {committed} notes were sent, and stillroom counts {totals}")
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def text(index):
    """The text of a note: one of a hundred, the same in every run."""
    return " ".join(random.Random(index % 100).choices(SENTENCES, k=30))[:TEXT_CHARS]


def measure(site, load, is_stillroom):
    """One run; its figures by name."""
    notes, rate, seconds = load
    warm, backlog = [f"w{index}" for index in range(min(WARM_UP, notes))], [f"b{index}" for index in range(notes)]
    site.prepare()
    prompt = site.producer(**{"linger.ms": 0})
    for index, key in enumerate(warm):
        site.put(prompt, key, text(index))
    prompt.flush()
    hidden = site.producer(**{"transactional.id": f"{site.prefix}.backlog", "transaction.timeout.ms": 600000})
    hidden.init_transactions()
    hidden.begin_transaction()
    for index, key in enumerate(backlog):
        site.put(hidden, key, text(index))
    hidden.flush()
    site.start()
    site.wait_for(warm, time.monotonic())
    began = time.monotonic()
    hidden.commit_transaction()
    throughput = notes / site.wait_for(backlog, began)

    paced, sent = [f"p{index}" for index in range(int(rate * seconds))], {}

    def pace():
        began = time.monotonic()
        for index, key in enumerate(paced):
            time.sleep(max(0, began + index / rate - time.monotonic()))
            sent[key] = time.monotonic()
            site.put(prompt, key, text(index))
        prompt.flush()

    pacer = threading.Thread(target=pace, daemon=True)
    pacer.start()
    site.wait_for(paced, time.monotonic())
    pacer.join()
    cuts = statistics.quantiles([1000 * (site.arrived[key] - sent[key]) for key in paced], n=100, method="inclusive")
    every = len(warm) + notes + len(paced)
    return {"notes/s": throughput, "p50 ms": cuts[49], "p99 ms": cuts[98],
            "MiB": site.stop(every if is_stillroom else None), "bytes an output": site.output_bytes / every}


def recover(site, notes, repeat):
    """Seconds from the start to the first new committed output, without state and with that of `notes` notes; peaks in MiB."""
    site.prepare()
    producer, fresh = site.producer(), (f"f{index}" for index in range(2 * repeat))

    def restart():
        key = next(fresh)
        site.put(producer, key, text(0))
        producer.flush()
        began = time.monotonic()
        site.start()
        seconds = site.wait_for([key], began)
        return seconds, site.stop()

    empty = [restart()[0] for _ in range(repeat)]
    keys = [f"n{index}" for index in range(notes)]
    for index, key in enumerate(keys):
        reference = {"note_id": key, "annotator": "bench", "text_hash": hashlib.sha256(text(index).encode()).hexdigest(),
                     "tasks": ["disease"], "spans": []}
        producer.produce(f"{site.prefix}.references", key=f'["{key}","bench"]', value=json.dumps(reference))
        site.put(producer, key, text(index))
    producer.flush()
    site.start()
    print(f"recovery: {notes / site.wait_for(keys, time.monotonic()):.0f} notes/s with references", file=sys.stderr)
    wait_for_references(site, notes)
    site.stop(repeat + notes)
    full, peaks = zip(*(restart() for _ in range(repeat)))
    return empty, full, peaks


def wait_for_references(site, count):
    """Waits until stillroom's progress says that it has committed them."""
    consumer, read, last = site.consumer("progress", 1), 0, time.monotonic()
    while read < count:
        record = consumer.poll(0.1)
        if record is not None and not record.error():
            read = sum(json.loads(record.value())["inputs"].get(f"{site.prefix}.references", {}).values())
            last = time.monotonic()
        elif time.monotonic() - last > STALL_SECONDS_MAX:
            raise SystemExit(f"{site.prefix}: only {read} of {count} references were committed")


def spread(values):
    """The median with the least and the most, to three digits or whole."""
    values = statistics.median(values), min(values), max(values)
    shown = [f"{value:,.0f}" if value >= 100 else f"{value:.3g}" for value in values]
    return shown[0] if len(set(shown)) == 1 else f"{shown[0]} ({shown[1]} to {shown[2]})"


def facts(binary):
    def said(*command):
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT).stdout.strip()
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())[1]
    kafka = re.search(r"<kafka.version>(.*?)<", (ROOT / "scripts/kafka.pom.xml").read_text())[1]
    versions = said(sys.executable, "-m", "pip", "list", "--format=freeze").splitlines()
    peers = [line for line in versions if line.startswith(("bytewax=", "pathway=", "confluent-kafka="))]
    return (f"{len(os.sched_getaffinity(0))} cores of {cpu}, load {os.getloadavg()[0]:.1f} at the start; "
            f"{said(binary, '--version')}, tree {said('git', 'describe', '--always', '--dirty')}; Kafka {kafka}; "
            f"Python {sys.version.split()[0]}, {', '.join(peers)}, librdkafka {ck.libversion()[0]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=ROOT / "target/release/stillroom", type=pathlib.Path)
    parser.add_argument("--broker", default="127.0.0.1:29092")
    parser.add_argument("--repeat", default=3, type=int)
    parser.add_argument("--notes", default=3000, type=int, help="backlog of the tiny student")
    parser.add_argument("--peer-notes", default=20000, type=int, help="backlog of the peers")
    parser.add_argument("--rate", default=100, type=float, help="paced notes a second of the tiny student and the peers")
    parser.add_argument("--student-notes", default=200, type=int, help="backlog of the default student")
    parser.add_argument("--student-rate", default=5, type=float, help="paced notes a second of the default student")
    parser.add_argument("--seconds", default=15, type=float, help="how long notes are paced")
    parser.add_argument("--recovery", default=20000, type=int, metavar="N", help="notes of state for the restarts; 0: leave out")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    ours = functools.partial(stillroom, args.binary.resolve())
    tiny, trivial = ((notes, args.rate, args.seconds) for notes in (args.notes, args.peer_notes))
    real = args.student_notes, args.student_rate, args.seconds
    once, again = "exactly once", "at least once"
    pipelines = {
        "stillroom, tiny student, 1 worker": (functools.partial(ours, TINY, 1), tiny, once),
        "stillroom, tiny student, 2 workers": (functools.partial(ours, TINY, 2), tiny, once),
        "Bytewax, trivial work, 1 worker": (bytewax, trivial, again),
        "Pathway, trivial work, 1 worker": (pathway, trivial, again),
        "stillroom, default student, 1 worker": (functools.partial(ours, DEFAULT, 1), real, once),
        "stillroom, default student, 2 workers": (functools.partial(ours, DEFAULT, 2), real, once),
    }
    print(facts(args.binary), flush=True)
    figures = {name: collections.defaultdict(list) for name in pipelines}
    for run in range(args.repeat):
        for index, (name, (pipeline, load, guarantee)) in enumerate(pipelines.items()):
            with Site(args.broker, f"bench-{os.getpid()}-{run}-{index}", pipeline) as site:
                for figure, value in measure(site, load, guarantee == once).items():
                    figures[name][figure].append(value)
            print(f"{name}:", {figure: round(values[-1], 1) for figure, values in figures[name].items()}, file=sys.stderr)
    columns = list(figures[name])
    print(f"\n| | guarantee | {' | '.join(columns)} |\n|---|---|{'---|' * len(columns)}")
    for name, (_, _, guarantee) in pipelines.items():
        print(f"| {name} | {guarantee} | {' | '.join(spread(figures[name][column]) for column in columns)} |", flush=True)
    if args.recovery:
        with Site(args.broker, f"bench-{os.getpid()}-recovery", functools.partial(ours, TINY, 1)) as site:
            empty, full, peaks = recover(site, args.recovery, args.repeat)
        million = (statistics.median(full) - statistics.median(empty)) / args.recovery * 1e6
        print(f"\n| state | start to first new commit, s | resident peak, MiB |\n|---|---|---|\n| none | {spread(empty)} | |\n"
              f"| {args.recovery:,} notes with a reference each | {spread(full)} | {spread(peaks)} |\n"
              f"\nA million notes more by proportion: {million:.1f} s.")


if __name__ == "__main__":
    main()
