//! `stillroom check`: whether everything that `run` needs is there.

use crate::commands::{ConfigArgs, print_line};
use crate::config::Config;
use crate::log::{open_kafka, open_log, plan_topics};
use crate::teaching::Wanted;
use crate::teaching::asking::{Asker, panel};
use crate::teaching::labels::runtime as async_runtime;
use crate::wire::Wire;
use crate::{interpreter, serving, students};
use anyhow::{Context, Result};
use clap::Args;
use std::fmt::Display;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};
use stillroom_concepts::VocabularyStats;
use stillroom_connectors::{Cleanup, Delivery, KafkaLog, Log, TopicInfo, TopicPlan};
use stillroom_dataflow::Students;
use stillroom_models::Registry;

/// Arguments of `check`.
#[derive(Args)]
pub(crate) struct Check {
    #[command(flatten)]
    config: ConfigArgs,
    /// Also ask the log, and the schema registry if there is one.
    #[arg(long)]
    connect: bool,
    /// Create the topics that are missing.
    #[arg(long, requires = "connect")]
    create: bool,
    /// Also take the transactional id and commit the group's offsets, as run does when it starts: it tells whether this user may. A
    /// process that runs with the id ends.
    #[arg(long, requires = "connect")]
    take: bool,
}

impl Check {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let mut report = Report { has_failed: false };
        let Some(config) =
            report.tell("configuration", self.config.load().map(|loaded| (loaded.config, String::new())))?
        else {
            return Ok(ExitCode::FAILURE);
        };
        let student = config.student.start(&config.engine).and_then(|runtime| {
            let (model, tokenizer_hash) = (runtime.pool.model().0.clone(), runtime.tokenizer_hash);
            let (students, first) = Students::only(runtime.pool);
            drop(first);
            students.join()?;
            Ok((tokenizer_hash, model))
        });
        let tokenizer_hash = report.tell("student", student)?;
        check_interpretation(&config, &mut report)?;
        let secrets = config.kafka.resolved().map(|properties| ((), format!("{} properties", properties.len())));
        report.tell("kafka.properties", secrets)?;
        if let Some(names) = report.tell("teachers", config.teachers.described().map(|names| (names, "")))? {
            let asked = config.teachers.ask.iter().filter(|name| !names.contains(name));
            for name in names.iter().chain(asked) {
                report.tell(&format!("teacher {name}"), self.check_teacher(&config, name).map(|said| ((), said)))?;
            }
        }
        if config.teachers.is_used_by_run() {
            let panel = Asker::open(&config.teachers, false).and_then(|asker| panel(&config.teachers, asker.as_ref()));
            report.tell("teachers of run", panel.map(|_| ((), config.teachers.ask.join(", "))))?;
        }
        if self.connect {
            self.check_log(&config, tokenizer_hash.as_deref(), &mut report)?;
        }
        Ok(if report.has_failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    /// Whether a teacher's file can be used, and with `--connect` whether it answers a made-up text as it should.
    fn check_teacher(&self, config: &Config, name: &str) -> Result<&'static str> {
        let teachers = [name.to_owned()];
        let wanted = Wanted { teachers: &teachers, budget: None, keeps: false, is_public: true, retries_failed: false };
        let (labeler, _budget) = config.teachers.open(&wanted)?;
        if !self.connect {
            return Ok("");
        }
        for teacher in labeler.teachers() {
            async_runtime()?.block_on(teacher.canary())?;
        }
        Ok("answers as it should")
    }

    fn check_log(&self, config: &Config, tokenizer_hash: Option<&str>, report: &mut Report) -> Result<()> {
        let opened = open_log(config).and_then(|log| {
            let plans = plan_topics(config, log.as_ref())?;
            let place = log.place();
            Ok(((log, plans), place))
        });
        let Some((log, plans)) = report.tell("log", opened)? else { return Ok(()) };
        let mut has_all = true;
        for plan in &plans {
            let found = match config.kafka.uses_broker() {
                true => open_kafka(config).and_then(|kafka| self.check_topic(config, &kafka, plan)),
                false => self.check_folder(log.as_ref(), plan),
            };
            has_all &= report.tell(&format!("topic {}", plan.name), found.map(|found| ((), found)))?.is_some();
        }
        if has_all {
            report.tell("clock", check_clock(config).map(|found| ((), found)))?;
            if let Some(tokenizer_hash) = tokenizer_hash {
                report.tell("student that serves", check_serving(config, tokenizer_hash).map(|found| ((), found)))?;
            }
        }
        self.check_ids(config, has_all, report)?;
        report.tell("schema registry", Wire::open(config).and_then(|wire| wire.check()).map(|found| ((), found)))?;
        Ok(())
    }

