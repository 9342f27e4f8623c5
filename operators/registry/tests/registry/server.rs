//! A schema registry in memory, after the documented API, that can be made to fail.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use tiny_http::{Header, Method, Request, Response};

/// Listens until it is dropped.
pub(crate) struct Server {
    http: Arc<tiny_http::Server>,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

/// What it holds, and how it behaves.
#[derive(Default)]
pub(crate) struct State {
    /// Schema `n` has the id `n + 1`: as it was posted.
    pub(crate) schemas: Vec<Value>,
    /// Ids by version, from 1 on.
    subjects: BTreeMap<String, Vec<usize>>,
    /// The status of every answer, if it is to fail.
    pub(crate) failing: Option<u16>,
    /// The header that every request must have, if any.
    pub(crate) authorization: Option<String>,
    /// The requests so far, as `METHOD path`.
    pub(crate) requests: Vec<String>,
}

type Answer = (u16, Value);

impl Server {
    pub(crate) fn start() -> Server {
        let http = Arc::new(tiny_http::Server::http("127.0.0.1:0").expect("a free port"));
        let state = Arc::<Mutex<State>>::default();
        let thread = std::thread::spawn({
            let (http, state) = (Arc::clone(&http), Arc::clone(&state));
            move || http.incoming_requests().for_each(|request| answer(&state, request))
        });
        Server { http, state, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.http.server_addr())
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no request panicked")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.http.unblock();
        let _ended = self.thread.take().expect("it was started").join();
    }
}

fn answer(state: &Mutex<State>, mut request: Request) {
    let mut body = String::new();
    request.as_reader().read_to_string(&mut body).expect("a body of text");
    let (status, answer) = state.lock().expect("no request panicked").respond(&request, &body);
    let media_type = "application/vnd.schemaregistry.v1+json";
    let header = Header::from_bytes("Content-Type", media_type).expect("a header");
    let response = Response::from_string(answer.to_string()).with_status_code(status).with_header(header);
    // A client that has gone away is one of the cases.
    let _gone = request.respond(response);
}

fn header<'a>(request: &'a Request, name: &'static str) -> Option<&'a str> {
    request.headers().iter().find(|header| header.field.equiv(name)).map(|header| header.value.as_str())
}

fn error(status: u16, code: u32, message: &str) -> Answer {
    (status, json!({"error_code": code, "message": message}))
}

impl State {
    fn respond(&mut self, request: &Request, body: &str) -> Answer {
        self.requests.push(format!("{} {}", request.method(), request.url()));
        if let Some(status) = self.failing {
            return error(status, 50001, "Error in the backend data store");
        }
        if self.authorization.is_some() && header(request, "Authorization") != self.authorization.as_deref() {
            return error(401, 401, "Unauthorized");
        }
        let is_post = *request.method() == Method::Post;
        if is_post && header(request, "Content-Type") != Some("application/vnd.schemaregistry.v1+json") {
            return error(415, 415, "HTTP 415 Unsupported Media Type");
        }
        let parts: Vec<&str> = request.url().split('/').skip(1).collect();
        match (is_post, &parts[..]) {
            (false, ["schemas", "ids", id]) => self.schema(id.parse().expect("an id")),
            (false, ["subjects", subject, "versions", "latest"]) => self.latest(subject),
            (true, ["subjects", subject]) => self.look_up(subject, &posted(body)),
            (true, ["subjects", subject, "versions"]) => self.register(subject, posted(body)),
            _ => error(404, 404, "HTTP 404 Not Found"),
        }
    }

    fn schema(&self, id: usize) -> Answer {
        match self.schemas.get(id.wrapping_sub(1)) {
            Some(schema) => (200, schema.clone()),
            None => error(404, 40403, &format!("Schema {id} not found")),
        }
    }

    fn latest(&self, subject: &str) -> Answer {
        match self.subjects.get(subject).and_then(|ids| Some((ids.len(), ids.last()?))) {
            Some((version, id)) => self.version(subject, version, *id),
            None => error(404, 40401, &format!("Subject '{subject}' not found.")),
        }
    }

    fn look_up(&self, subject: &str, schema: &Value) -> Answer {
        let Some(ids) = self.subjects.get(subject) else {
            return error(404, 40401, &format!("Subject '{subject}' not found."));
        };
        match ids.iter().position(|id| self.schemas[id - 1] == *schema) {
            Some(index) => self.version(subject, index + 1, ids[index]),
            None => error(404, 40403, "Schema not found"),
        }
    }

    fn register(&mut self, subject: &str, schema: Value) -> Answer {
        if serde_json::from_str::<Value>(schema["schema"].as_str().unwrap_or_default()).is_err() {
            return error(422, 42201, "Invalid schema");
        }
        let known = self.schemas.iter().position(|one| *one == schema);
        let id = known.map_or(self.schemas.len() + 1, |index| index + 1);
        if known.is_none() {
            self.schemas.push(schema);
        }
        let ids = self.subjects.entry(subject.to_owned()).or_default();
        if !ids.contains(&id) {
            ids.push(id);
        }
        (200, json!({"id": id}))
    }

    fn version(&self, subject: &str, version: usize, id: usize) -> Answer {
        let mut answer = self.schemas[id - 1].clone();
        answer["subject"] = json!(subject);
        answer["version"] = json!(version);
        answer["id"] = json!(id);
        (200, answer)
    }
}

/// What was posted, as the registry answers it: Avro is not named.
fn posted(body: &str) -> Value {
    let mut schema: Value = serde_json::from_str(body).expect("a body of JSON");
    if schema["schemaType"] == "AVRO" {
        schema.as_object_mut().expect("an object").remove("schemaType");
    }
    schema
}
