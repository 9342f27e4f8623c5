//! Layers in, settings or an error out. The environment is given, so that tests do not meet in the process's.

mod secrets;

use super::*;

/// What the layers of a configuration say.
#[derive(Clone, Copy, Default)]
struct Input<'a> {
    /// `stillroom.toml`.
    file: &'a str,
    /// A line for each variable, `NAME=value`.
    environment: &'a str,
    /// A line for each `--set`.
    sets: &'a str,
}

fn load(input: Input<'_>) -> Result<Loaded> {
    let variable = |line: &str| line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap();
    let sets: Vec<String> = input.sets.lines().map(str::to_owned).collect();
    let mut settings = layers::of_file(Path::new("stillroom.toml"), input.file)?;
    settings.extend(layers::of_variables(input.environment.lines().map(variable))?);
    settings.extend(layers::of_sets(&sets)?);
    Config::of(settings)
}

/// The lines of `config show --origin` that are no defaults, or the error.
fn check(input: Input<'_>, expected: &str) {
    let shown = match load(input) {
        Ok(loaded) => {
            let text = loaded.show_origins().unwrap();
            text.lines().filter(|line| !line.ends_with("# default")).collect::<Vec<_>>().join("\n")
        }
        Err(error) => format!("{error:#}"),
    };
    assert_eq!(shown, expected);
}

fn check_file(file: &str, expected: &str) {
    check(Input { file, ..Input::default() }, expected);
}

fn check_environment(environment: &str, expected: &str) {
    check(Input { environment, ..Input::default() }, expected);
}

fn check_sets(sets: &str, expected: &str) {
    check(Input { sets, ..Input::default() }, expected);
}

#[test]
fn a_later_layer_overrides_an_earlier_one() {
    let file = "[engine]\nworkers = 2\ntick_ms = 20\nlinger_ms_max = 2\n[student]\nfolders = ['a', 'b']";
    let environment = "STILLROOM__ENGINE__WORKERS=3\nSTILLROOM__ENGINE__TICK_MS=30\nSTILLROOM__STUDENT__FOLDERS=['c']";
    check(
        Input { file, environment, sets: "engine.workers=4\nengine.workers=5" },
        "engine.linger_ms_max = 2    # stillroom.toml\n\
         engine.tick_ms = 30    # STILLROOM__ENGINE__TICK_MS\n\
         engine.workers = 5    # --set\n\
         student.folders = [\"c\"]    # STILLROOM__STUDENT__FOLDERS",
    );
    check_file("", "");
}

#[test]
fn a_gpu_has_defaults_of_its_own() {
    let engine = |sets| load(Input { sets, ..Input::default() }).unwrap().config.engine;
    assert_eq!(engine(""), EngineConfig::default());
    assert_eq!(engine("student.device=cuda"), EngineConfig::for_gpu());
    let some = engine("student.device=cuda:0,cuda:1\nengine.tokens_max=1000");
    assert_eq!(some, EngineConfig { tokens_max: 1000, ..EngineConfig::for_gpu() });
}

#[test]
fn every_setting_has_a_line_and_an_origin() {
    let text = load(Input { sets: "log.dir=here", ..Input::default() }).unwrap().show_origins().unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let expected = [
        "# cluster.key_file is not set    # default",
        "engine.topics.notes = \"clinical.notes.v1\"    # default",
        "kafka.delivery = \"exactly_once\"    # default",
        "kafka.replication = -1    # default",
        "log.dir = \"here\"    # --set",
        "registry.auto_register = false    # default",
        "student.folders = []    # default",
        "assertion.enabled = true    # default",
        "concepts.vocabularies = []    # default",
    ];
    assert!(expected.iter().all(|line| lines.contains(line)), "{text}");
    toml::from_str::<toml::Table>(&text).unwrap();
}

#[test]
fn texts_are_read_as_the_setting_wants_them() {
    check_sets(
        "kafka.group_id=123\nlog.dir=2020-01-01\nengine.topics.notes=\"a=b\"\nregistry.accept_plain=false\nstudent.device=cuda:0",
        "engine.topics.notes = \"a=b\"    # --set\n\
         kafka.group_id = \"123\"    # --set\n\
         log.dir = \"2020-01-01\"    # --set\n\
         registry.accept_plain = false    # --set\n\
         student.device = \"cuda:0\"    # --set",
    );
    check_environment(
        "STILLROOM__KAFKA__DELIVERY=at_least_once",
        "kafka.delivery = \"at_least_once\"    # STILLROOM__KAFKA__DELIVERY",
    );
    check_sets(
        "engine={workers=2, topics.notes='n'}",
        "engine.topics.notes = \"n\"    # --set\nengine.workers = 2    # --set",
    );
}