    /// No question tells whether an id may be used: only its use does.
    fn check_ids(&self, config: &Config, has_topics: bool, report: &mut Report) -> Result<()> {
        let (kafka, topics) = (&config.kafka, &config.engine.topics);
        let group = format!("group {}", kafka.group_id);
        let name = match kafka.delivery {
            Delivery::ExactlyOnce => format!("transactional id {} and {group}", kafka.transactional_id),
            Delivery::AtLeastOnce => group,
        };
        let skip = |why: &str| print_line(format!("skip  {name}: {why}"));
        match (kafka.uses_broker(), self.take) {
            (false, true) => skip("a folder has none"),
            (false, false) => Ok(()),
            (true, _) if !has_topics => skip("mend the topics first"),
            (true, false) => skip("--take tries it, which ends a process that runs with the transactional id"),
            (true, true) => {
                let taken = open_kafka(config)?.try_taking(&topics.notes, &config.engine.outputs());
                report.tell(&name, taken.map(|()| ((), "")).map_err(Into::into)).map(|_| ())
            }
        }
    }

    /// The embedded log makes its topics by itself.
    fn check_folder(&self, log: &dyn Log, plan: &TopicPlan) -> Result<String> {
        match log.partitions(&plan.name)? {
            Some(partitions) if partitions < plan.partitions => anyhow::bail!(
                "it has {partitions} partitions and needs {}, as many as its input; copy it into a new one",
                plan.partitions
            ),
            Some(partitions) => Ok(format!("{partitions} partitions")),
            None if self.create => {
                log.prepare(std::slice::from_ref(plan))?;
                Ok(format!("created with {} partitions", plan.partitions))
            }
            None => Ok("is made by the first run".to_owned()),
        }
    }

    fn check_topic(&self, config: &Config, kafka: &KafkaLog, plan: &TopicPlan) -> Result<String> {
        let info = match kafka.topic(&plan.name)? {
            Some(info) => info,
            None if self.create => {
                kafka.create_topic(plan)?;
                kafka.topic(&plan.name)?.context("it was created and is not there")?
            }
            None => anyhow::bail!(
                "it does not exist; create it with {} partitions and cleanup.policy={}{}, or let `stillroom check --connect --create` do it",
                plan.partitions,
                plan.cleanup.policy(),
                if plan.cleanup == Cleanup::Keep { " and retention.ms=-1" } else { "" }
            ),
        };
        check_partitions(plan, &info)?;
        check_operations(config, plan, &info)?;
        check_config(config, kafka, plan)?;
        let unread = "; its configuration was not looked at, which takes DescribeConfigs";
        let may_read = info.operations.is_empty() || info.operations.contains(&"DescribeConfigs");
        Ok(format!("{} partitions{}", info.partitions, if may_read { "" } else { unread }))
    }
}

/// Whether the lexicon and the vocabularies can be used.
fn check_interpretation(config: &Config, report: &mut Report) -> Result<()> {
    let context = interpreter::load_context(&config.assertion);
    let found = context.map(|context| context.map_or("off".to_owned(), |context| context.name().to_owned()));
    report.tell("assertion", found.map(|name| ((), name)))?;
    let concepts = interpreter::load_concepts(&config.concepts);
    let found = concepts.map(|concepts| match concepts {
        None => "no vocabulary is named".to_owned(),
        Some(concepts) => {
            let about =
                |stats: &VocabularyStats| format!("{} {}, {} concepts", stats.name, stats.version, stats.concepts);
            let vocabularies: Vec<String> = concepts.0.vocabularies().iter().map(about).collect();
            format!("{}: {}", concepts.name(), vocabularies.join("; "))
        }
    });
    report.tell("concepts", found.map(|found| ((), found)))?;
    Ok(())
}

/// Prints a line for each thing that is looked at.
struct Report {
    has_failed: bool,
}

impl Report {
    /// What was found, or nothing after it was said what is wrong.
    fn tell<T>(&mut self, name: &str, found: Result<(T, impl Display)>) -> Result<Option<T>> {
        match found {
            Ok((found, detail)) => {
                print_line(format!("pass  {name}: {detail}").trim_end_matches(": "))?;
                Ok(Some(found))
            }
            Err(error) => {
                self.has_failed = true;
                print_line(format!("FAIL  {name}: {error:#}"))?;
                Ok(None)
            }
        }
    }
}

fn check_partitions(plan: &TopicPlan, info: &TopicInfo) -> Result<()> {
    anyhow::ensure!(
        info.partitions >= plan.partitions,
        "it has {} partitions and needs {}, as many as its input; raise them with kafka-topics --alter",
        info.partitions,
        plan.partitions
    );
    Ok(())
}

