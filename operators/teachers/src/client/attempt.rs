//! One request: when it may leave, what it may cost, and what its answer means for the next one.

use super::Client;
use super::breaker::Pass;
use super::credentials::Shown;
use super::gate::Permit;
use super::purse::{Purse, Reserved};
use super::vertex::NoToken;
use super::waits::{ASKED_BELIEVED_MAX, asked, until_left};
use crate::wire::{self, Body, Call, Complaint, Fault, Found};
use crate::{Api, Question, TeacherError, Usage};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{RequestBuilder, Response};
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Bytes of an answer that are read at most.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// What one question has cost so far.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) usage: Usage,
    /// Whether a key or token was refused, and another taken.
    is_renewed: bool,
    pub(super) first: Option<Instant>,
    pub(super) last: Option<Instant>,
}

/// How an attempt ended, if another one may follow.
pub(super) enum Ended {
    Found(Found),
    /// To be repaired by the model, if it said anything.
    Malformed {
        reason: String,
        said: Option<String>,
    },
    /// The key was refused, and there is another; no question is asked so twice.
    Renewed,
    /// To be tried again after what the server asks for.
    Again {
        reason: String,
        wait: Option<Duration>,
    },
}

/// What was heard of a request that left.
enum Heard {
    /// All of an answer.
    Answer { status: u16, headers: HeaderMap, body: Vec<u8> },
    /// Nothing was sent.
    Unsent { reason: &'static str },
    /// It was sent, and its answer lost: it may be billed.
    Lost { reason: &'static str },
}

/// That an attempt may be made; its three parties hear how it went.
struct Leave<'a> {
    permit: Permit<'a>,
    pass: Pass<'a>,
}

impl Leave<'_> {
    fn well(self) {
        self.permit.succeeded();
        self.pass.well();
    }

    fn unwell(self) {
        self.permit.choked();
        self.pass.unwell();
    }
}

/// What a request costs at most. Tokenizers make one token of about four bytes of English, and one of each byte where single digits stand
/// apart; the bytes are those of the JSON, schema included.
pub(super) fn worst(call: &Call, tokens_out_max: u64) -> Usage {
    match &call.body {
        Body::Json(body) => {
            Usage { requests: 1, tokens_in: body.len() as u64, tokens_cached: 0, tokens_out: tokens_out_max }
        }
        // Vocabularies do not count tokens.
        Body::Form(_) => Usage { requests: 1, ..Usage::default() },
    }
}

impl Client {
    /// Sends `call` once, as soon as it may leave.
    pub(super) async fn attempt(
        &self,
        question: &Question<'_>,
        call: &Call,
        purse: &dyn Purse,
        tally: &mut Tally,
    ) -> Result<Ended, TeacherError> {
        let worst = worst(call, self.profile.tokens_out_max);
        let leave = self.leave(tokens(&worst)).await?;
        let shown = match self.credentials.shown().await {
            Ok(shown) => shown,
            Err(NoToken::Denied { status }) => return Err(self.denied(status)),
            Err(NoToken::Later { reason }) => {
                leave.unwell();
                return Ok(Ended::Again { reason, wait: None });
            }
        };
        let reserved = Reserved::new(purse, worst).inspect_err(|_| self.pace.give_back(tokens(&worst)))?;
        tally.first.get_or_insert_with(Instant::now);
        let heard = hear(self.request(call, shown.as_ref())).await;
        tally.last = Some(Instant::now());
        let (real, ended) = self.understand(question, leave, heard);
        let is_refused = matches!(ended, Err(TeacherError::Denied { .. }));
        let real = real.unwrap_or(worst);
        reserved.settle(&real);
        tally.usage += real;
        self.pace.give_back(tokens(&worst).saturating_sub(tokens(&real)));
        if is_refused && !tally.is_renewed && self.credentials.renew(&self.name, &self.profile, shown.as_ref()).await {
            tally.is_renewed = true;
            return Ok(Ended::Renewed);
        }
        ended
    }

