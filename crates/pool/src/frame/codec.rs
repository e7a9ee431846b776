//! Bytes into frames and back, and how a frame names a claim.

use gristmill_core::{Claimed, JobId, Token};
use serde::Deserialize;
use uuid::Uuid;

/// Longest kind and payload together; a longer frame is a broken peer.
pub const MAX_LENGTH: usize = 16 * 1024 * 1024;

/// A peer does not speak the protocol: nothing that it says can be trusted any more.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadFrame(pub String);

/// A frame would be longer than [`MAX_LENGTH`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes is over the limit")]
pub struct TooLong(pub usize);

/// One frame with the given parts as its payload.
pub fn pack(kind: impl Into<u8>, parts: &[&[u8]]) -> Result<Vec<u8>, TooLong> {
    let length = 1 + parts.iter().map(|part| part.len()).sum::<usize>();
    if length > MAX_LENGTH {
        return Err(TooLong(length));
    }
    let mut frame = Vec::with_capacity(4 + length);
    frame.extend_from_slice(&u32::try_from(length).map_err(|_| TooLong(length))?.to_le_bytes());
    frame.push(kind.into());
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
        Self::new(claimed.id, claimed.token)
    }

    /// The claim of a job with a token.
    pub fn new(job: JobId, token: Token) -> Self {
        Self { id: job.0, token: token.0.cast_unsigned() }
    }

    /// The job.
    pub fn job(self) -> JobId {
        JobId(self.id)
    }

    /// The claim of it.
    pub fn token(self) -> Token {
        Token(self.token.cast_signed())
    }

    /// The 24 bytes of it.
    pub fn bytes(self) -> [u8; 24] {
        let mut bytes = [0; 24];
        bytes[..16].copy_from_slice(self.id.as_bytes());
        bytes[16..].copy_from_slice(&self.token.to_le_bytes());
        bytes
    }

    pub(super) fn split(payload: &[u8]) -> Result<(Self, &[u8]), BadFrame> {
        let cut = || BadFrame("a frame too short for a job's id and token".into());
        let (id, rest) = payload.split_first_chunk::<16>().ok_or_else(cut)?;
        let (token, rest) = rest.split_first_chunk::<8>().ok_or_else(cut)?;
        Ok((Self { id: Uuid::from_bytes(*id), token: u64::from_le_bytes(*token) }, rest))
    }
}

/// Text that a peer sent.
pub(super) fn text(bytes: &[u8]) -> Result<String, BadFrame> {
    let text = str::from_utf8(bytes).map_err(|_| BadFrame("text that is not UTF-8".into()))?;
    Ok(text.to_owned())
}

/// What a peer sent as JSON.
pub(super) fn parse_json<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, BadFrame> {
    serde_json::from_slice(json).map_err(|error| BadFrame(format!("a frame that cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::frame::{FromRunner, FromZygote};

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
            for kind in [kind].into_iter().chain(*b"SDFBHEPXMOGITKUAN") {
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
}