/// A cluster without an authorizer names no operation.
fn check_operations(config: &Config, plan: &TopicPlan, info: &TopicInfo) -> Result<()> {
    let topics = &config.engine.topics;
    let is_labelled = plan.name == topics.labels && !config.teachers.ask.is_empty();
    let of_retraining = [&topics.retraining, &topics.shadow].contains(&&plan.name);
    let of_cohorts = [&topics.cohort_events, &topics.memberships].contains(&&plan.name);
    let is_output = config.engine.outputs().contains(&plan.name.as_str());
    let is_written = is_output || plan.name == topics.progress || of_retraining;
    let is_alone = [&topics.progress, &topics.quality].contains(&&plan.name) || of_cohorts;
    // An output gets the partitions that its input gets.
    let needed = match is_written || is_labelled {
        true if !is_alone && !is_labelled && !of_retraining => &["Describe", "Read", "Write", "Alter"][..],
        true => &["Describe", "Read", "Write"],
        false => &["Describe", "Read"],
    };
    let missing: Vec<&str> = needed.iter().filter(|needed| !info.operations.contains(needed)).copied().collect();
    anyhow::ensure!(
        info.operations.is_empty() || missing.is_empty(),
        "this user lacks {}; add an ACL with kafka-acls --add --operation",
        missing.join(" and ")
    );
    Ok(())
}

fn check_config(config: &Config, kafka: &KafkaLog, plan: &TopicPlan) -> Result<()> {
    let found = kafka.topic_config(&plan.name)?;
    let topics = &config.engine.topics;
    let policy = found.get("cleanup.policy").map_or(plan.cleanup.policy(), String::as_str);
    // Notes are the site's own, and letters may be kept as long as a site likes.
    let is_free = plan.name == topics.notes || plan.name == topics.dead_letters && policy == "delete";
    let keeps_all = policy == "delete" && found.get("retention.ms").is_none_or(|retention| retention == "-1");
    let is_well = if plan.cleanup == Cleanup::Keep { keeps_all } else { policy == plan.cleanup.policy() || keeps_all };
    let needed = match plan.cleanup {
        Cleanup::Keep => "delete with retention.ms=-1, so that a restart finds what the last published quality counts",
        Cleanup::Compact => "compact, so that a restart finds the last record of each key",
        Cleanup::Delete => "delete, so that no record goes because another has its key",
    };
    anyhow::ensure!(
        is_free || is_well,
        "cleanup.policy is {policy} and must be {needed}; change it with kafka-configs --alter"
    );
    let bytes = found.get("max.message.bytes").and_then(|bytes| bytes.parse::<usize>().ok());
    if let (Some(bytes), Some(needed)) = (bytes, plan.record_bytes_max) {
        anyhow::ensure!(
            plan.name == topics.notes || bytes >= needed,
            "max.message.bytes is {bytes} and must be {needed} at least, for the largest record that stillroom may write there; raise \
             it with kafka-configs --alter"
        );
    }
    Ok(())
}

/// How far clocks may be apart.
const CLOCKS_APART_MS_MAX: u64 = 60_000;

/// The student that was activated last, as a run will load it.
fn check_serving(config: &Config, tokenizer_hash: &str) -> Result<String> {
    let activations = serving::activations(config)?;
    let Some(last) = activations.last() else {
        return Ok("that of [student] folders, as none was activated".to_owned());
    };
    let verified = students::verify(&Registry::open(&config.models)?, &last.model, config)?;
    students::check_fits(&verified.student, last, tokenizer_hash)?;
    Ok(format!("{}, activated at {}", last.model.0, last.activated_at))
}

/// Epochs need no clock that is right, but times in people's tools do.
fn check_clock(config: &Config) -> Result<String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970; set it")?;
    if !config.kafka.uses_broker() {
        return Ok("nothing to compare it with".to_owned());
    }
    let (kafka, topics) = (open_kafka(config)?, &config.engine.topics);
    let is_behind = |topic| kafka.has_record_after(topic, now.as_millis() as u64 + CLOCKS_APART_MS_MAX);
    let apart = CLOCKS_APART_MS_MAX / 1000;
    anyhow::ensure!(
        !is_behind(&topics.progress)?,
        "a commit is stamped more than {apart} s later than this clock says it is; set all clocks by NTP"
    );
    // A note that was stamped wrong stays, whatever the clocks are now.
    if is_behind(&topics.notes)? {
        return Ok(format!("a note is stamped more than {apart} s later, so its writer's clock is ahead, or was"));
    }
    Ok("no note and no commit is stamped later".to_owned())
}
