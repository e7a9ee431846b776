//! What the error codes of each database speak of: one table a database.
//!
//! An end of an attempt may be reduced to its bare fact where the error speaks of what was to be written, and for
//! nothing else: a server that lets nobody in, or has no room left, says nothing about a job.
//! `python/gristmill/database/refusals.py` keeps the part that a handler's own transaction needs.

use crate::{Error, Refusal};

/// What an error speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// What this statement was to write. The same again is refused again.
    Row,
    /// The statement itself: a defect of ours, or tables, rights or triggers that someone changed.
    Statement,
    /// Transactions in each other's way. The database has undone this one; the same again may go through.
    Conflict,
    /// Someone who holds a lock, longer than this was to wait for it.
    Lock,
    /// The server, the connection to it, or who may connect. Nothing is said about what was asked.
    Server,
}

impl About {
    /// The error for a caller: what says nothing about the statement and its values may pass.
    pub fn error(self, what: String) -> Error {
        match self {
            Self::Row | Self::Statement => Error::Refused(Refusal::new(self, what)),
            Self::Conflict | Self::Lock => Error::Locked(what),
            Self::Server => Error::Unavailable(what),
        }
    }
}

/// Of PostgreSQL's SQLSTATE, and of what poolers before it make up. The longest of these prefixes counts.
pub fn postgres(sqlstate: &str) -> About {
    look_up(POSTGRES, sqlstate)
}

/// Of MySQL's and MariaDB's error number and SQLSTATE. The number counts where it is listed: both servers say `HY000`
/// for most of what has no class of its own.
pub fn mysql(number: u16, sqlstate: &str) -> About {
    let listed = MYSQL_NUMBERS.iter().find(|(numbers, _)| numbers.contains(&number));
    listed.map_or_else(|| look_up(MYSQL_STATES, sqlstate), |(_, about)| *about)
}

/// Of SQLite's result code, primary or extended.
pub fn sqlite(code: i32) -> About {
    let primary = code & 0xff;
    let listed = SQLITE.iter().find(|(codes, _)| codes.contains(&primary));
    listed.map_or(About::Server, |(_, about)| *about)
}

fn look_up(table: &[(&str, About)], sqlstate: &str) -> About {
    let listed = table.iter().filter(|(prefix, _)| sqlstate.starts_with(prefix));
    listed.max_by_key(|(prefix, _)| prefix.len()).map_or(About::Server, |(_, about)| *about)
}

/// What is not listed is no word about the statement: it is tried again.
const POSTGRES: &[(&str, About)] = &[
    // Data, integrity, more than the server can do with one value or statement.
    ("22", About::Row),
    ("23", About::Row),
    ("54", About::Row),
    // Serialization, deadlock. 40003: whether it took place is unknown.
    ("40", About::Conflict),
    ("40003", About::Server),
    ("55P03", About::Lock),
    // Syntax, tables, columns, rights; features; functions and triggers of someone's.
    ("03", About::Statement),
    ("09", About::Statement),
    ("0A", About::Statement),
    ("0F", About::Statement),
    ("0L", About::Statement),
    ("0P", About::Statement),
    ("0Z", About::Statement),
    ("10", About::Statement),
    ("20", About::Statement),
    ("21", About::Statement),
    ("24", About::Statement),
    ("27", About::Statement),
    ("2B", About::Statement),
    ("2F", About::Statement),
    ("34", About::Statement),
    ("38", About::Statement),
    ("39", About::Statement),
    ("3F", About::Statement),
    ("42", About::Statement),
    ("44", About::Statement),
    ("HV", About::Statement),
    ("P0", About::Statement),
    // Connection, authentication, database name, transaction state (a demoted primary, a time-out), a statement that a
    // pooler's other server has not prepared.
    ("08", About::Server),
    ("25", About::Server),
    ("26", About::Server),
    ("28", About::Server),
    ("3D", About::Server),
    // Resources, prerequisites, an operator, the disk, a broken configuration, a defect or a broken page of the server's.
    ("53", About::Server),
    ("55", About::Server),
    ("57", About::Server),
    ("58", About::Server),
    ("72", About::Server),
    ("F0", About::Server),
    ("XX", About::Server),
];

/// `SQLITE_…` by number. What is not listed is the server's, which is the file, its disk and this process.
const SQLITE: &[(&[i32], About)] = &[
    // TOOBIG, CONSTRAINT, MISMATCH.
    (&[18, 19, 20], About::Row),
    // ERROR (no such table, a function that failed), MISUSE, AUTH, RANGE.
    (&[1, 21, 23, 25], About::Statement),
    // BUSY, LOCKED.
    (&[5, 6], About::Lock),
    // INTERNAL, PERM, ABORT, NOMEM, READONLY, INTERRUPT, IOERR, CORRUPT, NOTFOUND, FULL, CANTOPEN, PROTOCOL, SCHEMA, NOLFS,
    // FORMAT, NOTADB.
    (&[2, 3, 4, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 22, 24, 26], About::Server),
];