    /// Waits for everything that a request of so many tokens has to wait for.
    async fn leave(&self, tokens: u64) -> Result<Leave<'_>, TeacherError> {
        // Asked again after every wait, as it may open meanwhile, and nobody should wait or take a turn in vain.
        self.breaker.check().map_err(|left| self.open(left))?;
        let permit = self.gate.enter().await;
        self.breaker.check().map_err(|left| self.open(left))?;
        self.pace.take(tokens).await;
        let pass = self.breaker.enter().map_err(|left| self.open(left))?;
        Ok(Leave { permit, pass })
    }

    fn request(&self, call: &Call, shown: Option<&Shown>) -> RequestBuilder {
        let mut request = self.http.post(&call.url);
        if let Some((name, value)) = shown {
            request = request.header(name, value);
        }
        match &call.body {
            Body::Json(body) => request.header(CONTENT_TYPE, "application/json").body(body.clone()),
            Body::Form(form) => request.form(form),
        }
    }

    /// What was paid (none: as much as possible), and how it ended.
    fn understand(
        &self,
        question: &Question<'_>,
        leave: Leave<'_>,
        heard: Heard,
    ) -> (Option<Usage>, Result<Ended, TeacherError>) {
        let again = |reason: &str| Ok(Ended::Again { reason: reason.to_owned(), wait: None });
        match heard {
            Heard::Unsent { reason } => {
                leave.unwell();
                (Some(Usage::default()), again(reason))
            }
            Heard::Lost { reason } => {
                leave.unwell();
                (None, again(reason))
            }
            Heard::Answer { status: 200..=299, headers, body } => {
                leave.well();
                let answer = wire::answer(&self.profile, question, &body);
                self.heed(&headers, answer.usage);
                (answer.usage, self.judge(answer.found))
            }
            Heard::Answer { status, headers, body } => {
                let complaint = wire::complaint(self.profile.api, &body);
                let paid = paid_for_refusal(status, &complaint, question);
                (paid, self.refused(leave, status, &headers, complaint))
            }
        }
    }

    /// Waits with the next request if the server says that nothing is left for one like this.
    fn heed(&self, headers: &HeaderMap, usage: Option<Usage>) {
        let wait = until_left(headers, usage.as_ref().map_or(0, tokens)).min(self.waits.asked_max);
        if !wait.is_zero() {
            self.pace.hold(wait);
        }
    }

    fn judge(&self, found: Result<Found, Fault>) -> Result<Ended, TeacherError> {
        let teacher = self.name.clone();
        match found {
            Ok(found) => Ok(Ended::Found(found)),
            Err(Fault::Truncated) => Err(TeacherError::Truncated { teacher }),
            Err(Fault::Refused(reason)) => Err(TeacherError::Refused { teacher, reason }),
            Err(Fault::Malformed { reason, said }) => Ok(Ended::Malformed { reason, said }),
        }
    }

    /// What an answer with the status of an error means.
    fn refused(
        &self,
        leave: Leave<'_>,
        status: u16,
        headers: &HeaderMap,
        complaint: Complaint,
    ) -> Result<Ended, TeacherError> {
        let teacher = self.name.clone();
        let Complaint { code, wait } = complaint;
        match (status, code.as_str()) {
            (_, "insufficient_quota" | "billing_hard_limit_reached" | "billing_not_active") => {
                leave.pass.well();
                Err(TeacherError::Quota { teacher })
            }
            (408 | 409 | 429 | 500.., _) => {
                self.refused_for_now(leave, status, asked(headers, SystemTime::now()).or(wait))
            }
            (400, "content_filter" | "ResponsibleAIPolicyViolation") => {
                leave.pass.well();
                Err(TeacherError::Refused { teacher, reason: code })
            }
            // What Google says in place of 401.
            (401 | 403, _) | (400, "API_KEY_INVALID") => {
                leave.pass.well();
                Err(self.denied(status))
            }
            _ => {
                leave.pass.well();
                let code = if code.is_empty() { "no code".to_owned() } else { code };
                Err(TeacherError::BadRequest { teacher, status, code })
            }
        }
    }

    fn refused_for_now(&self, leave: Leave<'_>, status: u16, wait: Option<Duration>) -> Result<Ended, TeacherError> {
        let wait = wait.map(|wait| wait.min(ASKED_BELIEVED_MAX));
        if let Some(long) = wait.filter(|wait| *wait > self.waits.asked_max) {
            self.breaker.open_for(long);
            leave.permit.choked();
            return Err(self.open(long));
        }
        match status {
            // Too many requests: it is busy, and well.
            429 => {
                leave.permit.choked();
                leave.pass.well();
            }
            // A conflict says nothing about how it is.
            409 => leave.well(),
            _ => leave.unwell(),
        }
        // What one request is told holds for all of them.
        wait.into_iter().for_each(|wait| self.pace.hold(wait));
        Ok(Ended::Again { reason: format!("status {status}"), wait })
    }

    fn denied(&self, status: u16) -> TeacherError {
        TeacherError::Denied { teacher: self.name.clone(), status }
    }

    fn open(&self, left: Duration) -> TeacherError {
        TeacherError::Open { teacher: self.name.clone(), left }
    }
}

