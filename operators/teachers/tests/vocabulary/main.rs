//! The local vocabulary teacher: on cases, against a naive matcher, and on the development splits of public corpora.

mod corpora;

use proptest::prelude::*;
use stillroom_schemas::{Span, Task, TaskSet};
use stillroom_teachers::vocabulary::{Vocabulary, VocabularyConfig, VocabularyRules, VocabularySource};

fn all_tasks() -> TaskSet {
    Task::ALL.into_iter().collect()
}

/// A vocabulary of these names, `task: name` a line; a name is its own concept.
fn vocabulary(names: &str, change: impl Fn(&mut VocabularyConfig)) -> Vocabulary {
    let folder = tempfile::tempdir().unwrap();
    let mut sources = Vec::new();
    for task in Task::ALL {
        let of_task = |line: &str| {
            Some(line.split_once(": ")?).filter(|(of, _)| *of == task.name()).map(|(_, name)| name.to_owned())
        };
        let rows: Vec<String> = names.lines().filter_map(of_task).map(|name| format!("{name}\t{name}\n")).collect();
        if !rows.is_empty() {
            let path = folder.path().join(format!("{}.tsv", task.name()));
            std::fs::write(&path, format!("id\tsynonym\n{}", rows.concat())).unwrap();
            sources.push(VocabularySource::new(task, path));
        }
    }
    let mut config = VocabularyConfig::new(sources);
    config.own_names = false;
    change(&mut config);
    Vocabulary::load(&config).unwrap()
}

/// The text with its mentions in brackets, the first letter of the task before each; of one task after the other.
fn show(vocabulary: &Vocabulary, text: &str) -> String {
    let points: Vec<char> = text.chars().collect();
    let mentions = vocabulary.mentions(text, &all_tasks());
    assert!(
        mentions.windows(2).all(|pair| pair[0].span.task < pair[1].span.task || pair[0].span.end <= pair[1].span.start)
    );
    let show = |mention: &stillroom_teachers::vocabulary::VocabularyMention| {
        let Span { task, start, end } = mention.span;
        let under: String = points[start as usize..end as usize].iter().collect();
        format!("{}[{under}]={}", &task.name()[..1], mention.concept)
    };
    mentions.iter().map(show).collect::<Vec<_>>().join(" ")
}

const NAMES: &str = "\
disease: diabetes mellitus, type 2
disease: asthma
disease: Crohn's disease
disease: ALL
disease: acute lymphoblastic leukemia
disease: lung cancer
disease: small cell lung cancer
disease: hepatitis B
disease: hepatitis
disease: ant
disease: myotonic dystrophy
medication: heparin sodium
medication: insulin
symptom: headache
symptom: loss of appetite
symptom: small cell
symptom: wheezing
disease: wheezing";

fn check(text: &str, expected: &str) {
    assert_eq!(show(&vocabulary(NAMES, |_| {}), text), expected, "{text}");
}

#[test]
fn the_longest_name_of_each_task_wins() {
    check("Small-cell lung cancer", "d[Small-cell lung cancer]=small cell lung cancer s[Small-cell]=small cell");
    check("hepatitis B, hepatitis C", "d[hepatitis B]=hepatitis B d[hepatitis]=hepatitis");
    check("hepatitis Bx", "d[hepatitis]=hepatitis");
    check("wheezing", "d[wheezing]=wheezing s[wheezing]=wheezing");
}

#[test]
fn names_stand_at_the_boundaries_of_words() {
    check("headachey, preheadache; (headache)", "s[headache]=headache");
    check("headache2 headache_ headache", "s[headache]=headache s[headache]=headache");
    check("significant", "");
}

#[test]
fn plurals_are_found_and_case_is_folded() {
    check("HEADACHES", "s[HEADACHES]=headache");
    check("lung cancers", "d[lung cancers]=lung cancer");
    check("myotonic dystrophies", "d[myotonic dystrophies]=myotonic dystrophy");
}

#[test]
fn white_space_hyphens_and_possessives_are_folded() {
    check("loss\r\n  of\u{a0}appetite", "s[loss\r\n  of\u{a0}appetite]=loss of appetite");
    check(
        "Crohn\u{2019}s disease, Crohn disease",
        "d[Crohn\u{2019}s disease]=Crohn's disease d[Crohn disease]=Crohn's disease",
    );
    check("type-2 diabetes mellitus", "d[type-2 diabetes mellitus]=diabetes mellitus, type 2");
}

