//! From spans to assertions: words, sentences, triggers, sweeps, and the decision.

use crate::headings::{Headings, Section};
use crate::lexicon::{AXES, Says, SectionRule};
use crate::note::{Entity, Note};
use crate::scopes::{Acting, Actings, Scene, Way};
use crate::sentences::{Sentence, sentences};
use crate::triggers::{Chronic, Found, Triggers};
use crate::{AssertionError, Lexicon};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use stillroom_schemas::{Assertion, Cue, Span};

/// Words and signs behind a trigger with which it leads to a list at most: `call if you have any of the following:`.
const LEAD_WORDS_MAX: usize = 7;

/// Triggers of what leads to a list, the last ones, that act on its items at most: every item sees them.
const LEAD_TRIGGERS_MAX: usize = 8;

/// Words of an entity that are looked through for those of chronic diseases.
const CHRONIC_WORDS_MAX: usize = 64;

/// Which triggers and headings there are. Unknown fields are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ContextConfig {
    /// Files in TOML whose triggers, headings and chronic diseases are added to those of the program, or take their
    /// place; a later file changes what an earlier one says. Default none. Example: `lexicons = ["ward.toml"]`.
    pub lexicons: Vec<PathBuf>,
    /// Whether the lexicon that comes with the program applies. Default true.
    pub own_lexicon: bool,
}

impl Default for ContextConfig {
    fn default() -> ContextConfig {
        ContextConfig { lexicons: Vec::new(), own_lexicon: true }
    }
}

/// How an entity is meant, and where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asserted {
    /// How it is meant.
    pub assertion: Assertion,
    /// Its section, as the lexicon calls it; none before the first heading, and behind one that the lexicon lacks.
    pub section: Option<String>,
}

/// Decides how entities are meant. It can be shared by threads.
#[derive(Debug)]
pub struct Context {
    triggers: Triggers,
    chronic: Chronic,
    headings: Headings,
    sections: BTreeMap<String, Vec<SectionRule>>,
}

impl Context {
    /// Loads the lexicons that a configuration names.
    ///
    /// # Errors
    /// When a file cannot be read or is not a lexicon. Names the file, the entry and the remedy.
    pub fn load(config: &ContextConfig) -> Result<Context, AssertionError> {
        let mut lexicon = if config.own_lexicon { Lexicon::shipped() } else { Lexicon::default() };
        config.lexicons.iter().try_for_each(|path| lexicon.extend_from(path))?;
        Context::new(lexicon)
    }

    /// Decides by a lexicon.
    ///
    /// # Errors
    /// When it is too large.
    pub fn new(lexicon: Lexicon) -> Result<Context, AssertionError> {
        Ok(Context {
            triggers: Triggers::new(lexicon.triggers)?,
            chronic: Chronic::new(&lexicon.chronic)?,
            headings: Headings::new(lexicon.headings),
            sections: lexicon.sections,
        })
    }

    /// How `text` means its entities: one answer a span, in their order. Positions are code points, of the cues too. A
    /// span without words, or beyond the text, is affirmed. The time grows with the length of the text and the number
    /// of spans.
    ///
    /// ```
    /// use stillroom_assertion::{Context, ContextConfig};
    /// use stillroom_schemas::{Certainty, Span, Task};
    ///
    /// let context = Context::load(&ContextConfig::default())?;
    /// let asserted = context.assert("Denies fever.", &[Span { task: Task::Symptom, start: 7, end: 12 }]);
    /// assert_eq!(asserted[0].assertion.certainty, Certainty::Negated);
    /// assert_eq!(asserted[0].assertion.cues[0].trigger, "denies");
    /// # Ok::<(), stillroom_assertion::AssertionError>(())
    /// ```
    pub fn assert(&self, text: &str, spans: &[Span]) -> Vec<Asserted> {
        let note = Note::of(text, spans);
        let mut asserted = vec![Asserted::default(); spans.len()];
        let occupied = occupied(&note, sentences(&note, &self.headings));
        let found = self.triggers.find(&note, occupied.iter().map(|(sentence, _)| sentence.words.clone()));
        let leading = self.leading(&note, &occupied);
        let (mut found, mut entities) = (found.as_slice(), note.entities.as_slice());
        for (sentence, count) in &occupied {
            let here = found.iter().take_while(|found| found.words.start < sentence.words.end).count();
            let (found_here, found_behind) = found.split_at(here);
            let (entities_here, entities_behind) = entities.split_at(*count);
            (found, entities) = (found_behind, entities_behind);
            let scene = Scene {
                note: &note,
                triggers: &self.triggers,
                words: sentence.words.clone(),
                found: found_here,
                lead: of_lead(&leading, sentence.lead.as_ref()),
                entities: entities_here,
            };
            let actings = scene.sweep(Way::Forward).into_iter().zip(scene.sweep(Way::Backward));
            for (entity, (forward, backward)) in entities_here.iter().zip(actings) {
                let decision = Decision { context: self, scene: &scene, entity, section: sentence.section };
                asserted[entity.index] = decision.asserted(&forward, &backward);
            }
        }
        asserted
    }

