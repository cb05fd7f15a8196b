//! Who checks passwords for Postfix, which does not do so itself: Dovecot's authentication protocol, as far as Postfix
//! needs it, for one user.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, Result};

use crate::{namespace::Namespace, software::USER};

/// What is said first: the protocol's version, the mechanisms, who is here.
const HANDSHAKE: &str = "VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nMECH\tLOGIN\tplaintext\nSPID\t1\nCUID\t1\n\
                         COOKIE\t00112233445566778899aabbccddeeff\nDONE\n";

/// In base64: `\0alice\0sesame`, `alice`, `sesame`, and what LOGIN asks.
const PLAIN_ANSWER: &str = "AGFsaWNlAHNlc2FtZQ==";
const USER_ANSWER: &str = "YWxpY2U=";
const PASSWORD_ANSWER: &str = "c2VzYW1l";
const USER_QUESTION: &str = "VXNlcm5hbWU6";
const PASSWORD_QUESTION: &str = "UGFzc3dvcmQ6";

/// A password checker on a port of a namespace's loopback. It stops on drop.
#[derive(Debug)]
pub struct Login {
    listener: Arc<TcpListener>,
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
    thread: Option<JoinHandle<()>>,
}

impl Login {
    /// Starts it.
    pub fn start(namespace: &Namespace) -> Result<Self> {
        let listener = namespace.enter(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
        let listener = Arc::new(listener.context("listen for questions about passwords")?);
        let address = listener.local_addr().context("ask for the port")?;
        let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        let thread = {
            let (listener, open) = (Arc::clone(&listener), Arc::clone(&open));
            thread::spawn(move || {
                // Shutting the listener ends the loop.
                while let Ok((stream, _)) = listener.accept() {
                    if let Ok(copy) = stream.try_clone() {
                        open.lock().unwrap_or_else(PoisonError::into_inner).push(copy);
                    }
                    thread::spawn(move || serve(&stream));
                }
            })
        };
        Ok(Self { listener, address, open, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&*self.listener, rustix::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn serve(stream: &TcpStream) -> std::io::Result<()> {
    let mut output = stream;
    output.write_all(HANDSHAKE.as_bytes())?;
    for line in BufReader::new(stream).lines() {
        if let Some(answer) = answer(&line?) {
            output.write_all(answer.as_bytes())?;
        }
    }
    Ok(())
}

/// What is said to a line of Postfix's.
fn answer(line: &str) -> Option<String> {
    let mut words = line.split('\t');
    let (verb, id) = (words.next()?, words.next()?);
    let asked = |question: &str| Some(format!("CONT\t{id}\t{question}\n"));
    let right = || Some(format!("OK\t{id}\tuser={USER}\n"));
    let said = match verb {
        "AUTH" => {
            let mechanism = words.next()?;
            match (mechanism, words.find_map(|word| word.strip_prefix("resp="))) {
                ("LOGIN", None) => return asked(USER_QUESTION),
                ("PLAIN", None) => return asked(""),
                (_, Some(answer)) => answer,
                _ => "",
            }
        }
        "CONT" => words.next().unwrap_or_default(),
        _ => return None,
    };
    match said {
        PLAIN_ANSWER | PASSWORD_ANSWER => right(),
        USER_ANSWER => asked(PASSWORD_QUESTION),
        _ => Some(format!("FAIL\t{id}\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::answer;

    #[test]
    fn only_the_right_password_is_right() {
        let plain = |answer: &str| format!("AUTH\t7\tPLAIN\tservice=smtp\tnologin\tresp={answer}");
        assert_eq!(answer(&plain("AGFsaWNlAHNlc2FtZQ==")).as_deref(), Some("OK\t7\tuser=alice\n"));
        assert_eq!(answer(&plain("AGFsaWNlAHdyb25n")).as_deref(), Some("FAIL\t7\n"));
        assert_eq!(answer("AUTH\t8\tLOGIN\tservice=smtp").as_deref(), Some("CONT\t8\tVXNlcm5hbWU6\n"));
        assert_eq!(answer("CONT\t8\tYWxpY2U=").as_deref(), Some("CONT\t8\tUGFzc3dvcmQ6\n"));
        assert_eq!(answer("CONT\t8\tc2VzYW1l").as_deref(), Some("OK\t8\tuser=alice\n"));
        assert_eq!(answer("VERSION\t1\t1"), None);
    }
}
