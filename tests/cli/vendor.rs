//! A vendor of a language model that keeps books of its own.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tiny_http::{Header, Request, Response, Server};

/// Requests that the profile allows at once.
pub(crate) const OPEN_MAX: usize = 4;

/// Tokens of an answer, and what it costs with the prices of gpt-4o: 100 in and 10 out.
const TOKENS: (u64, u64) = (100, 10);
pub(crate) const ANSWER_USD: f64 = 0.00035;

/// What a token in and a token out cost with these prices.
const TOKEN_USD: (f64, f64) = (2.5e-6, 1e-5);

/// Tokens of an answer that the profile allows.
const TOKENS_OUT_MAX: u64 = 50;

/// What becomes of a request.
#[derive(Clone, Copy)]
pub(crate) enum Reply {
    /// `fever` is found, and a disease that is not in the note; with the reason why the answer ends.
    Fever(&'static str),
    /// A status, and nothing of use.
    Status(u16),
    /// No answer, for as long as the vendor lives.
    Nothing,
}

/// What is answered to a text. It may take its time.
type Script = dyn Fn(&str) -> Reply + Send + Sync;

/// What the vendor saw, by text.
#[derive(Default)]
struct Books {
    asked: BTreeMap<String, u64>,
    answered: BTreeMap<String, u64>,
    /// Bytes of a request.
    bytes: BTreeMap<String, usize>,
    /// Requests that are left open.
    open: Vec<Request>,
}

/// A vendor.
pub(crate) struct Vendor {
    server: Arc<Server>,
    base: String,
    books: Arc<Mutex<Books>>,
}

impl Vendor {
    pub(crate) fn start(script: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Vendor {
        let server = Arc::new(Server::http("127.0.0.1:0").unwrap());
        let base = format!("http://{}", server.server_addr());
        let (books, script): (Arc<Mutex<Books>>, Arc<Script>) = (Arc::default(), Arc::new(script));
        for _ in 0..OPEN_MAX {
            let (server, books, script) = (Arc::clone(&server), Arc::clone(&books), Arc::clone(&script));
            std::thread::spawn(move || server.incoming_requests().for_each(|asked| answer(asked, &books, &*script)));
        }
        Vendor { server, base, books }
    }

    /// A teacher by this vendor.
    pub(crate) fn profile(&self) -> String {
        format!(
            "api = 'openai'\nbase = '{}'\nmodel = 'gpt-4o-2024-08-06'\ntokens_out_max = {TOKENS_OUT_MAX}\nrequests_open_max = {OPEN_MAX}\n",
            self.base
        )
    }

    /// Writes two teachers of notes of patients to a folder: `mine` by this vendor, and `names`, which knows fever and chills; the
    /// table of the configuration with these settings, by which they are asked about every note.
    pub(crate) fn teachers(&self, folder: &Path, settings: &str) -> String {
        let (profiles, store) = (folder.join("teachers"), folder.join("labels.redb"));
        vocabulary_teacher(folder, "names", "fever\nchills\n");
        fs::write(profiles.join("mine.toml"), self.profile() + "phi_allowed = true\n").unwrap();
        format!("[teachers]\nprofiles = {profiles:?}\nstore = {store:?}\n{settings}\n[teachers.sampling]\nrate = 1.0\n")
    }

    /// How often each text was asked about.
    pub(crate) fn asked(&self) -> BTreeMap<String, u64> {
        self.books.lock().unwrap().asked.clone()
    }

    /// How often each text was answered.
    pub(crate) fn answers(&self) -> BTreeMap<String, u64> {
        self.books.lock().unwrap().answered.clone()
    }

    pub(crate) fn answered(&self) -> u64 {
        self.answers().values().sum()
    }

    /// What a request about each text that was asked about costs at worst, in dollars: a token a byte of it, and the longest answer.
    pub(crate) fn worst_usd(&self) -> Vec<f64> {
        let of_answer = TOKENS_OUT_MAX as f64 * TOKEN_USD.1;
        self.books.lock().unwrap().bytes.values().map(|bytes| *bytes as f64 * TOKEN_USD.0 + of_answer).collect()
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        (0..OPEN_MAX).for_each(|_| self.server.unblock());
    }
}

fn answer(mut asked: Request, books: &Mutex<Books>, script: &Script) {
    let mut bytes = Vec::new();
    asked.as_reader().read_to_end(&mut bytes).unwrap();
    let body: Value = serde_json::from_slice(&bytes).unwrap();
    let text = body["messages"].as_array().unwrap().last().unwrap()["content"].as_str().unwrap();
    {
        let mut books = books.lock().unwrap();
        *books.asked.entry(text.to_owned()).or_default() += 1;
        books.bytes.insert(text.to_owned(), bytes.len());
    }
    let findings = json!({ "findings": [
        { "task": "symptom", "text": "fever", "before": "" },
        { "task": "disease", "text": "not in the note", "before": "" },
    ] });
    let (status, said) = match script(text) {
        Reply::Fever(finish) => {
            *books.lock().unwrap().answered.entry(text.to_owned()).or_default() += 1;
            let said = json!({
                "choices": [{ "message": { "content": findings.to_string() }, "finish_reason": finish }],
                "usage": { "prompt_tokens": TOKENS.0, "completion_tokens": TOKENS.1 },
            });
            (200, said)
        }
        Reply::Status(status) => (status, json!({})),
        Reply::Nothing => return books.lock().unwrap().open.push(asked),
    };
    let header: Header = "Content-Type: application/json".parse().unwrap();
    let response = Response::from_string(said.to_string()).with_header(header).with_status_code(status);
    // Nobody may be there any more.
    let _sent = asked.respond(response);
}

/// The dollars that a table of teachers ends with.
pub(crate) fn spent_today(said: &str) -> f64 {
    let line = said.lines().find_map(|line| line.strip_prefix("spent today, by all that use this store: ")).unwrap();
    line.strip_suffix(" USD").unwrap().parse().unwrap()
}

/// Describes a teacher in `folder` that knows these symptoms, a line each.
pub(crate) fn vocabulary_teacher(folder: &Path, teacher: &str, names: &str) {
    let rows: String = names.lines().map(|name| format!("{name}\t{name}\t{name}\tlabel\n")).collect();
    fs::write(folder.join(format!("{teacher}.tsv")), format!("id\tpreferred_name\tsynonym\tkind\n{rows}")).unwrap();
    let profile = format!("api = 'vocabulary'\nsources = [{{ task = 'symptom', path = '../{teacher}.tsv' }}]\n");
    fs::create_dir_all(folder.join("teachers")).unwrap();
    fs::write(folder.join(format!("teachers/{teacher}.toml")), profile).unwrap();
}