    /// The triggers of all sentences that lead to others, each once and in order.
    fn leading(&self, note: &Note<'_>, sentences: &[(Sentence, usize)]) -> Vec<Found> {
        let mut leads: Vec<Range<usize>> = sentences.iter().filter_map(|(sentence, _)| sentence.lead.clone()).collect();
        // Items of one list stand together, and the leads of lists in the order of these.
        leads.dedup();
        self.triggers.find(note, leads.into_iter())
    }
}

/// The triggers of a lead, if the last of them leads to the list.
fn of_lead<'f>(leading: &'f [Found], lead: Option<&Range<usize>>) -> &'f [Found] {
    let Some(lead) = lead else { return &[] };
    let before = |word: usize| leading.partition_point(|found| found.words.start < word);
    let found = &leading[before(lead.start)..before(lead.end)];
    let is_near = |last: &Found| lead.end - last.words.end <= LEAD_WORDS_MAX;
    if found.last().is_some_and(is_near) { &found[found.len().saturating_sub(LEAD_TRIGGERS_MAX)..] } else { &[] }
}

/// The sentences that entities begin in, with how many do.
fn occupied(note: &Note<'_>, sentences: Vec<Sentence>) -> Vec<(Sentence, usize)> {
    let mut entities = note.entities.as_slice();
    let counted = sentences.into_iter().map(|sentence| {
        let count = entities.iter().take_while(|entity| entity.words.start < sentence.words.end).count();
        entities = &entities[count..];
        (sentence, count)
    });
    counted.filter(|(_, count)| *count > 0).collect()
}

/// What decides on one entity.
struct Decision<'a> {
    context: &'a Context,
    scene: &'a Scene<'a>,
    entity: &'a Entity,
    section: Option<Section>,
}

