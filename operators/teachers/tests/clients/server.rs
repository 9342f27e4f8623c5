//! A server that answers by a script and remembers what it was asked, and one that breaks connections.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Response};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use stillroom_teachers::Usage;
use tokio::time::{Duration, Instant};

/// What a model says that finds gout in the note.
pub(crate) const GOUT: &str = r#"{"findings":[{"task":"disease","text":"gout","before":"Doe has "}]}"#;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    /// Counted from 0.
    pub(crate) index: usize,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) at: Instant,
    /// Requests that were open when it had arrived, itself included.
    pub(crate) open: usize,
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn form(&self) -> HashMap<String, String> {
        let query = std::str::from_utf8(&self.body).unwrap();
        reqwest::Url::parse(&format!("http://x/?{query}")).unwrap().query_pairs().into_owned().collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// What a request is answered.
pub(crate) enum Say {
    /// Status, lines of headers, body.
    This(u16, String, String),
    /// The same, when as many as that are open.
    Together(Arc<tokio::sync::Barrier>, Box<Say>),
    /// The same, late.
    Late(Duration, Box<Say>),
    /// Nothing, ever.
    Hang,
}

type Script = dyn Fn(&Seen, &mut Usage) -> Say + Send + Sync;

pub(crate) struct Server {
    pub(crate) base: String,
    books: Arc<Books>,
}

struct Books {
    script: Box<Script>,
    seen: Mutex<Vec<Seen>>,
    spent: Mutex<Usage>,
    open: AtomicUsize,
}

/// Counts an open request, however it ends.
struct Open<'a>(&'a AtomicUsize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Server {
    /// `script` says what each request is answered, and adds to the books what it bills.
    pub(crate) async fn start(script: impl Fn(&Seen, &mut Usage) -> Say + Send + Sync + 'static) -> Server {
        let books = Arc::new(Books {
            script: Box::new(script),
            seen: Mutex::default(),
            spent: Mutex::default(),
            open: AtomicUsize::new(0),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().fallback(handle).with_state(books.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Server { base, books }
    }

    /// Says the same to every request.
    pub(crate) async fn saying(status: u16, headers: &str, body: impl ToString) -> Server {
        let (headers, body) = (headers.to_owned(), body.to_string());
        Server::start(move |_, _| Say::This(status, headers.clone(), body.clone())).await
    }

    /// Completes every chat with `content`.
    pub(crate) async fn completing(content: &'static str) -> Server {
        Server::start(move |seen, spent| complete(seen, content, spent)).await
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.books.seen.lock().unwrap().clone()
    }

    pub(crate) fn requests(&self) -> usize {
        self.books.seen.lock().unwrap().len()
    }

    /// What was billed.
    pub(crate) fn spent(&self) -> Usage {
        *self.books.spent.lock().unwrap()
    }
}

async fn handle(State(books): State<Arc<Books>>, request: Request) -> Response<Body> {
    let open = books.open.fetch_add(1, Ordering::SeqCst) + 1;
    let _open = Open(&books.open);
    let (head, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap().to_vec();
    let say = {
        let mut seen = books.seen.lock().unwrap();
        let path = head.uri.path_and_query().unwrap().to_string();
        let one = Seen { index: seen.len(), path, headers: head.headers, body, at: Instant::now(), open };
        seen.push(one.clone());
        (books.script)(&one, &mut books.spent.lock().unwrap())
    };
    answer(say).await
}

async fn answer(mut say: Say) -> Response<Body> {
    loop {
        say = match say {
            Say::This(status, headers, body) => {
                let mut response = Response::builder().status(status);
                for line in headers.lines() {
                    let (name, value) = line.split_once(": ").unwrap();
                    response = response.header(name.trim(), value);
                }
                return response.body(body.into()).unwrap();
            }
            Say::Together(barrier, say) => {
                barrier.wait().await;
                *say
            }
            Say::Late(long, say) => {
                tokio::time::sleep(long).await;
                *say
            }
            Say::Hang => std::future::pending().await,
        }
    }
}

/// A chat's completion, billed by the bytes.
pub(crate) fn complete(seen: &Seen, content: &str, spent: &mut Usage) -> Say {
    let usage = Usage {
        requests: 1,
        tokens_in: seen.body.len() as u64 / 4,
        tokens_cached: 7,
        tokens_out: content.len() as u64 / 4 + 100,
    };
    *spent += usage;
    let body = json!({
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": content, "refusal": null },
                      "finish_reason": "stop" }],
        "usage": { "prompt_tokens": usage.tokens_in, "completion_tokens": usage.tokens_out,
                   "prompt_tokens_details": { "cached_tokens": 7 },
                   "completion_tokens_details": { "reasoning_tokens": 100 } },
    });
    Say::This(200, String::new(), body.to_string())
}

/// A refusal, which is not billed; its words quote what was asked, as those of some servers do.
pub(crate) fn refuse(status: u16, headers: &str, spent: &mut Usage) -> Say {
    spent.requests += 1;
    let body = json!({ "error": { "message": "Jane Doe has gout.", "code": "Jane Doe", "type": "server_error" } });
    Say::This(status, headers.to_owned(), body.to_string())
}

/// Reads one request on each connection, writes what it has for it, and says no more. Past the last it is gone.
pub(crate) struct Breaking {
    pub(crate) base: String,
    requests: Arc<AtomicUsize>,
}

impl Breaking {
    pub(crate) fn start(writes: Vec<String>) -> Breaking {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counted = requests.clone();
        std::thread::spawn(move || {
            for (stream, write) in listener.incoming().zip(writes) {
                let mut stream = stream.unwrap();
                read_request(&mut stream);
                counted.fetch_add(1, Ordering::SeqCst);
                stream.write_all(write.as_bytes()).unwrap();
                // Half closed: nothing more comes, and what is sent is still taken until the client hangs up.
                stream.shutdown(Shutdown::Write).unwrap();
                let _ = stream.read_to_end(&mut Vec::new());
            }
        });
        Breaking { base, requests }
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

fn read_request(stream: &mut std::net::TcpStream) {
    let mut read = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        let many = stream.read(&mut bytes).unwrap();
        read.extend_from_slice(&bytes[..many]);
        let text = String::from_utf8_lossy(&read).to_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() >= length.parse().unwrap() {
            return;
        }
    }
}