#[test]
fn a_property_has_one_name_in_every_layer() {
    let expected = "kafka.properties.bootstrap.servers = \"a:9092\"    # stillroom.toml";
    check_file("[kafka.properties]\nbootstrap.servers = 'a:9092'", expected);
    check_file("[kafka.properties]\n'bootstrap.servers' = 'a:9092'", expected);
    check_file("[kafka.properties.bootstrap]\nservers = 'a:9092'", expected);
    check_file("[kafka]\nproperties = { bootstrap = { 'servers' = 'a:9092' } }", expected);
    check_file("kafka.properties.bootstrap.servers = 'a:9092'", expected);
    check_sets(
        "kafka.properties.bootstrap.servers=1\nkafka.properties.\"client.id\"=\"x\"",
        "kafka.properties.bootstrap.servers = \"1\"    # --set\nkafka.properties.client.id = \"\\\"x\\\"\"    # --set",
    );
    check_environment(
        "STILLROOM__KAFKA__PROPERTIES__BOOTSTRAP__SERVERS=a:9092",
        "kafka.properties.bootstrap.servers = \"a:9092\"    # STILLROOM__KAFKA__PROPERTIES__BOOTSTRAP__SERVERS",
    );
    check_file(
        "[kafka.properties]\nlinger.ms = 5\nsocket.keepalive.enable = true\nx = 0.5",
        "kafka.properties.linger.ms = \"5\"    # stillroom.toml\n\
         kafka.properties.socket.keepalive.enable = \"true\"    # stillroom.toml\n\
         kafka.properties.x = \"0.5\"    # stillroom.toml",
    );
}

#[test]
fn layers_override_a_property_however_it_is_written() {
    let file = "[kafka.properties]\n'bootstrap.servers' = 'a:1'\nclient.id = 'a'\n'linger.ms' = 1";
    let environment =
        "STILLROOM__KAFKA__PROPERTIES__BOOTSTRAP__SERVERS=b:2\nSTILLROOM__KAFKA__PROPERTIES__CLIENT__ID=b";
    check(
        Input { file, environment, sets: "kafka.properties.bootstrap.servers=c:3" },
        "kafka.properties.bootstrap.servers = \"c:3\"    # --set\n\
         kafka.properties.client.id = \"b\"    # STILLROOM__KAFKA__PROPERTIES__CLIENT__ID\n\
         kafka.properties.linger.ms = \"1\"    # stillroom.toml",
    );
    check_file(
        "[kafka.properties]\n'client.id' = 'a'\nclient.id = 'b'",
        "stillroom.toml: kafka.properties.client.id is given twice; keep one of them",
    );
}

#[test]
fn the_broker_is_used_when_it_is_named() {
    let uses_broker = |sets| load(Input { sets, ..Input::default() }).unwrap().config.kafka.uses_broker();
    assert!(!uses_broker(""));
    assert!(!uses_broker("kafka.properties.client.id=a"));
    assert!(uses_broker("kafka.properties.bootstrap.servers=a:9092"));
    assert!(uses_broker("kafka.properties.bootstrap.servers_file=/run/secrets/servers"));
}

#[test]
fn an_unknown_setting_is_named_with_the_nearest() {
    let nearest = "engine.worker is not a setting; did you mean engine.workers?";
    check_file("[engine]\nworker = 4", &format!("stillroom.toml: {nearest}"));
    check_environment("STILLROOM__ENGINE__WORKER=4", &format!("STILLROOM__ENGINE__WORKER: {nearest}"));
    check_sets("engine.worker=4", &format!("--set: {nearest}"));

    let check_nearest = |set: &str, expected: &str| check_sets(set, &format!("--set: {expected}"));
    check_nearest("workers=4", "workers is not a setting; did you mean engine.workers?");
    check_nearest("engin.worker=4", "engin.worker is not a setting; did you mean engine.workers?");
    check_nearest("kafka.group.id=a", "kafka.group.id is not a setting; did you mean kafka.group_id?");
    check_nearest("student.colour=4", "student.colour is not a setting; config show lists the settings");
    check_nearest("engine.topics.letters=a", "engine.topics.letters is not a setting; config show lists the settings");
    check_nearest("engine.workers.x=4", "engine.workers.x is not a setting; did you mean engine.workers?");
    check_nearest("\"engine.workers\"=4", "\"engine.workers\" is not a setting; did you mean engine.workers?");
    check_nearest(
        "kafka.propertys.client.id=a",
        "kafka.propertys.client.id is not a setting; did you mean kafka.properties.client.id?",
    );
    check_nearest(
        "kafka.bootstrap.servers=a",
        "kafka.bootstrap.servers is not a setting; did you mean kafka.properties.bootstrap.servers?",
    );
    check_file("[engin]", "stillroom.toml: engin is not a setting; config show lists the settings");
    check_environment("STILLROOM__=1", "STILLROOM__: \"\" is not a setting; config show lists the settings");
    check_environment(
        "STILLROOM__KAFKA__PROPERTIES__=1",
        "STILLROOM__KAFKA__PROPERTIES__: kafka.properties.\"\" is not a setting; config show lists the settings",
    );
}

