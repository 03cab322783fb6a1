//! The language server: what an editor asks while somebody writes rules.
//!
//! It speaks the Language Server Protocol 3.17 over two streams and knows of a rule folder what `riskweir check` knows,
//! with the texts of open buffers in place of files. Diagnostics are those of the compiler, to the letter; everything
//! else (hover, completion, definitions, rename, mends) works on what could be read of a folder with mistakes.
//!
//! INVARIANTS
//! - Nothing that a client sends ends the server but the end of its input and `exit`: a message that cannot be read is
//!   answered, a place that is not there is the nearest one, a text that is too large is told so by the compiler.
//! - It changes no file. What it would change it hands to the client.
//! - A rename is offered only when the renamed rules were compiled and keep all their state ([`rename`]).
//!
//! One thread reads messages, one answers them; diagnostics wait until no message does. Start at [`server`].

mod advice;
mod complete;
mod findings;
mod folder;
mod hover;
mod mend;
mod names;
mod outline;
mod rename;
mod server;
mod text;
mod uri;
mod wire;

use std::io::{self, BufReader, Read, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;

use server::{Server, Then};
use wire::Incoming;

/// Messages that wait to be answered; the client waits beyond that.
const MAX_WAITING: usize = 64;

/// How the conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The client asked to shut down and said `exit`.
    Orderly,
    /// It said `exit` without asking, or went away.
    Abrupt,
}

/// Answers a client until it says `exit` or goes away.
///
/// `rules` is the rule folder, where one was named; the client may name another.
///
/// # Errors
/// When the output fails: the client is gone.
pub fn serve(
    input: impl Read + Send + 'static,
    mut output: impl Write,
    rules: Option<PathBuf>,
) -> io::Result<Ended> {
    let messages = reader(input)?;
    let mut server = Server::new(rules);
    loop {
        let message = match messages.try_recv() {
            Ok(message) => message,
            Err(TryRecvError::Empty) => {
                server.settle(&mut output)?;
                match messages.recv() {
                    Ok(message) => message,
                    Err(_) => break,
                }
            }
            Err(TryRecvError::Disconnected) => break,
        };
        if let Then::End(ended) = server.take(message, &mut output)? {
            return Ok(ended);
        }
    }
    Ok(Ended::Abrupt)
}

/// Reads messages on a thread of its own, so that it is known whether more are waiting.
fn reader(input: impl Read + Send + 'static) -> io::Result<Receiver<Incoming>> {
    let (sender, receiver) = sync_channel(MAX_WAITING);
    thread::Builder::new().name("lsp-reader".to_owned()).spawn(move || {
        let mut input = BufReader::new(input);
        while let Ok(Some(message)) = wire::read(&mut input) {
            if sender.send(message).is_err() {
                break;
            }
        }
    })?;
    Ok(receiver)
}