#[test]
fn positions_are_code_points_of_the_original() {
    let names = "disease: gro\u{df} fever\ndisease: \u{fb01}brosis\ndisease: Sj\u{f6}gren syndrome";
    let vocabulary = vocabulary(names, |_| {});
    let check = |text: &str, expected: &str| assert_eq!(show(&vocabulary, text), expected, "{text}");
    check("\u{130}\u{df} GROSS fever x", "d[GROSS fever]=gro\u{df} fever");
    check("\u{fb01} FIBROSIS x", "d[FIBROSIS]=\u{fb01}brosis");
    check(
        "\u{1f600}e\u{301} Sjo\u{308}gren\u{2019}s syndrome!",
        "d[Sjo\u{308}gren\u{2019}s syndrome]=Sj\u{f6}gren syndrome",
    );
}

#[test]
fn abbreviations_keep_their_case_and_are_explained() {
    check("all patients with ALL", "d[ALL]=ALL");
    check("asthma (AS) and AS, as", "d[asthma]=asthma d[AS]=asthma d[AS]=asthma");
    check(
        "DM: myotonic dystrophy (DM) and DMs",
        "d[DM]=myotonic dystrophy d[myotonic dystrophy]=myotonic dystrophy d[DM]=myotonic dystrophy d[DMs]=myotonic dystrophy",
    );
    check("asthma (XY) XY", "d[asthma]=asthma");
    check("asthma (AX) AX, asthma (as) as", "d[asthma]=asthma d[asthma]=asthma");
    check("insulin (IN, human) IN", "m[insulin]=insulin m[IN]=insulin m[IN]=insulin");
}

#[test]
fn diseases_take_in_their_modifiers() {
    check("Hereditary lung cancer", "d[Hereditary lung cancer]=lung cancer");
    check("X-linked recessive myotonic dystrophy", "d[X-linked recessive myotonic dystrophy]=myotonic dystrophy");
    check("familial headache", "s[headache]=headache");
    check("autosomal, hepatitis", "d[hepatitis]=hepatitis");
    // A modifier that is a name's last word stays with that name.
    let names = "disease: asthma\ndisease: mild familial";
    let vocabulary = vocabulary(names, |_| {});
    assert_eq!(show(&vocabulary, "mild familial asthma"), "d[mild familial]=mild familial d[asthma]=asthma");
}

#[test]
fn names_and_exclusions_come_with_the_program() {
    let text = "chemotherapy for a mass with heart failure; discharge; this";
    let names = format!("{NAMES}\nsymptom: discharge\nsymptom: heart failure\nmedication: this");
    let with = vocabulary(&names, |config| config.own_names = true);
    assert_eq!(
        show(&with, text),
        "d[heart failure]=STILLROOM:heart-failure m[chemotherapy]=STILLROOM:chemotherapy s[mass]=STILLROOM:mass"
    );
    let without = vocabulary(&names, |config| config.own_exclusions = false);
    assert_eq!(show(&without, text), "m[this]=this s[heart failure]=heart failure s[discharge]=discharge");
    // Only the tasks that the user has names of.
    let medications = vocabulary("medication: aspirin", |config| config.own_names = true);
    assert_eq!(show(&medications, text), "m[chemotherapy]=STILLROOM:chemotherapy");
}

#[test]
fn of_two_concepts_of_a_name_the_first_one_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let sources = ["1\tfevers\n2\tfever\n", "3\tfever\n4\tAFEB\n5\tafeb\n"].iter().enumerate().map(|(nth, rows)| {
        let path = folder.path().join(format!("{nth}.tsv"));
        std::fs::write(&path, format!("id\tsynonym\n{rows}")).unwrap();
        VocabularySource::new(Task::Symptom, path)
    });
    let vocabulary = Vocabulary::load(&VocabularyConfig::new(sources.collect())).unwrap();
    assert_eq!(show(&vocabulary, "fever, fevers, afeb"), "s[fever]=2 s[fevers]=1 s[afeb]=5");
    assert_eq!(vocabulary.reports().iter().map(|report| report.names).collect::<Vec<_>>(), [2, 3]);
}