/// What limits of tokens count. Saturating, as the numbers are a server's.
fn tokens(usage: &Usage) -> u64 {
    usage.tokens_in.saturating_add(usage.tokens_out)
}

/// What a refusal costs. A gateway that gave up and a server that ran out of time may have worked (none: as much as possible), and
/// Azure bills the prompt that its filter has read.
fn paid_for_refusal(status: u16, complaint: &Complaint, question: &Question) -> Option<Usage> {
    let request = Usage { requests: 1, ..Usage::default() };
    match (status, complaint.code.as_str()) {
        (408 | 504, _) => None,
        (400, "content_filter" | "ResponsibleAIPolicyViolation") => {
            let bytes = question.text.len() + question.instructions.len();
            Some(Usage { tokens_in: bytes.div_ceil(2) as u64, ..request })
        }
        _ => Some(request),
    }
}

async fn hear(request: RequestBuilder) -> Heard {
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_builder() => return Heard::Unsent { reason: "its base is no URL" },
        Err(error) if error.is_connect() => return Heard::Unsent { reason: "no connection" },
        Err(error) => return Heard::Lost { reason: lost(&error) },
    };
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    match read(response).await {
        Ok(body) => Heard::Answer { status, headers, body },
        // What a refusal has to say is in its status, as far as it matters.
        Err(_) if !(200..300).contains(&status) => Heard::Answer { status, headers, body: Vec::new() },
        Err(reason) => Heard::Lost { reason },
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, &'static str> {
    let mut body = Vec::new();
    while let Some(bytes) = response.chunk().await.map_err(|error| lost(&error))? {
        if body.len() + bytes.len() > ANSWER_BYTES_MAX {
            return Err("an answer without an end");
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

fn lost(error: &reqwest::Error) -> &'static str {
    if error.is_timeout() { "no answer in time" } else { "the connection was closed" }
}

/// Which header carries the key.
pub(super) fn key_header(api: Api, key: &str) -> Option<(&'static str, String)> {
    match api {
        // A token of Entra, which is given with its scheme.
        Api::Azure if key.starts_with("Bearer ") => Some(("authorization", key.to_owned())),
        Api::Azure => Some(("api-key", key.to_owned())),
        Api::Openai => Some(("authorization", format!("Bearer {key}"))),
        Api::Gemini => Some(("x-goog-api-key", key.to_owned())),
        Api::Bioportal => Some(("authorization", format!("apikey token={key}"))),
        // The key is an account, for which tokens are given.
        Api::Vertex => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_case_is_a_token_a_byte() {
        let call = |body| Call { url: String::new(), body };
        let json = worst(&call(Body::Json(vec![b' '; 7])), 10);
        assert_eq!(json, Usage { requests: 1, tokens_in: 7, tokens_cached: 0, tokens_out: 10 });
        assert_eq!(worst(&call(Body::Form(Vec::new())), 10), Usage { requests: 1, ..Usage::default() });
    }

    #[test]
    fn a_filtered_prompt_was_read() {
        let tasks = stillroom_schemas::TaskSet::new();
        let question = Question { text: "abc", tasks: &tasks, instructions: "de" };
        let paid = |status, code: &str| {
            let complaint = Complaint { code: code.to_owned(), wait: None };
            paid_for_refusal(status, &complaint, &question).map(|usage| usage.tokens_in)
        };
        assert_eq!(paid(400, "content_filter"), Some(3));
        assert_eq!(paid(400, "unsupported_value"), Some(0));
        assert_eq!(paid(503, ""), Some(0));
        assert_eq!(paid(504, ""), None);
    }
}
