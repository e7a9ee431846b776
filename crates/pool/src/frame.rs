//! Frames on the private sockets, both directions: a length (u32, little-endian, of what follows), a kind (one
//! byte), a payload. Whatever a peer sends is bounded and parsed here into something that makes sense, or it is a
//! [`BadFrame`].

use gristmill_core::{Claimed, Outcome, Reason};
use serde::Deserialize;
use uuid::Uuid;

/// Longest kind and payload together; a longer frame is a broken peer.
pub const MAX_LENGTH: usize = 16 * 1024 * 1024;
/// Longest class path and traceback that a runner may report; it bounds them to 64 KiB itself.
const MAX_FAILURE_TEXT: usize = 256 * 1024;

/// A peer does not speak the protocol: nothing that it says can be trusted any more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadFrame(pub String);

/// A frame would be longer than [`MAX_LENGTH`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes is over the limit")]
pub struct TooLong(pub usize);

/// One frame with the given parts as its payload.
pub fn pack(kind: u8, parts: &[&[u8]]) -> Result<Vec<u8>, TooLong> {
    let length = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
    if length > MAX_LENGTH {
        return Err(TooLong(length));
    }
    let mut frame = Vec::with_capacity(4 + length);
    frame.extend_from_slice(&u32::try_from(length).map_err(|_| TooLong(length))?.to_le_bytes());
    frame.push(kind);
    for part in parts {
        frame.extend_from_slice(part);
    }
    Ok(frame)
}

/// Cuts a byte stream into frames, whatever pieces it comes in.
#[derive(Default)]
pub struct Parser {
    buffer: Vec<u8>,
    read: usize,
}

impl Parser {
    /// Takes what has been received.
    pub fn feed(&mut self, data: &[u8]) {
        if self.read == self.buffer.len() {
            self.buffer.clear();
            self.read = 0;
        }
        self.buffer.extend_from_slice(data);
    }

    /// The next complete frame: its kind and payload.
    pub fn next_frame(&mut self) -> Result<Option<(u8, &[u8])>, BadFrame> {
        let Some((prefix, rest)) = self.buffer[self.read..].split_first_chunk::<4>() else {
            self.compact();
            return Ok(None);
        };
        let length = u32::from_le_bytes(*prefix) as usize;
        if length == 0 || length > MAX_LENGTH {
            return Err(BadFrame(format!("a frame of {length} bytes")));
        }
        if rest.len() < length {
            self.compact();
            return Ok(None);
        }
        let start = self.read + 4;
        self.read = start + length;
        let frame = &self.buffer[start..self.read];
        Ok(Some((frame[0], &frame[1..])))
    }

    // What has been read is dropped only when a frame is incomplete, so each byte is moved once at most.
    fn compact(&mut self) {
        self.buffer.drain(..self.read);
        self.read = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > 1024 * 1024 {
            self.buffer = Vec::new();
        }
    }
}

/// A job on the wire: its id and token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    id: Uuid,
    token: u64,
}

impl Key {
    /// How the frames about a claim name it.
    pub fn of(claimed: &Claimed) -> Self {
        Self { id: claimed.id.0, token: claimed.token.0.cast_unsigned() }
    }

    /// Its 24 bytes.
    pub fn bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(self.id.as_bytes());
        bytes[16..].copy_from_slice(&self.token.to_le_bytes());
        bytes
    }

    fn split(payload: &[u8]) -> Result<(Self, &[u8]), BadFrame> {
        let cut = || BadFrame("a frame too short for a job's id and token".into());
        let (id, rest) = payload.split_first_chunk::<16>().ok_or_else(cut)?;
        let (token, rest) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        Ok((Self { id: Uuid::from_bytes(*id), token: u64::from_le_bytes(*token) }, rest))
    }
}

/// What a runner says.
#[derive(Debug, PartialEq, Eq)]
pub enum FromRunner {
    /// It is up and waits for work.
    Hello,
    /// The handler's first instruction comes next; nanoseconds of `CLOCK_MONOTONIC`.
    Started(Key, u64),
    /// It has ended by itself: successful or failed.
    Ended(Key, Outcome),
    /// It did not start it, and why if there is something to say.
    Back(Key, String),
}

impl FromRunner {
    /// Parses one frame.
    pub fn parse(kind: u8, payload: &[u8]) -> Result<Self, BadFrame> {
        match kind {
            b'H' => Ok(Self::Hello),
            b'S' => {
                let (key, rest) = Key::split(payload)?;
                let at = rest.try_into().map_err(|_| BadFrame("a started frame without its instant".into()))?;
                Ok(Self::Started(key, u64::from_le_bytes(at)))
            }
            b'D' => {
                let (key, rest) = Key::split(payload)?;
                let return_value = text(rest)?;
                // A database may parse it: what is not JSON would cost the whole batch it is written with.
                serde_json::from_str::<serde::de::IgnoredAny>(&return_value)
                    .map_err(|error| BadFrame(format!("a result that is not JSON: {error}")))?;
                Ok(Self::Ended(key, Outcome::Successful { return_value }))
            }
            b'F' => {
                let (key, rest) = Key::split(payload)?;
                Ok(Self::Ended(key, failure(rest)?))
            }
            b'B' => {
                let (key, rest) = Key::split(payload)?;
                Ok(Self::Back(key, text(rest)?))
            }
            other => Err(BadFrame(format!("a frame of unknown kind {other}"))),
        }
    }
}

