//! Several processes as one: how they find each other, and how nobody else listens.
//!
//! Every process knows the addresses of all and a key. Each connects to those before it and is connected to by those after it; a
//! connection is encrypted and both ends prove that they have the key (Noise, `NNpsk0`: <https://noiseprotocol.org/noise.html>),
//! because entities and dead letters, which are text of notes, go to the process that commits. A cluster is never joined again: when
//! one process ends, all do, and a supervisor starts all of them.

mod stream;

use anyhow::{Context, Result, anyhow, bail, ensure};
use sha2::{Digest, Sha256};
use std::any::Any;
use std::net::{TcpListener, TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, Instant};
use stream::{Hello, SecureStream};
use timely::communication::Hooks;
use timely::communication::allocator::zero_copy::initialize::initialize_networking_from_sockets;
use timely::communication::allocator::{AllocatorBuilder, ProcessBuilder};

/// Between two tries to reach a process that is not there yet, or to hear one: neither connecting nor accepting can be waited for with
/// a deadline, and nothing else runs before all are there.
const RETRY_EVERY: Duration = Duration::from_millis(100);

/// A stranger may hold up the start for so long.
const STRANGER_WAIT_MAX: Duration = Duration::from_secs(2);

/// The place of this process among all.
#[derive(Clone)]
pub struct Cluster {
    /// `host:port` of every process, in one order for all.
    pub addresses: Vec<String>,
    /// The index of this process.
    pub process: usize,
    /// What all share and nobody else knows.
    pub key: [u8; 32],
    /// How long the others may take to come.
    pub start_max: Duration,
}

impl Cluster {
    /// Reads a file of addresses, one a line; empty lines and those that begin with `#` are left out.
    ///
    /// # Errors
    /// When the file cannot be read, a line is no `host:port`, or a line stands twice.
    pub fn read_addresses(path: &Path) -> Result<Vec<String>> {
        let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let mut addresses: Vec<String> = Vec::new();
        for (index, line) in text.lines().map(str::trim).enumerate() {
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let is_address =
                line.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
            let (line_number, path) = (index + 1, path.display());
            ensure!(is_address, "{path}, line {line_number}: {line} is no address; write host:port, a process a line");
            ensure!(
                !addresses.iter().any(|known| known == line),
                "{path}, line {line_number}: {line} stands twice; every process needs an address of its own"
            );
            addresses.push(line.to_owned());
        }
        ensure!(!addresses.is_empty(), "{} names no process; write host:port, a process a line", path.display());
        Ok(addresses)
    }
}

/// What the workers communicate by, and what must live as long as they do.
pub(crate) type Communication = (Vec<AllocatorBuilder>, Box<dyn Any + Send>);

/// Communication among the workers of this process and, in a cluster, with those of the others, once all are there; `students` is what
/// decides which student tags an epoch and by what its entities are interpreted, and must be the same in all.
///
/// # Errors
/// When the own address cannot be listened at, or a process does not come in time or is of another configuration.
pub(crate) fn connect(cluster: Option<&Cluster>, workers: usize, students: &[u8]) -> Result<Communication> {
    let Some(cluster) = cluster else {
        let built = timely::CommunicationConfig::Process(workers).try_build();
        return built.map_err(|cause| anyhow!("cannot start the workers: {cause}"));
    };
    let streams = Meeting::open(cluster, workers, students)?.meet()?;
    let hooks = Hooks::default();
    let local = ProcessBuilder::new_typed_vector(workers, hooks.refill.clone(), hooks.spill.clone());
    let network = initialize_networking_from_sockets(local, streams, cluster.process, workers, hooks);
    let (builders, guard) = network.context("cannot start the network threads")?;
    Ok((builders.into_iter().map(AllocatorBuilder::Tcp).collect(), Box::new(guard)))
}

/// The start of a cluster, as one process sees it.
struct Meeting<'a> {
    cluster: &'a Cluster,
    hello: Hello,
    listener: TcpListener,
    deadline: Instant,
}

