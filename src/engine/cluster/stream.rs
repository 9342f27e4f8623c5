//! An encrypted stream between two processes that share a key.

use anyhow::{Context, Result, bail, ensure};
use snow::{Builder, HandshakeState, StatelessTransportState};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use timely::communication::allocator::zero_copy::stream::Stream;

/// Ephemeral Diffie-Hellman under a shared key: <https://noiseprotocol.org/noise.html>, section 9.
const PATTERN: &str = "Noise_NNpsk0_25519_ChaChaPoly_SHA256";

/// Says that stillroom speaks, and which version of this protocol.
const MAGIC: [u8; 8] = *b"stillrm2";

/// Bytes of a Noise message at most, and what of them is not content.
const MESSAGE_BYTES_MAX: usize = 65_535;
const TAG_BYTES: usize = 16;

/// How a process introduces itself, before anything is encrypted; what was said is bound into the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Hello {
    pub(super) process: u32,
    pub(super) processes: u32,
    pub(super) workers: u32,
    /// A part of a digest of what decides which student tags an epoch.
    pub(super) students: u32,
}

impl Hello {
    const BYTES: usize = MAGIC.len() + 16;

    fn to_bytes(self) -> [u8; Hello::BYTES] {
        let mut bytes = [0; Hello::BYTES];
        let numbers = [self.process, self.processes, self.workers, self.students].map(u32::to_be_bytes).concat();
        bytes[..MAGIC.len()].copy_from_slice(&MAGIC);
        bytes[MAGIC.len()..].copy_from_slice(&numbers);
        bytes
    }

    /// Reads the other's, which must be of the same cluster.
    fn read(socket: &mut TcpStream, own: &Hello) -> Result<(Hello, [u8; Hello::BYTES])> {
        let mut bytes = [0; Hello::BYTES];
        socket.read_exact(&mut bytes).context("it says nothing")?;
        ensure!(bytes.starts_with(&MAGIC), "it is no stillroom of this version");
        let number = |index: usize| {
            let at = MAGIC.len() + 4 * index;
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let hello = Hello { process: number(0), processes: number(1), workers: number(2), students: number(3) };
        if (hello.processes, hello.workers) != (own.processes, own.workers) {
            bail!(
                "process {} is one of {} with {} workers each, this one of {} with {}; give all processes the same file of \
                 processes and the same -w",
                hello.process,
                hello.processes,
                hello.workers,
                own.processes,
                own.workers
            );
        }
        ensure!(
            hello.students == own.students,
            "process {} has another student, tick_ms, activation_ms, lexicon or vocabulary than this one; give all processes the same \
             [student], [engine], [assertion] and [concepts]",
            hello.process
        );
        Ok((hello, bytes))
    }
}

/// An encrypted stream. Clones share it: one of them may read and one may write.
pub(super) struct SecureStream {
    socket: TcpStream,
    noise: Arc<StatelessTransportState>,
    /// The number of the next message in each direction: none is ever used twice.
    sent: Arc<AtomicU64>,
    received: Arc<AtomicU64>,
    /// What was decrypted and not yet read.
    plain: Vec<u8>,
    at: usize,
}

impl SecureStream {
    /// Opens the connection from the side that connected; tells who answered.
    pub(super) fn initiate(mut socket: TcpStream, own: &Hello, key: &[u8; 32]) -> Result<(SecureStream, Hello)> {
        socket.set_nodelay(true).context("cannot use the network")?;
        socket.write_all(&own.to_bytes()).context("it does not listen")?;
        let (hello, theirs) = Hello::read(&mut socket, own)?;
        let prologue = [own.to_bytes(), theirs].concat();
        let mut noise = builder(&prologue, key)?.build_initiator()?;
        send(&mut socket, &mut noise)?;
        receive(&mut socket, &mut noise)?;
        Ok((SecureStream::new(socket, noise)?, hello))
    }

