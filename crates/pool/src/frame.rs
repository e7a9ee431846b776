//! Frames on the private sockets, both directions: a length (u32, little-endian, of what follows), a kind (one
//! byte), a payload. Whatever a peer sends is bounded and parsed here into something that makes sense, or it is a
//! [`BadFrame`].

mod codec;
mod from_runner;
mod from_zygote;
pub(crate) mod kinds;
mod to_runner;

pub use codec::{BadFrame, Key, MAX_LENGTH, Parser, TooLong, pack};
pub use from_runner::{FromRunner, Report};
pub use from_zygote::{Exited, FromZygote, Hello, KilledFor, Refusal, Spawned, signal_in_words};
pub use to_runner::{run, settled, write};