#[test]
fn variables_with_one_underscore_are_not_configuration() {
    check_environment("STILLROOM_LOG=debug\nSTILLROOM_TEST_BROKER=a\nPATH=/bin\nstillroom__engine__worker=1", "");
}

#[test]
fn a_wrong_type_is_refused_with_what_is_expected() {
    check_file("[engine]\nworkers = 'four'", "stillroom.toml: engine.workers is \"four\"; write a whole number from 0");
    check_file("[engine]\nworkers = -1", "stillroom.toml: engine.workers is -1; write a whole number from 0");
    check_file("[engine]\nworkers = 1.5", "stillroom.toml: engine.workers is 1.5; write a whole number from 0");
    check_file("[engine.workers]\nx = 1", "stillroom.toml: engine.workers is a table; write a whole number from 0");
    check_file("engine = 1", "stillroom.toml: engine is a section; name one of its settings, as config show does");
    check_file(
        "[log]\npartitions = 5000000000",
        "stillroom.toml: log.partitions is 5000000000; write a whole number from 0 to 4294967295",
    );
    check_sets("kafka.create_topics=maybe", "--set: kafka.create_topics is \"maybe\"; write true or false");
    check_sets("student.folders=a", "--set: student.folders is \"a\"; write a list of texts, as [\"a\", \"b\"]");
    check_sets("assertion.lexicons=[1]", "--set: assertion.lexicons has a wrong item; write a text");
    check_sets("student.folders=[1]", "--set: student.folders has a wrong item; write a text");
    check_sets("log.dir=['a']", "--set: log.dir is a list; write a text");
    check_environment(
        "STILLROOM__KAFKA__DELIVERY=twice",
        "STILLROOM__KAFKA__DELIVERY: kafka.delivery is \"twice\"; write exactly_once or at_least_once",
    );
    check_environment(
        "STILLROOM__ENGINE__OFFSET_UNIT=char, expected byte\nx",
        "STILLROOM__ENGINE__OFFSET_UNIT: engine.offset_unit is \"char, expected byte\"; write one of code_point, byte, utf16",
    );
    check_file(
        "[kafka.properties]\nacks = [1]",
        "stillroom.toml: kafka.properties.acks is a list; write a text, a number, or true or false",
    );
}

#[test]
fn an_argument_without_a_value_is_refused() {
    check_sets("engine.workers", "--set engine.workers has no value; write --set engine.workers=4");
    check_sets(
        "kafka.properties.sasl.password:hunter2",
        "--set kafka.properties.sasl.password has no value; write --set engine.workers=4",
    );
    check_sets("=4", "--set : what stands before = is not a setting's name; write --set engine.workers=4");
    check_sets(
        "engine..workers=4",
        "--set engine..workers: what stands before = is not a setting's name; write --set engine.workers=4",
    );
    check_sets(
        "kafka.properties.sasl.password:hunt=er2",
        "--set kafka.properties.sasl.password: what stands before = is not a setting's name; write --set engine.workers=4",
    );
    check_sets("engine.workers=", "--set: engine.workers is \"\"; write a whole number from 0");
}