impl Decision<'_> {
    fn asserted(&self, forward: &Actings, backward: &Actings) -> Asserted {
        let (mut assertion, mut cues) = (Assertion::default(), Vec::new());
        for axis in 0..AXES {
            let by_trigger = self.nearer(forward[axis], backward[axis]).map(|acting| {
                let found = self.scene.trigger(acting.found);
                (acting.saying.says, self.cue_of(found, acting.saying.says))
            });
            if let Some((says, cue)) = by_trigger.or_else(|| self.by_section(axis)) {
                says.say(&mut assertion);
                cues.push(cue);
            }
        }
        // Of one place in the order of the axes.
        cues.sort_by_key(|cue: &Cue| (cue.start, cue.end));
        assertion.cues = cues;
        let section = self.section.map(|section| self.context.headings.get(section).section.clone());
        Asserted { assertion, section }
    }

    /// The nearer of two triggers; behind the entity if they are as near: "possible PE was excluded".
    fn nearer(&self, forward: Option<Acting>, backward: Option<Acting>) -> Option<Acting> {
        let acts = |acting: &Acting| !(acting.saying.spares_chronic && self.is_chronic());
        match (forward.filter(acts), backward.filter(acts)) {
            (Some(forward), Some(backward)) if forward.words < backward.words => Some(forward),
            (forward, backward) => backward.or(forward),
        }
    }

    /// What the section says on an axis that no trigger speaks on.
    fn by_section(&self, axis: usize) -> Option<(Says, Cue)> {
        let section = self.section?;
        let heading = self.context.headings.get(section);
        let rules = self.context.sections.get(&heading.section)?;
        let rule = rules.iter().find(|rule| {
            rule.says.axis() == axis
                && rule.tasks[self.entity.task.index()]
                && !(rule.spares_chronic && self.is_chronic())
        })?;
        let (words, says) = (&self.scene.note.words, rule.says.name().to_owned());
        let (start, end) = (words.get(section.first).points.start, words.get(section.end - 1).points.end);
        Some((rule.says, Cue { says, trigger: heading.text.clone(), start, end }))
    }

    fn cue_of(&self, found: &Found, says: Says) -> Cue {
        let words = &self.scene.note.words;
        Cue {
            says: says.name().to_owned(),
            trigger: self.context.triggers.get(found).text.clone(),
            start: words.get(found.words.start).points.start,
            end: words.get(found.words.end - 1).points.end,
        }
    }

    fn is_chronic(&self) -> bool {
        let words = self.entity.words.clone().take(CHRONIC_WORDS_MAX);
        let mut key = String::new();
        words.for_each(|word| self.scene.note.words.push_key(word, &mut key));
        self.context.chronic.is_in(&key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::key;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;
    use std::sync::LazyLock;
    use stillroom_schemas::Task;

    static CONTEXT: LazyLock<Context> = LazyLock::new(|| Context::load(&ContextConfig::default()).unwrap());

    /// What texts are made of: the triggers of the lexicon, with numbers in the place of `#`, and words between them.
    static WORDS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let texts = Lexicon::shipped().triggers.into_values().map(|trigger| trigger.text);
        let texts = texts.map(|text| text.replace("####", "2010").replace('#', "12"));
        let others =
            ["gout", "fever", ",", ".", ":", ";", "-", "\n", "\n\n", "FAMILY HISTORY:", "Plan -", "(", "\u{e9}t\u{e9}"];
        texts.chain(others.map(str::to_owned)).collect()
    });

    #[test]
    fn a_context_can_be_shared() {
        fn is_shared<T: Send + Sync>(_: &T) {}
        is_shared(&*CONTEXT);
    }

    proptest! {
        #[test]
        fn a_cue_stands_where_its_trigger_does(
            words in vec((any::<Index>(), any::<bool>(), any::<bool>()), 1..30),
            spans in vec((any::<Index>(), any::<Index>(), 0..3_usize), 1..6),
        ) {
            let word = |(index, is_capitals, is_joined): &(Index, bool, bool)| {
                let word = index.get(&WORDS).as_str();
                let word = if *is_capitals { word.to_uppercase() } else { word.to_owned() };
                if *is_joined { word } else { format!("{word} ") }
            };
            let text: String = words.iter().map(word).collect();
            let characters: Vec<char> = text.chars().collect();
            let span = |(one, other, task): &(Index, Index, usize)| {
                let (one, other) = (one.index(characters.len()) as u32, other.index(characters.len()) as u32);
                Span { task: Task::ALL[*task], start: one.min(other), end: one.max(other).min(one.min(other) + 9) + 1 }
            };
            let spans: Vec<Span> = spans.iter().map(span).collect();
            let asserted = CONTEXT.assert(&text, &spans);
            prop_assert_eq!(asserted.len(), spans.len());
            for (span, asserted) in spans.iter().zip(asserted) {
                prop_assert!(asserted.assertion.cues.len() <= AXES);
                for cue in asserted.assertion.cues {
                    let slice: String = characters[cue.start as usize..cue.end as usize].iter().collect();
                    prop_assert_eq!(key(&slice), key(&cue.trigger), "{:?}", text);
                    prop_assert!(cue.end <= span.start || cue.start >= span.end, "{:?}", text);
                }
            }
        }
    }
}
