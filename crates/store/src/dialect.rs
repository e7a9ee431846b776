//! The databases that there are, and what sets one apart from the others: one row of a table each.
//!
//! Whatever asks "which database is it?" asks for a property here instead, or its [`crate::Connection`] answers.

use crate::statement::File;

/// Which SQL a connection understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL 14 and later.
    Postgres,
    /// SQLite 3.37 and later.
    Sqlite,
}

/// What sets a dialect apart.
struct About {
    /// The folder of its SQL, and its name between processes.
    name: &'static str,
    /// Several write at a time, and hold rows against each other; else there is one writer, and nobody's lock to go around.
    has_row_locks: bool,
    /// Its clock is the server's, read by the statement itself; else it is this machine's, read once for all statements
    /// of a verb.
    has_a_clock: bool,
    /// A worker beside it shows by a lock on a file that it lives, so neither a lease nor sleep is what others see.
    shows_life_by_locks: bool,
    /// Files of temporary tables that every connection makes once: making sure of them each time is what a short
    /// transaction would spend its time on.
    scratch: &'static [&'static str],
}

impl Dialect {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Postgres, Self::Sqlite];

    const fn about(self) -> &'static About {
        match self {
            Self::Postgres => &About {
                name: "postgres",
                has_row_locks: true,
                has_a_clock: true,
                shows_life_by_locks: false,
                scratch: &[],
            },
            Self::Sqlite => &About {
                name: "sqlite",
                has_row_locks: false,
                has_a_clock: false,
                shows_life_by_locks: true,
                scratch: &["ended", "scratch"],
            },
        }
    }

    /// `postgres` or `sqlite`: the folder of its SQL, and its name between processes.
    pub const fn name(self) -> &'static str {
        self.about().name
    }

    /// The dialect of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|dialect| dialect.name() == name)
    }

    /// The statements of a verb or a migration, in order, with the parts that they name; `None` where there is none of that
    /// name.
    pub fn statements(self, name: &str) -> Option<Vec<&'static str>> {
        crate::statement::file(self, name).map(File::split)
    }

    /// Whether several write at a time, and hold rows against each other; else there is one writer, who holds up all others.
    pub const fn has_row_locks(self) -> bool {
        self.about().has_row_locks
    }

    /// Whether a statement reads the server's clock; else the present is this machine's, read once a verb.
    pub(crate) const fn has_a_clock(self) -> bool {
        self.about().has_a_clock
    }

    /// Whether workers show by a lock on a file that they live, however long their machine sleeps.
    pub const fn shows_life_by_locks(self) -> bool {
        self.about().shows_life_by_locks
    }

    /// Files of temporary tables that every connection makes once.
    pub(crate) const fn scratch(self) -> &'static [&'static str] {
        self.about().scratch
    }
}
