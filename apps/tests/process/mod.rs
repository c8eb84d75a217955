//! A program as a person meets it: started, listened to, asked, ended.

#![allow(dead_code, reason = "each suite needs a part of it")]

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

/// Generous: windows pass in the meantime, on a machine that may be busy.
pub(crate) const LINE_WAIT: Duration = Duration::from_secs(60);

/// A program that runs, and what it says.
pub(crate) struct Running {
    pub(crate) process: Child,
    pub(crate) lines: Receiver<String>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A program without the settings of the environment in which the tests run.
pub(crate) fn program(path: &str) -> Command {
    let mut command = Command::new(path);
    let ours = |name: &OsStr| name.as_encoded_bytes().starts_with(b"MILLSTREAM_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command
}

impl Running {
    /// Starts a program and listens to what it tells the person who started it.
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = channel();
        listen(process.stdout.take().unwrap(), tell);
        Self { process, lines }
    }

    /// Starts a program and listens to its log too.
    pub(crate) fn start_with_log(command: &mut Command) -> Self {
        let mut process = command.stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (tell, lines) = channel();
        listen(process.stderr.take().unwrap(), tell.clone());
        listen(process.stdout.take().unwrap(), tell);
        Self { process, lines }
    }

    /// The first line from here on in which `part` stands.
    pub(crate) fn line_with(&self, part: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(LINE_WAIT);
            let line = line.unwrap_or_else(|error| panic!("no line with {part:?}: {error}"));
            if line.contains(part) {
                return line;
            }
        }
    }

    /// Where it serves `/metrics`: what stands behind this line.
    pub(crate) fn metrics_address(&self) -> String {
        let said = self.line_with("metrics and health: http://");
        said.split("http://").nth(1).unwrap().to_owned()
    }

    /// Sends it a signal by the name that `kill` knows.
    pub(crate) fn signal(&self, name: &str) {
        let process = self.process.id().to_string();
        assert!(Command::new("kill").args([name, &process]).status().unwrap().success());
    }

    /// Presses Ctrl-C; the exit code.
    pub(crate) fn interrupt(mut self) -> Option<i32> {
        self.signal("-INT");
        self.line_with("stopped");
        self.process.wait().unwrap().code()
    }
}

/// The thread ends with the stream.
fn listen(stream: impl Read + Send + 'static, tell: Sender<String>) {
    let lines = BufReader::new(stream).lines();
    thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| tell.send(line)));
}

/// The whole answer to a request.
pub(crate) fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}
