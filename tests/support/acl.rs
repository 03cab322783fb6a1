//! Permissions on a broker, given and taken while somebody works: the client library has no call for them that is safe
//! Rust, so these are the two requests of the protocol, `CreateAcls` (30) and `DeleteAcls` (31), version 1 each.
//!
//! # Source
//! Apache Kafka, "Kafka protocol guide", request header version 1.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::broker::Broker;

/// What a permission is about, by its number in the protocol.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Resource {
    Topic = 2,
    Group = 3,
    TransactionalId = 5,
}

/// Which names it is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Names<'a> {
    Literal(&'a str),
    Prefixed(&'a str),
}

/// What may be done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation {
    All = 2,
    Write = 4,
}

/// Whether it may.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Permission {
    Deny = 2,
    Allow = 3,
}

/// The user that may do nothing but what a test allows.
pub(crate) const STRANGER: &str = "stranger";

/// One permission of the [`STRANGER`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Acl<'a>(
    pub(crate) Resource,
    pub(crate) Names<'a>,
    pub(crate) Operation,
    pub(crate) Permission,
);

const CREATE: i16 = 30;
const DELETE: i16 = 31;

impl Broker {
    /// Gives a permission, or a prohibition.
    #[track_caller]
    pub(crate) fn give(&self, acl: Acl<'_>) {
        self.ask(CREATE, acl);
    }

    /// Takes it away again.
    #[track_caller]
    pub(crate) fn take(&self, acl: Acl<'_>) {
        self.ask(DELETE, acl);
    }

    #[track_caller]
    fn ask(&self, api: i16, acl: Acl<'_>) {
        let mut body = Vec::new();
        body.extend(api.to_be_bytes());
        body.extend(1_i16.to_be_bytes()); // version
        body.extend(7_i32.to_be_bytes()); // correlation
        text(&mut body, "riskweir-test");
        body.extend(1_i32.to_be_bytes()); // one permission, or one filter of the same members
        let Acl(resource, names, operation, permission) = acl;
        let (pattern, name) = match names {
            Names::Literal(name) => (3, name),
            Names::Prefixed(name) => (4, name),
        };
        body.push(resource as u8);
        text(&mut body, name);
        body.push(pattern);
        text(&mut body, &format!("User:{STRANGER}"));
        text(&mut body, "*");
        body.push(operation as u8);
        body.push(permission as u8);
        let mut stream = TcpStream::connect(self.address()).expect("a connection");
        let length = i32::try_from(body.len()).expect("a short request");
        stream.write_all(&length.to_be_bytes()).expect("a request");
        stream.write_all(&body).expect("a request");
        let mut length = [0; 4];
        stream.read_exact(&mut length).expect("an answer");
        let mut answer = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("a length")];
        stream.read_exact(&mut answer).expect("an answer");
        // Correlation and throttle time, then the number of results and the code of the first.
        let results = answer.get(8..14).expect("a result");
        assert_eq!(results, [0, 0, 0, 1, 0, 0], "{acl:?} was refused: {answer:?}");
    }
}

fn text(body: &mut Vec<u8>, text: &str) {
    body.extend(i16::try_from(text.len()).expect("a short text").to_be_bytes());
    body.extend(text.as_bytes());
}