const MYSQL_NUMBERS: &[(&[u16], About)] = &[
    // A value that the column's character set does not have, a packet that is too big, a check that does not hold.
    (&[1153, 1366, 3819, 4025], About::Row),
    // Lock wait time-out, and NOWAIT.
    (&[1205, 3572], About::Lock),
    (&[1213], About::Conflict),
    // Too many connections, access denied, unknown database, a full disk or table, shutdown, killed, read-only, an error
    // while it committed.
    (&[1021, 1040, 1044, 1045, 1049, 1053, 1114, 1129, 1130, 1180, 1203, 1226, 1290, 1317, 1836, 3024], About::Server),
];

const MYSQL_STATES: &[(&str, About)] = &[
    ("22", About::Row),
    ("23", About::Row),
    ("40", About::Conflict),
    ("42", About::Statement),
    ("45", About::Statement),
    ("08", About::Server),
    ("25", About::Server),
    ("28", About::Server),
    ("70", About::Server),
    ("HY", About::Server),
    ("XA", About::Server),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_blames_what_was_to_be_written_for_nothing_but_itself() {
        for row in ["22P05", "22003", "23505", "23514", "54000", "54023"] {
            assert_eq!(postgres(row), About::Row, "{row}");
        }
        // Maintenance, a rotated password, a role without login, a database that was renamed.
        for connecting in ["55000", "28P01", "28000", "3D000", "08006", "08P01", "53300", "57P03"] {
            assert_eq!(postgres(connecting), About::Server, "{connecting}");
        }
        // A disk that fails or is full, a page that is broken, a primary that was demoted, an operator.
        for fault in ["58030", "58000", "XX000", "XX001", "53100", "53200", "25006", "57014", "57P01", "26000", "40003"]
        {
            assert_eq!(postgres(fault), About::Server, "{fault}");
        }
        assert_eq!([postgres("40001"), postgres("40P01")], [About::Conflict; 2]);
        assert_eq!(postgres("55P03"), About::Lock);
        assert_eq!([postgres("42P01"), postgres("42501"), postgres("P0001")], [About::Statement; 3]);
        assert_eq!([postgres("ZZ999"), postgres("")], [About::Server; 2]);
    }

    #[test]
    fn a_lock_that_someone_holds_is_neither_an_outage_nor_a_refusal() {
        let is_locked = |about: About| matches!(about.error(String::new()), Error::Locked(_));
        assert!(["55P03", "40P01", "40001"].into_iter().all(|code| is_locked(postgres(code))));
        assert!([5, 6, 261, 517].into_iter().all(|code| is_locked(sqlite(code))));
        assert!(is_locked(mysql(1205, "HY000")) && is_locked(mysql(1213, "40001")));
        assert!(!is_locked(postgres("40003")) && !is_locked(postgres("57014")) && !is_locked(sqlite(10)));
    }

    #[test]
    fn sqlite_does_too() {
        // With the extended code of a unique key, and of a trigger that refuses.
        assert_eq!([sqlite(18), sqlite(19), sqlite(2067), sqlite(1811)], [About::Row; 4]);
        assert_eq!([sqlite(5), sqlite(6), sqlite(517)], [About::Lock; 3]);
        assert_eq!(sqlite(1), About::Statement);
        // A file that became read-only or was moved away, a full or failing disk, a broken file, no memory.
        for fault in [8, 1032, 10, 266, 13, 14, 11, 26, 7, 15, 17] {
            assert_eq!(sqlite(fault), About::Server, "{fault}");
        }
        assert_eq!(sqlite(200), About::Server);
    }

    #[test]
    fn mysql_does_too() {
        assert_eq!([mysql(1406, "22001"), mysql(1062, "23000"), mysql(1366, "HY000")], [About::Row; 3]);
        // Its class is that of a connection that broke; it speaks of one value that is too long.
        assert_eq!(mysql(1153, "08S01"), About::Row);
        assert_eq!([mysql(1205, "HY000"), mysql(1213, "40001")], [About::Lock, About::Conflict]);
        assert_eq!([mysql(1146, "42S02"), mysql(1644, "45000")], [About::Statement; 2]);
        for (number, sqlstate) in [(1045, "28000"), (1049, "42000"), (1040, "08004"), (1290, "HY000"), (1114, "HY000")]
        {
            assert_eq!(mysql(number, sqlstate), About::Server, "{number}");
        }
    }
}
