//! An S3-compatible server of this process, whose buckets are folders.

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use std::net::SocketAddr;
use std::path::Path;
use std::thread::JoinHandle;
use tokio::net::TcpListener;
use tokio::runtime;
use tokio::sync::oneshot;

/// The id of the only access key that the server knows.
pub(crate) const KEY_ID: &str = "made-up-id";

/// Its secret.
pub(crate) const SECRET: &str = "made-up-secret";

/// The server; it stops when it is dropped, and answers nobody from then on.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves the folders of `root` as buckets, on a free port of this machine.
    pub(crate) fn start(root: &Path) -> Server {
        let mut builder = S3ServiceBuilder::new(FileSystem::new(root).unwrap());
        builder.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
        let service = builder.build();
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        socket.set_nonblocking(true).unwrap();
        let address = socket.local_addr().unwrap();
        let (stop, mut stopped) = oneshot::channel();
        let serve = async move {
            let listener = TcpListener::from_std(socket).unwrap();
            loop {
                tokio::select! {
                    _ = &mut stopped => return,
                    accepted = listener.accept() => {
                        let (connection, service) = (TokioIo::new(accepted.unwrap().0), service.clone());
                        // A client that hangs up is no failure of the server's.
                        tokio::spawn(async move {
                            let _ = Builder::new(TokioExecutor::new()).serve_connection(connection, service).await;
                        });
                    }
                }
            }
        };
        let thread = std::thread::spawn(|| {
            runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(serve);
        });
        Server { address, stop: Some(stop), thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        self.thread.take().unwrap().join().unwrap();
    }
}