#[test]
fn a_value_out_of_its_range_is_refused_with_its_origin() {
    check_file("[engine]\nworkers = 0", "stillroom.toml: engine.workers is 0; choose a value from 1 to 256");
    check_sets("log.partitions=1025", "--set: log.partitions is 1025; choose a value from 1 to 1024");
    check_sets("cluster.start_ms_max=1", "--set: cluster.start_ms_max is 1; choose a value from 1000 to 3600000");
    check_sets("cluster.key_file=", "--set: cluster.key_file is empty; name a file, or remove it");
    check_sets("student.device=gpu", "--set: student.device is gpu; write cpu, cuda, cuda:0 or cuda:0,cuda:1");
    check_sets("kafka.group_id=", "--set: kafka.group_id is empty; name a consumer group");
    check_sets("assertion.lexicons=['']", "--set: assertion.lexicons is empty; name a file in each item, or remove it");
    check_sets(
        "kafka.replication=0",
        "--set: kafka.replication is 0; choose a value from 1 to 32767, or -1 for the broker's default",
    );
    check_environment(
        "STILLROOM__KAFKA__TRANSACTION_TIMEOUT_MS=10",
        "STILLROOM__KAFKA__TRANSACTION_TIMEOUT_MS: kafka.transaction_timeout_ms is 10; choose a value from 1000 to 3600000",
    );
    // The topic that is refused has its default name; the one that was set is where the mistake is mended.
    check_sets(
        "engine.topics.notes=clinical.quality.v1",
        "--set: engine.topics.quality is clinical.quality.v1, as is engine.topics.notes; give each its own name",
    );
}

#[test]
fn properties_that_stillroom_sets_are_refused() {
    let check_property = |line: &str, expected: &str| {
        check_file(&format!("[kafka.properties]\n{line}"), &format!("stillroom.toml: kafka.properties.{expected}"));
    };
    check_property(
        "enable.auto.commit = true",
        "enable.auto.commit loses or repeats notes, since offsets are committed with the outputs; remove it",
    );
    check_property("group.id = 'a'", "group.id has a setting of its own; write kafka.group_id");
    check_property("group.id_file = 'a'", "group.id_file has a setting of its own; write kafka.group_id");
    check_property("transactional.id = 'a'", "transactional.id has a setting of its own; write kafka.transactional_id");
    check_property(
        "isolation.level = 'read_uncommitted'",
        "isolation.level shows outputs that were taken back, and is read_committed; remove it",
    );
    check_property(
        "enable.idempotence = false",
        "enable.idempotence repeats outputs when it is off, and is on; remove it",
    );
    check_property(
        "auto.offset.reset = 'latest'",
        "auto.offset.reset is set by stillroom, which knows where to read on; remove it",
    );
    check_property(
        "enable.partition.eof = false",
        "enable.partition.eof is set by stillroom, which asks for the ends it needs; remove it",
    );
    check_property("metadata.broker.list = 'a'", "metadata.broker.list is another name; write bootstrap.servers");
    check_file(
        "[kafka.properties]\nenable.auto.commit = false\nenable.idempotence = true\nisolation.level = 'read_committed'",
        "kafka.properties.enable.auto.commit = \"false\"    # stillroom.toml\n\
         kafka.properties.enable.idempotence = \"true\"    # stillroom.toml\n\
         kafka.properties.isolation.level = \"read_committed\"    # stillroom.toml",
    );
    check_sets(
        "kafka.properties.enable.auto.commit=true",
        "--set: kafka.properties.enable.auto.commit loses or repeats notes, since offsets are committed with the outputs; remove it",
    );
}

#[test]
fn what_is_shown_is_read_back() {
    let file = "[log]\ndir = 'a\"b'\n[kafka]\ndelivery = 'at_least_once'\n[kafka.properties]\nbootstrap.servers = 'a:9092'\n\
                sasl.password_file = '/run/secrets/kafka'\nssl.ca.pem = \"\"\"a\nb\\u0001\"\"\"\n[registry]\nurl = 'u'\n\
                [student]\nfolders = ['a', 'b']\n[engine]\nworkers = 3\noffset_unit = 'utf16'\n[engine.topics]\nnotes = 'n'\n\
                [cluster]\nkey_file = 'k'\n[assertion]\nenabled = false\nlexicons = ['a', 'b']\n[concepts]\n\
                fuzzy_score_min = 0.9\n[[concepts.vocabularies]]\nname = 'rxnorm'\ntasks = ['medication']\n\
                path = 'rrf/RXNCONSO.RRF'\n[[concepts.vocabularies]]\nname = 'doid'\ntasks = ['disease']\npath = 'd.obo'\n\
                version = '7'";
    for file in ["", file] {
        let loaded = load(Input { file, ..Input::default() }).unwrap();
        for shown in [loaded.show().unwrap(), loaded.show_origins().unwrap()] {
            let again = load(Input { file: &shown, ..Input::default() }).unwrap();
            assert_eq!(again.config, loaded.config, "{shown}");
        }
    }
    assert_eq!(load(Input::default()).unwrap().config, Config::default());
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("absent.toml");
    let error = Config::load(Some(&path), &[]).unwrap_err().to_string();
    assert_eq!(error, format!("cannot read the configuration {}; name a file in TOML", path.display()));
}