fn text(bytes: &[u8]) -> Result<String, BadFrame> {
    let text = str::from_utf8(bytes).map_err(|_| BadFrame("text that is not UTF-8".into()))?;
    Ok(text.to_owned())
}

fn failure(json: &[u8]) -> Result<Outcome, BadFrame> {
    #[derive(Deserialize)]
    struct Failure {
        reason: String,
        exception_class_path: String,
        traceback: String,
    }
    let failure: Failure = parse_json(json)?;
    let reason = match failure.reason.as_str() {
        "error" => Reason::Error,
        "bad result" => Reason::BadResult,
        other => return Err(BadFrame(format!("a failure for the unknown reason {other:?}"))),
    };
    if failure.exception_class_path.len() + failure.traceback.len() > MAX_FAILURE_TEXT {
        return Err(BadFrame("a failure longer than a runner may report".into()));
    }
    // PostgreSQL refuses NUL in text, and recording a failure must not fail.
    let storable = |text: String| if text.contains('\0') { text.replace('\0', "\u{fffd}") } else { text };
    Ok(Outcome::Failed {
        reason,
        exception_class_path: storable(failure.exception_class_path),
        traceback: storable(failure.traceback),
        classes: Vec::new(),
        advice: gristmill_core::Advice::ByOptions,
    })
}

fn parse_json<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, BadFrame> {
    serde_json::from_slice(json).map_err(|error| BadFrame(format!("a frame that cannot be read: {error}")))
}

/// What the zygote says.
#[derive(Debug, PartialEq, Eq)]
pub enum FromZygote {
    /// It has imported the project.
    Hello(Hello),
    /// It cannot serve.
    Error(Refusal),
    /// A runner has been forked.
    Spawned(Spawned),
    /// A runner has ended and its process group has been killed.
    Exited(Exited),
    /// A source file has changed: its path.
    Modified(String),
}

/// The zygote can fork.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Hello {
    /// Registered tasks.
    pub tasks: Vec<String>,
    /// Its process.
    pub pid: u32,
    /// Version of the interpreter.
    pub python: String,
    /// Version of Django.
    pub django: String,
}

/// Why the zygote cannot serve.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Refusal {
    /// One sentence for people.
    pub message: String,
    /// As Python formats it; may be empty.
    pub traceback: String,
}

/// A runner has been forked.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Spawned {
    /// Which.
    pub runner: u64,
    /// Its process.
    pub pid: u32,
}

/// A runner has ended.
#[derive(Debug, PartialEq, Eq, Deserialize)]
pub struct Exited {
    /// Which.
    pub runner: u64,
    /// The signal that ended it, if one did.
    pub signal: Option<i32>,
    /// Its exit status otherwise.
    pub status: Option<i32>,
    /// Set when the zygote killed it.
    pub killed: Option<KilledFor>,
}

/// Why the zygote killed a runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KilledFor {
    /// A `K` frame asked for it.
    Kill,
    /// The lease ran out.
    Lease,
}

impl Exited {
    /// In words, for people: `signal 9 (SIGKILL)`, `exit status 3`.
    pub fn how(&self) -> String {
        match (self.signal, self.status) {
            (Some(number), _) => signal_in_words(number),
            (None, Some(status)) => format!("exit status {status}"),
            (None, None) => "an unknown cause".into(),
        }
    }
}

/// `signal 9 (SIGKILL)`.
pub fn signal_in_words(number: i32) -> String {
    let name = match number {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        10 => "SIGUSR1",
        11 => "SIGSEGV",
        12 => "SIGUSR2",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        25 => "SIGXFSZ",
        31 => "SIGSYS",
        _ => return format!("signal {number}"),
    };
    format!("signal {number} ({name})")
}

impl FromZygote {
    /// Parses one frame.
    pub fn parse(kind: u8, payload: &[u8]) -> Result<Self, BadFrame> {
        #[derive(Deserialize)]
        struct Modified {
            path: String,
        }
        match kind {
            b'H' => parse_json(payload).map(Self::Hello),
            b'E' => parse_json(payload).map(Self::Error),
            b'P' => parse_json(payload).map(Self::Spawned),
            b'X' => parse_json(payload).map(Self::Exited),
            b'M' => parse_json::<Modified>(payload).map(|modified| Self::Modified(modified.path)),
            other => Err(BadFrame(format!("a control frame of unknown kind {other}"))),
        }
    }
}

