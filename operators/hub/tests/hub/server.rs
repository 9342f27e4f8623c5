//! A hub in memory, after what huggingface.co does, that can be made to fail: small files come from a cache behind a relative
//! redirect, large ones from another address behind one with checksum and size.
//!
//! It speaks HTTP by itself, a connection a request, because a body that breaks off is one of the cases.

use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;

/// The commit that `main` is.
pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// Listens until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

/// What it holds, and how it behaves.
#[derive(Default)]
pub(crate) struct State {
    /// The one model.
    pub(crate) id: String,
    /// Its files.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// The token that it is shown to, if it is not for all.
    pub(crate) token: Option<String>,
    /// The status for a token that may not see it.
    pub(crate) is_gated: bool,
    /// The commit that it says its files are of, if not `COMMIT`.
    pub(crate) said: Option<String>,
    /// Where large files are, if not here.
    pub(crate) storage: Option<String>,
    /// The path that everything lies below, as on a mirror that is not alone on its host. It begins with a slash.
    pub(crate) below: String,
    /// How the next requests for bytes go; none: well.
    pub(crate) faults: VecDeque<Fault>,
    /// The requests so far.
    pub(crate) requests: Vec<Request>,
}

/// How a request for bytes can go wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// This status, and how long to wait.
    Status(u16, Option<u64>),
    /// The body breaks off after so many bytes.
    Cut(usize),
    /// One byte is another one.
    Wrong,
    /// All is sent, whatever was asked for.
    Whole,
}

/// A request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Request {
    /// As `METHOD path`.
    pub(crate) line: String,
    pub(crate) authorization: Option<String>,
    pub(crate) range: Option<String>,
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// Bytes of the body that are sent.
    sent: usize,
}

impl Server {
    pub(crate) fn start(id: &str, files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it listens");
        let state = State { id: id.to_owned(), files: files.into_iter().collect(), ..State::default() };
        let state = Arc::new(Mutex::new(state));
        let thread = std::thread::spawn({
            let state = Arc::clone(&state);
            move || {
                for stream in listener.incoming() {
                    // A connection without a request is the end.
                    let Some(()) = answer(&state, stream.expect("a connection")) else { return };
                }
            }
        });
        Server { address, state, thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no request panicked")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(TcpStream::connect(self.address));
        let _ended = self.thread.take().expect("it was started").join();
    }
}

fn answer(state: &Mutex<State>, mut stream: TcpStream) -> Option<()> {
    let request = read(&stream)?;
    let is_head = request.line.starts_with("HEAD");
    let Answer { status, headers, body, sent } = state.lock().expect("no request panicked").respond(request);
    let mut head = format!("HTTP/1.1 {status} \r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    // A client that has gone away is one of the cases.
    let _gone = stream.write_all((head + "\r\n").as_bytes());
    if !is_head {
        let _gone = stream.write_all(&body[..sent]);
    }
    Some(())
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    let mut request = Request { line: first.rsplit_once(' ')?.0.to_owned(), ..Request::default() };
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        let (name, value) = line.split_once(": ").expect("a header");
        match name.to_ascii_lowercase().as_str() {
            "authorization" => request.authorization = Some(value.to_owned()),
            "range" => request.range = Some(value.to_owned()),
            _ => {}
        }
    }
    Some(request)
}

/// The checksum of a large file.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn git_blob(bytes: &[u8]) -> String {
    hex(&Sha1::new_with_prefix(format!("blob {}\0", bytes.len())).chain_update(bytes).finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_large(file: &str) -> bool {
    file.ends_with(".safetensors") || file.ends_with(".bin")
}

fn plain(status: u16, headers: Vec<(&'static str, String)>) -> Answer {
    Answer { status, headers, body: Vec::new(), sent: 0 }
}

fn error(status: u16, code: &str) -> Answer {
    plain(status, vec![("X-Error-Code", code.to_owned())])
}

impl State {
    fn respond(&mut self, request: Request) -> Answer {
        self.requests.push(request.clone());
        let path = request.line.split(' ').nth(1).expect("a path").split('?').next().expect("a part").to_owned();
        let Some(path) = path.strip_prefix(&self.below) else { return plain(404, Vec::new()) };
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        match parts[..] {
            ["storage", digits] => {
                let bytes = self.files.values().find(|bytes| sha256(bytes) == digits).expect("a file").clone();
                self.bytes(&request, bytes, vec![])
            }
            ["api", "resolve-cache", "models", _, _, COMMIT, file] => {
                let bytes = self.files[file].clone();
                let etag = ("ETag", format!("W/\"{}\"", git_blob(&bytes)));
                self.bytes(&request, bytes, vec![etag])
            }
            [owner, name, "resolve", revision, file] => {
                self.resolve(&request, &format!("{owner}/{name}"), revision, file)
            }
            _ => plain(404, Vec::new()),
        }
    }

    fn resolve(&self, request: &Request, id: &str, revision: &str, file: &str) -> Answer {
        let is_known = self.token.as_ref().map(|token| format!("Bearer {token}")) == request.authorization;
        match &request.authorization {
            // The hub does not say which models there are.
            None if id != self.id || self.token.is_some() => return error(401, "GatedRepo"),
            Some(_) if self.is_gated => return error(403, "GatedRepo"),
            Some(_) if !is_known => return error(401, ""),
            Some(_) if id != self.id => return error(404, "RepoNotFound"),
            _ => {}
        }
        if !matches!(revision, "main" | COMMIT) {
            return error(404, "RevisionNotFound");
        }
        let Some(bytes) = self.files.get(file) else { return error(404, "EntryNotFound") };
        let commit = ("X-Repo-Commit", self.said.clone().unwrap_or_else(|| COMMIT.to_owned()));
        if !is_large(file) {
            return plain(
                307,
                vec![
                    commit,
                    ("Location", format!("{}/api/resolve-cache/models/{id}/{COMMIT}/{file}?etag=x", self.below)),
                ],
            );
        }
        let storage = self.storage.as_ref().unwrap_or(&self.below);
        let at = format!("{storage}/storage/{}?signature=secret", sha256(bytes));
        let linked = [("X-Linked-Etag", format!("\"{}\"", sha256(bytes))), ("X-Linked-Size", bytes.len().to_string())];
        plain(302, [vec![commit, ("Location", at)], linked.to_vec()].concat())
    }

    /// A file's bytes, or the part that was asked for, as far as they go well.
    fn bytes(&mut self, request: &Request, bytes: Vec<u8>, headers: Vec<(&'static str, String)>) -> Answer {
        let is_get = request.line.starts_with("GET");
        let fault = if is_get { self.faults.pop_front() } else { None };
        let start = request.range.as_ref().filter(|_| !matches!(fault, Some(Fault::Whole)));
        let start = start.map(|range| range["bytes=".len()..range.len() - 1].parse::<usize>().expect("an open range"));
        let mut answer = Answer { status: 200, headers, sent: bytes.len(), body: bytes };
        if let Some(start) = start {
            let all = answer.body.len();
            answer.headers.push(("Content-Range", format!("bytes {start}-{}/{all}", all - 1)));
            answer.body.drain(..start);
            (answer.status, answer.sent) = (206, answer.body.len());
        }
        match fault {
            Some(Fault::Status(status, wait)) => {
                plain(status, wait.map(|seconds| ("Retry-After", seconds.to_string())).into_iter().collect())
            }
            Some(Fault::Cut(sent)) => Answer { sent, ..answer },
            Some(Fault::Wrong) => {
                answer.body[0] ^= 1;
                answer
            }
            Some(Fault::Whole) | None => answer,
        }
    }
}