    /// The same from the side that was connected to.
    pub(super) fn respond(mut socket: TcpStream, own: &Hello, key: &[u8; 32]) -> Result<(SecureStream, Hello)> {
        socket.set_nodelay(true).context("cannot use the network")?;
        // Said first, so that the other side learns too what does not fit.
        socket.write_all(&own.to_bytes()).context("it does not listen")?;
        let (hello, theirs) = Hello::read(&mut socket, own)?;
        let prologue = [theirs, own.to_bytes()].concat();
        let mut noise = builder(&prologue, key)?.build_responder()?;
        receive(&mut socket, &mut noise)?;
        send(&mut socket, &mut noise)?;
        Ok((SecureStream::new(socket, noise)?, hello))
    }

    fn new(socket: TcpStream, noise: HandshakeState) -> Result<SecureStream> {
        socket.set_read_timeout(None).context("cannot use the network")?;
        let noise = Arc::new(noise.into_stateless_transport_mode()?);
        let (sent, received) = (Arc::default(), Arc::default());
        Ok(SecureStream { socket, noise, sent, received, plain: Vec::new(), at: 0 })
    }

    /// Decrypts the next message; false at the end of the stream.
    fn fill(&mut self) -> io::Result<bool> {
        let mut length = [0; 2];
        match self.socket.read_exact(&mut length) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        self.socket.read_exact(&mut message)?;
        self.plain.resize(message.len(), 0);
        let number = self.received.fetch_add(1, Ordering::SeqCst);
        let bytes = self.noise.read_message(number, &message, &mut self.plain).map_err(io::Error::other)?;
        self.plain.truncate(bytes);
        self.at = 0;
        Ok(true)
    }
}

fn builder<'a>(prologue: &'a [u8], key: &'a [u8; 32]) -> Result<Builder<'a>> {
    Ok(Builder::new(PATTERN.parse()?).psk(0, key)?.prologue(prologue)?)
}

fn send(socket: &mut TcpStream, noise: &mut HandshakeState) -> Result<()> {
    let mut message = [0; 256];
    let bytes = noise.write_message(&[], &mut message)?;
    socket.write_all(&[&(bytes as u16).to_be_bytes(), &message[..bytes]].concat()).context("it has hung up")
}

fn receive(socket: &mut TcpStream, noise: &mut HandshakeState) -> Result<()> {
    const OTHER_KEY: &str = "it has another key; give all processes the same key_file";
    let mut length = [0; 2];
    socket.read_exact(&mut length).context(OTHER_KEY)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    socket.read_exact(&mut message).context(OTHER_KEY)?;
    noise.read_message(&message, &mut [0; 256]).context(OTHER_KEY)?;
    Ok(())
}

impl Read for SecureStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.plain.len() {
            if !self.fill()? {
                return Ok(0);
            }
        }
        let bytes = buffer.len().min(self.plain.len() - self.at);
        buffer[..bytes].copy_from_slice(&self.plain[self.at..self.at + bytes]);
        self.at += bytes;
        Ok(bytes)
    }
}

