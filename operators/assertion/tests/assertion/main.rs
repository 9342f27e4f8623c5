//! How texts mean their entities: on cases, on the sentences that come with the program, and as properties of any text.

mod accuracy;
mod cases;
mod files;
mod properties;
mod sections;

use std::sync::LazyLock;
use stillroom_assertion::{Asserted, Context, ContextConfig, Marked};
use stillroom_schemas::{Assertion, Certainty, Experiencer, Span, Temporality};

/// The context of the program.
static CONTEXT: LazyLock<Context> = LazyLock::new(|| Context::load(&ContextConfig::default()).unwrap());

/// Part of a text, in code points.
fn slice(text: &str, start: u32, end: u32) -> String {
    text.chars().skip(start as usize).take(end.saturating_sub(start) as usize).collect()
}

/// What is said on the axes that do not have their defaults.
fn said(assertion: &Assertion) -> Vec<&'static str> {
    let certainty = match assertion.certainty {
        Certainty::Affirmed => None,
        Certainty::Uncertain => Some("uncertain"),
        Certainty::Negated => Some("negated"),
    };
    let temporality = match assertion.temporality {
        Temporality::Recent => None,
        Temporality::Historical => Some("historical"),
        Temporality::Hypothetical => Some("hypothetical"),
    };
    let experiencer = match assertion.experiencer {
        Experiencer::Patient => None,
        Experiencer::Family => Some("family"),
        Experiencer::Other => Some("other"),
    };
    [certainty, temporality, experiencer].into_iter().flatten().collect()
}

/// An entity and how it is meant: `fever negated by "denies"`. What the cues say is what the assertion says.
fn show(text: &str, span: &Span, asserted: &Asserted) -> String {
    let assertion = &asserted.assertion;
    let mut says: Vec<&str> = assertion.cues.iter().map(|cue| cue.says.as_str()).collect();
    let mut expected = said(assertion);
    let cues: Vec<String> = assertion.cues.iter().map(|cue| format!("{} by {:?}", cue.says, cue.trigger)).collect();
    says.sort_unstable();
    expected.sort_unstable();
    assert_eq!(says, expected, "{text}");
    let cues = if cues.is_empty() { "affirmed".to_owned() } else { cues.join(", ") };
    format!("{} {cues}", slice(text, span.start, span.end))
}

/// The entities of a marked text and how each is meant, joined by `; `.
fn check(source: &str, expected: &str) {
    check_with(&CONTEXT, source, expected);
}

fn check_with(context: &Context, source: &str, expected: &str) {
    let Marked { text, spans } = Marked::read(source);
    let asserted = context.assert(&text, &spans);
    assert_eq!(asserted.len(), spans.len());
    let shown: Vec<String> = spans.iter().zip(&asserted).map(|(span, asserted)| show(&text, span, asserted)).collect();
    assert_eq!(shown.join("; "), expected, "{text}");
}