#[test]
fn names_have_a_least_length() {
    let found = |characters_min: usize| {
        let vocabulary = vocabulary("symptom: a b\nsymptom: abc", |config| config.characters_min = characters_min);
        show(&vocabulary, "a-b abc")
    };
    assert_eq!(found(2), "s[a-b]=a b s[abc]=abc");
    assert_eq!(found(3), "s[abc]=abc");
}

#[test]
fn rules_can_be_left_out() {
    let plain = vocabulary(NAMES, |config| config.rules = VocabularyRules::none());
    let text = "Headaches, headache, all, type 2 diabetes mellitus, heparin, asthma (AST) AST";
    assert_eq!(show(&plain, text), "d[all]=ALL d[asthma]=asthma s[headache]=headache");
    assert_eq!(
        show(&vocabulary(NAMES, |_| {}), text),
        "d[type 2 diabetes mellitus]=diabetes mellitus, type 2 d[asthma]=asthma d[AST]=asthma d[AST]=asthma \
         m[heparin]=heparin sodium s[Headaches]=headache s[headache]=headache"
    );
}

#[test]
fn users_exclude_names_for_one_task_or_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.tsv");
    std::fs::write(&path, "# mine\nheadache\r\n\nwheezing\tdisease\n").unwrap();
    let fewer = vocabulary(NAMES, |config| config.exclusions = vec![path.clone()]);
    assert_eq!(show(&fewer, "Headaches, wheezing, ants"), "d[ants]=ant s[wheezing]=wheezing");
    assert_ne!(fewer.version(), vocabulary(NAMES, |_| {}).version());
    std::fs::write(&path, "wheezing\tdiseases\n").unwrap();
    let sources = vec![VocabularySource::new(Task::Disease, &path)];
    let error =
        Vocabulary::load(&VocabularyConfig { exclusions: vec![path], ..VocabularyConfig::new(sources) }).unwrap_err();
    assert!(error.to_string().contains("mine.tsv excludes for an unknown task (line 1); write disease"), "{error}");
}

#[test]
fn only_tasks_that_are_asked_for_are_labelled() {
    let vocabulary = vocabulary(NAMES, |_| {});
    assert_eq!(vocabulary.tasks(), &all_tasks());
    let spans = vocabulary.label("asthma, headache", &[Task::Symptom].into());
    assert_eq!(spans, [Span { task: Task::Symptom, start: 8, end: 16 }]);
    assert_eq!(vocabulary.label("", &all_tasks()), []);
}

#[test]
fn the_version_follows_names_and_rules() {
    let version =
        |names: &str, rules: VocabularyRules| vocabulary(names, |config| config.rules = rules).version().to_owned();
    let rules = VocabularyRules::default();
    let first = version("disease: gout", rules);
    assert!(first.starts_with("vocabulary-"));
    assert_eq!(first, version("disease: gout", rules));
    assert_ne!(first, version("disease: scurvy", rules));
    assert_ne!(first, version("symptom: gout", rules));
    assert_ne!(first, version("disease: gout", VocabularyRules { explained: false, ..rules }));
}

#[test]
fn too_many_names_and_no_source_are_refused() {
    let refused = Vocabulary::load(&VocabularyConfig::new(Vec::new())).unwrap_err();
    assert!(refused.to_string().contains("has no sources; name a file"), "{refused}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.tsv");
    std::fs::write(&path, "id\tsynonym\n1\ta\n1\tb\n").unwrap();
    let config =
        VocabularyConfig { names_max: 1, ..VocabularyConfig::new(vec![VocabularySource::new(Task::Disease, path)]) };
    let refused = Vocabulary::load(&config).unwrap_err();
    assert!(refused.to_string().contains("has more than 1 names; choose kinds or tags"), "{refused}");
}

#[test]
fn a_configuration_is_read_strictly() {
    let config: VocabularyConfig =
        toml("sources = [{ task = 'medication', path = 'RXNCONSO.RRF', kinds = ['BN'] }]\nrules = { salts = false }")
            .unwrap();
    assert_eq!(config.characters_min, 3);
    assert_eq!(config.rules, VocabularyRules { salts: false, ..VocabularyRules::default() });
    assert!(toml("sources = []\nrule = {}").unwrap_err().contains("unknown field `rule`"));
    assert!(toml("sources = []\nrules = { plural = true }").unwrap_err().contains("unknown field `plural`"));
}

fn toml(text: &str) -> Result<VocabularyConfig, String> {
    ::toml::from_str(text).map_err(|error| error.message().to_owned())
}

