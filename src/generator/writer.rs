//! Writes one note, with the positions of its mentions.
use super::rng::SplitMix64;
use super::templates::{HOSPITAL_DAY, NOTE_TYPES, NoteType, Section};
use super::vocabulary::{CLINICIANS, CONDITIONS, Condition, MEDICATIONS};
use stillroom_schemas::{Span, Task};

/// Words that make a note longer than the 512 word pieces that a student reads at once: a word has one piece at least.
const LONG_NOTE_WORDS: usize = 540;
/// Of a hundred discharge summaries, the long ones.
const LONG_PERCENT: u64 = 52;

/// A note as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draft {
    /// Its text.
    pub(super) text: String,
    /// Its mentions in code points, in order.
    pub(super) spans: Vec<Span>,
    code_points: u32,
    /// Whether the next value begins a sentence.
    sentence_start: bool,
}

impl Draft {
    fn new() -> Draft {
        Draft { text: String::new(), spans: Vec::new(), code_points: 0, sentence_start: true }
    }

    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.code_points += text.chars().count() as u32;
    }

    fn mention(&mut self, task: Task, name: &str) {
        let start = self.code_points;
        match self.sentence_start {
            true => self.push(&capitalised(name)),
            false => self.push(name),
        }
        self.spans.push(Span { task, start, end: self.code_points });
    }
}

/// A patient on paper: what the sentences of one note have in common. Lists are in random order and used in turn.
struct Case {
    problems: Vec<Condition>,
    /// The drugs for the problems, each with the position of its problem.
    drugs: Vec<(usize, &'static str)>,
    /// The symptoms of the problems, each with the position of its problem.
    symptoms: Vec<(usize, &'static str)>,
    /// Conditions that the patient does not have.
    others: Vec<Condition>,
    /// Symptoms that the patient does not have.
    absent: Vec<&'static str>,
    /// The problem that was named last.
    problem: usize,
    last_drug: &'static str,
    sex: &'static str,
    age: u64,
    day: u64,
}

impl Case {
    fn new(rng: &mut SplitMix64) -> Case {
        let sex = rng.pick(&["man", "woman"]);
        let possible: Vec<Condition> = CONDITIONS.iter().filter(|condition| condition.suits(sex)).copied().collect();
        let mut problems = rng.sample(&possible, 14);
        let others = problems.split_off(rng.between(3, 6) as usize);
        let drugs = shuffled(&problems, |problem| problem.drugs, rng);
        let symptoms = shuffled(&problems, |problem| problem.symptoms, rng);
        let absent = shuffled(&others, |other| other.symptoms, rng).into_iter().map(|(_, symptom)| symptom);
        Case {
            absent: absent.filter(|absent| symptoms.iter().all(|(_, symptom)| symptom != absent)).collect(),
            drugs,
            symptoms,
            problems,
            others,
            problem: 0,
            last_drug: "",
            sex,
            age: rng.between(19, 93),
            day: 0,
        }
    }

    fn next_problem(&mut self) -> Condition {
        self.problem = (self.problem + 1) % self.problems.len();
        self.problems[self.problem]
    }
}

/// Moves the first element to the end.
fn next_of<T: Copy>(items: &mut [T]) -> T {
    items.rotate_left(1);
    items[items.len() - 1]
}

/// What `part` picks of each condition, with the position of the condition, each name once, in random order.
fn shuffled(
    conditions: &[Condition],
    part: impl Fn(&Condition) -> &'static [&'static str],
    rng: &mut SplitMix64,
) -> Vec<(usize, &'static str)> {
    let numbered = conditions.iter().enumerate();
    let mut names: Vec<_> = numbered.flat_map(|(number, c)| part(c).iter().map(move |name| (number, *name))).collect();
    names.sort_by_key(|(_, name)| *name);
    names.dedup_by_key(|(_, name)| *name);
    rng.sample(&names, names.len())
}

/// Writes a note of a random kind.
pub(super) fn write_note(rng: &mut SplitMix64) -> (&'static NoteType, Draft) {
    let mut ticket = rng.below(NOTE_TYPES.iter().map(|note_type| note_type.weight).sum());
    let note_type = NOTE_TYPES.iter().find(|note_type| {
        let found = ticket < note_type.weight;
        ticket = ticket.saturating_sub(note_type.weight);
        found
    });
    let note_type = note_type.expect("a ticket is below the sum of the weights");
    let long = note_type.name == "discharge_summary" && rng.chance(LONG_PERCENT);
    let mut case = Case::new(rng);
    let mut draft = Draft::new();
    for section in note_type.sections {
        write_section(&mut draft, section, &mut case, rng);
        let day = section.headings == HOSPITAL_DAY.headings;
        while long && day && draft.text.split_whitespace().count() < LONG_NOTE_WORDS {
            write_section(&mut draft, section, &mut case, rng);
        }
    }
    (note_type, draft)
}

/// Writes an amendment below `draft`.
pub(super) fn write_addendum(draft: &mut Draft, rng: &mut SplitMix64) {
    let templates = &[
        "on review {symptom} has resolved and {drug} was stopped.",
        "the patient also has {disease}, on {drug_order}.",
        "{other} was excluded after this note was signed.",
        "the dose should read: {order}.",
    ];
    draft.push("Addendum: ");
    draft.sentence_start = false;
    let (template, mut case) = (rng.pick(templates), Case::new(rng));
    write_sentence(draft, template, &mut case, rng);
    draft.push("\n");
}

fn write_section(draft: &mut Draft, section: &Section, case: &mut Case, rng: &mut SplitMix64) {
    draft.sentence_start = false;
    let heading = rng.pick(section.headings);
    write_sentence(draft, heading, case, rng);
    let (least, most) = section.sentences;
    // A list must not come round to its first drug again.
    let most = if section.list { most.min(case.drugs.len() as u64) } else { most };
    let count = rng.between(least, most.max(least)) as usize;
    let templates = rng.sample(section.templates, count);
    let count = templates.len();
    let bullet = rng.pick(&["- ", "• ", "", "* "]);
    for (number, template) in (1..).zip(templates) {
        if section.list {
            draft.push(bullet);
        }
        draft.sentence_start = true;
        write_sentence(draft, template, case, rng);
        draft.push(if section.list || number == count { "\n" } else { " " });
    }
    if rng.chance(40) {
        draft.push("\n");
    }
}

/// Fills in the braces of `template`.
fn write_sentence(draft: &mut Draft, template: &str, case: &mut Case, rng: &mut SplitMix64) {
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, after) = after.split_once('}').expect("braces come in pairs");
        draft.sentence_start &= rest.len() == template.len() && before.is_empty();
        draft.push(before);
        write_value(draft, name, case, rng);
        rest = after;
    }
    draft.push(rest);
}