impl Write for SecureStream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let content = &buffer[..buffer.len().min(MESSAGE_BYTES_MAX - TAG_BYTES)];
        if content.is_empty() {
            return Ok(0);
        }
        let mut message = vec![0; 2 + content.len() + TAG_BYTES];
        let number = self.sent.fetch_add(1, Ordering::SeqCst);
        let bytes = self.noise.write_message(number, content, &mut message[2..]).map_err(io::Error::other)?;
        message[..2].copy_from_slice(&(bytes as u16).to_be_bytes());
        self.socket.write_all(&message[..2 + bytes])?;
        Ok(content.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl Stream for SecureStream {
    fn try_clone(&self) -> io::Result<SecureStream> {
        Ok(SecureStream {
            socket: self.socket.try_clone()?,
            noise: Arc::clone(&self.noise),
            sent: Arc::clone(&self.sent),
            received: Arc::clone(&self.received),
            plain: self.plain[self.at..].to_vec(),
            at: 0,
        })
    }

    fn set_nonblocking(&self, nonblocking: bool) -> io::Result<()> {
        self.socket.set_nonblocking(nonblocking)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.socket.shutdown(how)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    const HELLO: Hello = Hello { process: 0, processes: 2, workers: 3, students: 4 };

    type Opened = Result<(SecureStream, Hello)>;

    /// Both sides of a connection, with these introductions and keys.
    fn open(one: Hello, one_key: u8, other: Hello, other_key: u8) -> (Opened, Opened) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let connecting = std::thread::spawn(move || {
            SecureStream::initiate(TcpStream::connect(address).unwrap(), &one, &[one_key; 32])
        });
        let responded = SecureStream::respond(listener.accept().unwrap().0, &other, &[other_key; 32]);
        (connecting.join().unwrap(), responded)
    }

    #[test]
    fn what_goes_in_comes_out_in_both_directions_and_cannot_be_read_on_the_way() {
        let (one, other) = open(HELLO, 1, Hello { process: 1, ..HELLO }, 1);
        let ((mut one, met), (mut other, _)) = (one.unwrap(), other.unwrap());
        assert_eq!(met.process, 1);
        let long: Vec<u8> = (0..200_000).map(|byte| (byte % 251) as u8).collect();
        for part in [&b"angina"[..], &long] {
            let (mut writer, part_sent) = (one.try_clone().unwrap(), part.to_vec());
            let writing = std::thread::spawn(move || writer.write_all(&part_sent).unwrap());
            let mut read = vec![0; part.len()];
            other.read_exact(&mut read).unwrap();
            assert_eq!(read, part);
            writing.join().unwrap();
        }
        other.write_all(b"and back").unwrap();
        let mut read = [0; 8];
        one.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"and back");

        // The bytes themselves, as somebody between the two would see them.
        let mut raw = [0; 64];
        let number = other.sent.load(Ordering::SeqCst);
        other.write_all(b"angina").unwrap();
        let bytes = one.socket.read(&mut raw).unwrap();
        assert_eq!((number, bytes), (1, 2 + 6 + TAG_BYTES));
        assert!(!raw.windows(6).any(|window| window == b"angina"));

        one.shutdown(Shutdown::Write).unwrap();
        assert_eq!(other.read(&mut [0; 8]).unwrap(), 0, "the end is an end");
    }

    #[test]
    fn what_was_changed_on_the_way_is_an_error() {
        let (one, other) = open(HELLO, 1, HELLO, 1);
        let ((one, _), (mut other, _)) = (one.unwrap(), other.unwrap());
        let mut socket = one.socket;
        let mut message = [0; 2 + 6 + TAG_BYTES];
        let bytes = one.noise.write_message(0, b"angina", &mut message[2..]).unwrap();
        message[..2].copy_from_slice(&(bytes as u16).to_be_bytes());
        message[5] ^= 1;
        socket.write_all(&message).unwrap();
        assert!(other.read(&mut [0; 8]).is_err());
    }

    #[test]
    fn who_does_not_belong_is_turned_away() {
        let check = |opened: (Opened, Opened), expected: &str| {
            let both =
                [opened.0.err(), opened.1.err()].map(|error| error.map_or(String::new(), |error| format!("{error:#}")));
            assert!(both.iter().any(|error| error.contains(expected)), "{both:?}");
        };
        check(open(HELLO, 1, HELLO, 2), "it has another key");
        check(
            open(Hello { workers: 1, ..HELLO }, 1, HELLO, 1),
            "give all processes the same file of processes and the same -w",
        );
        check(open(Hello { processes: 5, ..HELLO }, 1, HELLO, 1), "is one of 5 with 3 workers each");
        check(open(Hello { students: 5, ..HELLO }, 1, HELLO, 1), "another student, tick_ms, activation_ms, lexicon");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut stranger = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stranger.write_all(b"GET / HTTP/1.1\r\nHost: stillroom\r\n\r\n").unwrap();
        let answered = SecureStream::respond(listener.accept().unwrap().0, &HELLO, &[1; 32]);
        assert!(format!("{:#}", answered.err().unwrap()).contains("it is no stillroom of this version"));
    }
}