impl Meeting<'_> {
    fn open<'a>(cluster: &'a Cluster, workers: usize, students: &[u8]) -> Result<Meeting<'a>> {
        let (process, processes) = (cluster.process, cluster.addresses.len());
        ensure!(
            process < processes,
            "process is {process}, but there are {processes} addresses; give a number from 0 to {}",
            processes - 1
        );
        let address = &cluster.addresses[process];
        let listener = TcpListener::bind(address).with_context(|| {
            format!("cannot listen at {address}, the address of process {process} in the file of processes")
        })?;
        listener.set_nonblocking(true).context("cannot listen")?;
        let digest = Sha256::digest(students);
        let hello = Hello {
            process: process as u32,
            processes: processes as u32,
            workers: workers as u32,
            students: u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]),
        };
        Ok(Meeting { cluster, hello, listener, deadline: Instant::now() + cluster.start_max })
    }

    /// A stream to every other process, by index.
    fn meet(&self) -> Result<Vec<Option<SecureStream>>> {
        let (own, all) = (self.cluster.process, self.cluster.addresses.len());
        let mut streams: Vec<Option<SecureStream>> = (0..all).map(|_| None).collect();
        for (index, stream) in streams.iter_mut().enumerate().take(own) {
            *stream = Some(self.reach(index)?);
        }
        while let Some(missing) = (own + 1..all).find(|index| streams[*index].is_none()) {
            let (index, stream) = self.await_one(missing)?;
            ensure!(
                index > own && streams[index].is_none(),
                "two processes say that they are process {index}; give each its own --process"
            );
            streams[index] = Some(stream);
        }
        Ok(streams)
    }

    fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// Connects to a process, which may not be there yet.
    fn reach(&self, index: usize) -> Result<SecureStream> {
        let address = &self.cluster.addresses[index];
        loop {
            let cause = match connect_to(address, self.left()) {
                Ok(socket) => return self.greet(socket, index),
                Err(cause) => cause,
            };
            if self.left().is_zero() {
                bail!(
                    "process {index} at {address} did not come within {} s: {cause}; start all processes together, or raise \
                     start_ms_max",
                    self.cluster.start_max.as_secs_f64()
                );
            }
            std::thread::sleep(RETRY_EVERY.min(self.left()));
        }
    }

    fn greet(&self, socket: TcpStream, index: usize) -> Result<SecureStream> {
        socket.set_read_timeout(Some(self.left().max(RETRY_EVERY))).context("cannot use the network")?;
        let (stream, hello) = SecureStream::initiate(socket, &self.hello, &self.cluster.key).with_context(|| {
            format!("process {index} at {} does not let this one in", self.cluster.addresses[index])
        })?;
        ensure!(
            hello.process as usize == index,
            "process {} answers at {}, the address of process {index}; give all processes the same file",
            hello.process,
            self.cluster.addresses[index]
        );
        Ok(stream)
    }

    /// The next process that connects and knows the key; strangers are turned away.
    fn await_one(&self, missing: usize) -> Result<(usize, SecureStream)> {
        loop {
            match self.listener.accept() {
                Ok((socket, from)) => {
                    socket.set_nonblocking(false).context("cannot use the network")?;
                    socket.set_read_timeout(Some(STRANGER_WAIT_MAX)).context("cannot use the network")?;
                    match SecureStream::respond(socket, &self.hello, &self.cluster.key) {
                        Ok((stream, hello)) => return Ok((hello.process as usize, stream)),
                        Err(cause) => tracing::warn!("whoever connects from {from} is turned away: {cause:#}"),
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                    std::thread::sleep(RETRY_EVERY.min(self.left()))
                }
                Err(error) => return Err(error).context("cannot accept connections"),
            }
            if self.left().is_zero() {
                bail!(
                    "process {missing}, which is to run at {}, did not come within {} s; start all processes together, or raise \
                     start_ms_max",
                    self.cluster.addresses[missing],
                    self.cluster.start_max.as_secs_f64()
                );
            }
        }
    }
}

fn connect_to(address: &str, left: Duration) -> Result<TcpStream> {
    let resolved = address.to_socket_addrs().with_context(|| format!("cannot resolve {address}"))?;
    let mut cause = anyhow!("{address} has no address");
    for socket in resolved {
        match TcpStream::connect_timeout(&socket, left.clamp(RETRY_EVERY, STRANGER_WAIT_MAX)) {
            Ok(stream) => return Ok(stream),
            Err(error) => cause = error.into(),
        }
    }
    Err(cause)
}

/// Ends the process when a thread panics: the rest of the cluster must not wait for it, nor it for the rest.
pub(crate) fn end_on_panic() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let is_network = std::thread::current().name().is_some_and(|name| name.starts_with("timely:"));
        if is_network {
            eprintln!(
                "error: a process of the cluster has ended, so this one ends; a supervisor starts all of them together"
            );
        } else {
            before(panic);
        }
        std::process::exit(1);
    }));
}
