//! The SQL of a verb: one file of its name for each dialect, as `build.rs` has put it together.
//!
//! A file of several statements, or one whose answer is packed, says so in its first line: `-- statements: 5, packed`.
//! A file without such a line is one statement, whose rows are what it answers.

use std::sync::LazyLock;

use crate::Dialect;

/// One verb's SQL.
pub struct Sql {
    name: &'static str,
}

impl Sql {
    pub(crate) const fn named(name: &'static str) -> Self {
        Self { name }
    }

    /// Its file for that dialect.
    pub(crate) fn file(&self, dialect: Dialect) -> &'static File {
        self.file_if_any(dialect).unwrap_or_else(|| panic!("there is no {}/{}.sql", dialect.name(), self.name))
    }

    /// Its file for that dialect, where the dialect has a use for it.
    pub(crate) fn file_if_any(&self, dialect: Dialect) -> Option<&'static File> {
        file(dialect, self.name)
    }
}

/// The file of that name, if the dialect has one.
pub(crate) fn file(dialect: Dialect, name: &str) -> Option<&'static File> {
    let found = FILES.binary_search_by(|file| (file.dialect, file.name).cmp(&(dialect.name(), name)));
    found.ok().map(|position| &FILES[position])
}

/// One file of SQL, with the parts that it names.
pub(crate) struct File {
    dialect: &'static str,
    name: &'static str,
    pub(crate) text: &'static str,
    /// How many statements it is; several need a transaction around them.
    pub(crate) statements: usize,
    /// It answers all its rows in one, as a JSON list of lists. On SQLite the driver wakes a thread for each row, which
    /// costs a busy worker more than the row itself.
    pub(crate) is_packed: bool,
}

impl File {
    /// Its statements, in order.
    pub(crate) fn split(&self) -> Vec<&'static str> {
        split(self.text)
    }
}

static FILES: LazyLock<Vec<File>> = LazyLock::new(|| {
    let files: &[(&str, &str, &str)] = include!(concat!(env!("OUT_DIR"), "/files.rs"));
    let of = |&(dialect, name, text)| {
        let (statements, is_packed) = head(text);
        File { dialect, name, text, statements, is_packed }
    };
    let mut files: Vec<File> = files.iter().map(of).collect();
    files.sort_by_key(|file| (file.dialect, file.name));
    files
});

/// What the first line declares: how many statements there are, and whether the answer is packed.
fn head(text: &str) -> (usize, bool) {
    let Some(said) = text.strip_prefix("-- statements: ").and_then(|rest| rest.lines().next()) else {
        return (1, false);
    };
    let (number, packed) = said.split_once(", packed").map_or((said, false), |(number, _)| (number, true));
    (number.parse().unwrap_or_else(|_| panic!("{said:?} is no number of statements")), packed)
}

/// A file's statements: where it declares several, each ends with a semicolon and an empty line.
pub(crate) fn split(text: &'static str) -> Vec<&'static str> {
    match head(text).0 {
        1 => vec![text],
        _ => text.split(";\n\n").map(str::trim).filter(|statement| !statement.is_empty()).collect(),
    }
}

/// The SQL files named after a verb; of those dialects alone that have a use for it where `some` says so.
macro_rules! sql {
    ($name:literal) => {
        $crate::statement::Sql::named($name)
    };
    (some: $name:literal) => {
        $crate::statement::Sql::named($name)
    };
}
pub(crate) use sql;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_as_many_statements_as_it_declares() {
        for file in &*FILES {
            let found = file.text.split(";\n\n").filter(|statement| !statement.trim().is_empty()).count();
            assert_eq!(found, file.statements, "{}/{}.sql", file.dialect, file.name);
        }
    }

    #[test]
    fn every_packed_answer_is_declared() {
        for file in &*FILES {
            assert_eq!(file.text.contains(" as packed\n"), file.is_packed, "{}/{}.sql", file.dialect, file.name);
        }
    }

    #[test]
    fn no_part_stays_named() {
        for file in &*FILES {
            let code = file.text.lines().filter(|line| !line.trim_start().starts_with("--"));
            let named = |line: &str| line.split('{').skip(1).any(|rest| rest.starts_with(char::is_alphabetic));
            assert!(!code.clone().any(named), "{}/{}.sql", file.dialect, file.name);
        }
    }
}
