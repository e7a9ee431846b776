//! The kinds of frames, one letter each, by who says them to whom. A letter may mean one thing in one direction and
//! another in the other; `docs/design/wire.md` has what follows each.

/// An enum of letters, which a frame has as its kind.
macro_rules! kinds {
    ($(#[$doc:meta])+ $name:ident: $($kind:ident = $letter:literal,)+) => {
        $(#[$doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum $name {
            $($kind = $letter,)+
        }

        impl $name {
            /// The kind with this letter, if there is one.
            #[allow(dead_code, reason = "what is only said is never read")]
            pub(crate) fn of(letter: u8) -> Option<Self> {
                [$(Self::$kind,)+].into_iter().find(|kind| u8::from(*kind) == letter)
            }
        }

        impl From<$name> for u8 {
            fn from(kind: $name) -> Self {
                kind as Self
            }
        }
    };
}

kinds! {
    /// The supervisor to its zygote.
    ToZygote:
    Boot = b'B',
    Spawn = b'S',
    Life = b'W',
    Lease = b'L',
    Kill = b'K',
    Alert = b'A',
}

kinds! {
    /// The zygote to its supervisor.
    FromZygote:
    Hello = b'H',
    Error = b'E',
    Spawned = b'P',
    Exited = b'X',
    Modified = b'M',
}

kinds! {
    /// The supervisor to a runner.
    ToRunner:
    Run = b'R',
    Recall = b'C',
    Cancel = b'X',
    Write = b'W',
    Settled = b'V',
    Quit = b'Q',
}

kinds! {
    /// A runner to the supervisor.
    FromRunner:
    Hello = b'H',
    Started = b'S',
    Output = b'O',
    Progress = b'G',
    Done = b'D',
    Failed = b'F',
    Postponed = b'P',
    Incompatible = b'I',
    Back = b'B',
    Leaving = b'L',
    ToWrite = b'T',
    Kept = b'K',
    Undone = b'U',
    Lingers = b'A',
    Rested = b'N',
}