fn write_value(draft: &mut Draft, name: &str, case: &mut Case, rng: &mut SplitMix64) {
    match name {
        "disease" => draft.mention(Task::Disease, name_of(case.next_problem(), rng)),
        "its_disease" => draft.mention(Task::Disease, name_of(case.problems[case.problem], rng)),
        "other" => draft.mention(Task::Disease, name_of(next_of(&mut case.others), rng)),
        "symptom" => {
            let (problem, symptom) = next_of(&mut case.symptoms);
            case.problem = problem;
            draft.mention(Task::Symptom, symptom);
        }
        "absent" => draft.mention(Task::Symptom, next_of(&mut case.absent)),
        "drug" | "drug_order" | "drug2" | "order" => {
            let drug = next_drug(name, case, rng);
            draft.mention(Task::Medication, drug);
            if name.ends_with("order") {
                let (_, dose, how) =
                    MEDICATIONS.iter().find(|(name, _, _)| *name == drug).expect("every drug has a dose");
                draft.push(&format!(" {dose} {how}"));
            }
        }
        _ => draft.push(&plain_value(name, case, rng)),
    }
}

/// The full name of a condition half of the time, else any of its names.
fn name_of(condition: Condition, rng: &mut SplitMix64) -> &'static str {
    if rng.chance(50) { condition.names[0] } else { rng.pick(condition.names) }
}

fn next_drug(name: &str, case: &mut Case, rng: &mut SplitMix64) -> &'static str {
    let drug = match name {
        "drug" | "drug_order" => rng.pick(case.problems[case.problem].drugs),
        _ => {
            let mut next = next_of(&mut case.drugs);
            if name == "drug2" && next.1 == case.last_drug {
                next = next_of(&mut case.drugs);
            }
            case.problem = next.0;
            next.1
        }
    };
    case.last_drug = drug;
    drug
}

/// `name` with a capital first letter.
fn capitalised(name: &str) -> String {
    let mut characters = name.chars();
    characters.next().into_iter().flat_map(char::to_uppercase).chain(characters).collect()
}

fn plain_value(name: &str, case: &mut Case, rng: &mut SplitMix64) -> String {
    let tenths = |rng: &mut SplitMix64, low, high| {
        let value = rng.between(low, high);
        format!("{}.{}", value / 10, value % 10)
    };
    match name {
        "age" => case.age.to_string(),
        "sex" => case.sex.to_string(),
        "day" => {
            case.day += 1;
            case.day.to_string()
        }
        "clinician" => rng.pick(CLINICIANS).to_string(),
        "weekday" => rng.pick(&["Monday", "Tuesday", "Friday", "last weekend", "yesterday"]).to_string(),
        "days" => rng.between(2, 9).to_string(),
        "weeks" => rng.between(2, 12).to_string(),
        "year" => rng.between(2004, 2024).to_string(),
        "hour" => rng.between(10, 22).to_string(),
        "minute" => rng.between(10, 59).to_string(),
        "temperature" => tenths(rng, 360, 394),
        "systolic" => rng.between(98, 178).to_string(),
        "diastolic" => rng.between(54, 98).to_string(),
        "pulse" => rng.between(56, 88).to_string(),
        "pulse2" => rng.between(89, 118).to_string(),
        "breaths" => rng.between(12, 24).to_string(),
        "saturation" => rng.between(90, 100).to_string(),
        "litres" => rng.between(1, 4).to_string(),
        "sodium" => rng.between(128, 146).to_string(),
        "potassium" => tenths(rng, 32, 54),
        "creatinine" => tenths(rng, 6, 31),
        "white" => tenths(rng, 38, 189),
        "hemoglobin" => tenths(rng, 71, 161),
        "platelets" => rng.between(92, 420).to_string(),
        "ferritin" => rng.between(6, 480).to_string(),
        "crp" => rng.between(1, 190).to_string(),
        "metres" => rng.between(10, 90).to_string(),
        "intake" => (rng.between(4, 30) * 50).to_string(),
        "millimetres" => rng.between(3, 11).to_string(),
        _ => unreachable!("a template names {name}, which the writer does not know"),
    }
}