#[test]
fn it_is_shared_by_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&vocabulary(NAMES, |_| {}));
}

/// The words of a text by a second implementation: folded, and the code points under each.
fn naive_words(text: &str) -> Vec<(String, u32, u32)> {
    let mut words: Vec<(String, u32, u32)> = Vec::new();
    let mut is_open = false;
    for (at, character) in (0u32..).zip(text.chars()) {
        let folded = match character {
            ' ' | '\r' | '\n' | '-' => String::new(),
            '\u{301}' if is_open => {
                words.last_mut().unwrap().2 = at + 1;
                continue;
            }
            '\u{301}' => continue,
            '\u{df}' => "ss".to_owned(),
            '\u{130}' => "i".to_owned(),
            '\u{fb01}' => "fi".to_owned(),
            '\u{e9}' | '\u{c9}' => "e".to_owned(),
            '\u{3b1}' => "alpha".to_owned(),
            other => other.to_ascii_lowercase().to_string(),
        };
        let is_letter = !folded.is_empty() && character != '.';
        match words.last_mut() {
            Some(word) if is_letter && is_open => {
                word.0 += &folded;
                word.2 = at + 1;
            }
            _ if !folded.is_empty() => words.push((folded, at, at + 1)),
            _ => {}
        }
        is_open = is_letter;
    }
    words
}

/// The leftmost-longest names, by trying every range of words from left to right.
fn naive_spans(text: &str, names: &[String]) -> Vec<(u32, u32)> {
    let folded = |words: &[(String, u32, u32)]| words.iter().map(|word| word.0.clone()).collect::<Vec<_>>();
    let names: Vec<Vec<String>> = names.iter().map(|name| folded(&naive_words(name))).collect();
    let words = naive_words(text);
    let (mut first, mut spans) = (0, Vec::new());
    while first < words.len() {
        let longest = (first + 1..=words.len()).rev().find(|&last| names.contains(&folded(&words[first..last])));
        if let Some(last) = longest {
            spans.push((words[first].1, words[last - 1].2));
        }
        first = longest.unwrap_or(first + 1);
    }
    spans
}

/// Letters that change their length, marks, and all kinds of separators.
const PIECES: [&str; 20] = [
    "a", "b", "A", "s", "ss", "i", "fi", "e", "alpha", "\u{df}", "\u{130}", "\u{fb01}", "\u{e9}", "\u{c9}", "\u{301}",
    "\u{3b1}", ".", " ", "-", "\r\n",
];

fn pieces(count_max: usize) -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(&PIECES[..]), 0..count_max).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn agrees_with_a_naive_matcher(
        names in proptest::collection::vec(pieces(5), 1..12),
        texts in proptest::collection::vec(pieces(40), 1..8),
    ) {
        // A name needs a letter; one that a file of lines cannot hold is left out.
        let names: Vec<String> = names
            .into_iter()
            .filter(|name| name.trim() == name && !name.contains('\r') && naive_words(name).iter().any(|word| word.0 != "."))
            .chain(["zz".to_owned()])
            .collect();
        let lines: Vec<String> = names.iter().map(|name| format!("symptom: {name}")).collect();
        let vocabulary = vocabulary(&lines.join("\n"), |config| {
            config.rules = VocabularyRules::none();
            config.characters_min = 1;
            config.own_exclusions = false;
        });
        for text in texts {
            let found = vocabulary.label(&text, &[Task::Symptom].into());
            let found: Vec<(u32, u32)> = found.into_iter().map(|span| (span.start, span.end)).collect();
            prop_assert_eq!(found, naive_spans(&text, &names), "{:?} {:?}", text, names);
        }
    }

    #[test]
    fn spans_are_sound_in_any_text(text in "\\PC{0,80}|((asthma|ALL|headaches|\u{fb01}|\\(|\\)|'s|\u{301}|\u{130}|[A-Z]{2})[ -]?){0,20}") {
        let vocabulary = vocabulary(NAMES, |_| {});
        let length = text.chars().count() as u32;
        let spans = vocabulary.label(&text, &all_tasks());
        for pair in spans.windows(2) {
            prop_assert!(pair[0].task < pair[1].task || pair[0].end <= pair[1].start);
        }
        prop_assert!(spans.iter().all(|span| span.start < span.end && span.end <= length));
    }
}