/// The `R` frame of a claim. Stored texts come first and are not read here: where one of them is not what it should
/// be, the keys that follow win, or the runner says that it cannot be read.
pub fn run(claimed: &Claimed, worker_id: &str) -> Result<Vec<u8>, TooLong> {
    let mut json = Vec::with_capacity(512 + claimed.args.len() + claimed.kwargs.len());
    json.extend_from_slice(b"{\"args\":");
    json.extend_from_slice(claimed.args.as_bytes());
    json.extend_from_slice(b",\"kwargs\":");
    json.extend_from_slice(claimed.kwargs.as_bytes());
    json.extend_from_slice(b",\"options\":");
    json.extend_from_slice(claimed.options_json.as_deref().unwrap_or("null").as_bytes());
    text_member(&mut json, "id", Some(&claimed.id.to_string()));
    text_member(&mut json, "task", Some(&claimed.lane.task_name));
    text_member(&mut json, "backend", Some(&claimed.lane.backend));
    text_member(&mut json, "queue_name", Some(&claimed.lane.queue_name));
    text_member(&mut json, "run_after", claimed.run_after.as_ref().map(|moment| moment.0.as_str()));
    text_member(&mut json, "enqueued_at", Some(&claimed.enqueued_at.0));
    text_member(&mut json, "claimed_at", Some(&claimed.claimed_at.0));
    text_member(&mut json, "started_at", claimed.started_at.as_ref().map(|moment| moment.0.as_str()));
    text_member(&mut json, "worker_id", Some(worker_id));
    json.extend_from_slice(
        format!(
            ",\"token\":{},\"priority\":{},\"attempt\":{}}}",
            claimed.token,
            claimed.priority,
            claimed.attempt_number()
        )
        .as_bytes(),
    );
    pack(b'R', &[&Key::of(claimed).bytes(), &json])
}

fn text_member(json: &mut Vec<u8>, name: &str, value: Option<&str>) {
    json.extend_from_slice(b",\"");
    json.extend_from_slice(name.as_bytes());
    json.extend_from_slice(b"\":");
    // Writing text to a vector cannot fail.
    drop(serde_json::to_writer(json, &value));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> Key {
        Key { id: Uuid::from_u128(7), token: 3 }
    }

    proptest! {
        #[test]
        fn frames_survive_being_cut_anywhere(
            frames in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..300)), 0..20),
            piece in 1_usize..200,
        ) {
            let stream: Vec<u8> = frames.iter().flat_map(|(kind, payload)| pack(*kind, &[payload]).unwrap()).collect();
            let mut parser = Parser::default();
            let mut read = Vec::new();
            for data in stream.chunks(piece) {
                parser.feed(data);
                while let Some((kind, payload)) = parser.next_frame().unwrap() {
                    read.push((kind, payload.to_vec()));
                }
            }
            prop_assert_eq!(read, frames);
        }

        #[test]
        fn no_bytes_make_the_parser_panic_or_keep_more_than_it_got(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..50),
        ) {
            let mut parser = Parser::default();
            let mut fed = 0;
            'stream: for data in pieces {
                fed += data.len();
                parser.feed(&data);
                loop {
                    match parser.next_frame() {
                        Ok(Some((kind, payload))) => {
                            drop(FromRunner::parse(kind, payload));
                            drop(FromZygote::parse(kind, payload));
                        }
                        Ok(None) => break,
                        Err(_) => break 'stream,
                    }
                }
                prop_assert!(parser.buffer.len() <= fed);
            }
        }

        #[test]
        fn no_payload_makes_parsing_panic(kind in any::<u8>(), payload in proptest::collection::vec(any::<u8>(), 0..200)) {
            for kind in [kind, b'S', b'D', b'F', b'B', b'H', b'E', b'P', b'X', b'M'] {
                drop(FromRunner::parse(kind, &payload));
                drop(FromZygote::parse(kind, &payload));
            }
        }
    }

    #[test]
    fn an_impossible_length_is_a_bad_peer_before_anything_is_kept_for_it() {
        for length in [0_u32, u32::try_from(MAX_LENGTH).unwrap() + 1, u32::MAX] {
            let mut parser = Parser::default();
            parser.feed(&length.to_le_bytes());
            assert!(parser.next_frame().is_err());
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_not_made() {
        let payload = vec![0; MAX_LENGTH];
        assert_eq!(pack(b'R', &[&payload]), Err(TooLong(MAX_LENGTH + 1)));
        assert!(pack(b'R', &[&payload[1..]]).is_ok());
    }

    #[test]
    fn a_result_that_is_not_json_is_a_bad_frame() {
        for lie in [&b"{"[..], b"", b"NaN", b"1 2", b"\"\x00\"", b"\xff"] {
            assert!(FromRunner::parse(b'D', &[&key().bytes()[..], lie].concat()).is_err(), "{lie:?}");
        }
        let end = FromRunner::parse(b'D', &[&key().bytes()[..], br#"{"a": [1]}"#].concat()).unwrap();
        assert_eq!(end, FromRunner::Ended(key(), Outcome::Successful { return_value: r#"{"a": [1]}"#.into() }));
    }

    #[test]
    fn a_nul_in_a_failure_is_replaced() {
        let json = br#"{"reason": "error", "exception_class_path": "a.B", "traceback": "x\u0000y"}"#;
        let FromRunner::Ended(_, Outcome::Failed { traceback, .. }) =
            FromRunner::parse(b'F', &[&key().bytes()[..], json].concat()).unwrap()
        else {
            panic!("not a failure");
        };
        assert_eq!(traceback, "x\u{fffd}y");
    }
}
