//! A process that runs while a test goes on.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long nothing may happen.
pub(crate) const DEADLINE: Duration = Duration::from_secs(180);

/// A process that does not outlive the test.
pub(crate) struct Running {
    child: Option<Child>,
    /// Lines that it says, read as they come: a full pipe would hold it up.
    said: Receiver<String>,
    /// What it said so far.
    pub(crate) heard: String,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Running {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (says, said) = channel();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| says.send(line)));
        Running { child: Some(child), said, heard: String::new() }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Waits until it says a line with this in it.
    pub(crate) fn hear(&mut self, part: &str) {
        loop {
            let line = self.said.recv_timeout(DEADLINE);
            let line = line.unwrap_or_else(|error| panic!("{error} before it said {part}: {}", self.heard));
            self.heard.push_str(&line);
            self.heard.push('\n');
            if line.contains(part) {
                return;
            }
        }
    }

    /// SIGKILL: nothing is flushed, nothing is said.
    pub(crate) fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGTERM, and what it said in all.
    pub(crate) fn terminate(self) -> Output {
        assert!(Command::new("kill").arg(self.id().to_string()).status().unwrap().success());
        self.wait()
    }

    /// Waits until it ends by itself.
    pub(crate) fn wait(mut self) -> Output {
        let mut output = self.child.take().unwrap().wait_with_output().unwrap();
        self.heard.extend(self.said.iter().flat_map(|line| [line, "\n".to_owned()]));
        output.stderr = std::mem::take(&mut self.heard).into_bytes();
        output
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ended = child.kill();
            let _waited = child.wait();
            if std::thread::panicking() {
                let said: Vec<String> = self.said.iter().collect();
                eprintln!("a process that was still running had said:\n{}{}", self.heard, said.join("\n"));
            }
        }
    }
}
