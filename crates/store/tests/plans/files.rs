//! The SQL files of a database, as they lie in their folder: a new one is looked at without being listed anywhere.

use std::path::PathBuf;

use gristmill_store::Dialect;

/// One verb's file.
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl File {
    /// Asked before there are tables, or of all of them.
    pub(crate) fn is_of_migrations(&self) -> bool {
        self.name.starts_with("schema_")
    }

    /// Whether its head says of any table that it reads all of it.
    pub(crate) fn reads_all_of_something(&self) -> bool {
        self.text.contains("-- Reads all of ")
    }

    /// Whether its head says that it reads all of a table, and why that is no more than it should.
    pub(crate) fn reads_all_of(&self, table: &str) -> bool {
        self.text.contains(&format!("-- Reads all of {table}:"))
    }

    /// Its statements.
    pub(crate) fn statements(&self) -> impl Iterator<Item = &str> {
        self.text.split(";\n\n").map(str::trim).filter(|statement| !statement.is_empty())
    }
}

/// All of them, in order of their names.
pub(crate) struct Files(pub(crate) Vec<File>);

impl Files {
    pub(crate) fn of(dialect: Dialect) -> Self {
        // With the parts that they name.
        let folder = PathBuf::from(env!("OUT_DIR")).join("sql").join(dialect.name());
        let mut files: Vec<File> = std::fs::read_dir(folder)
            .expect("the folder of SQL files")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
            .map(|path| File {
                name: path.file_stem().expect("a name").to_string_lossy().into_owned(),
                text: std::fs::read_to_string(&path).expect("a text"),
            })
            .collect();
        files.sort_by(|one, other| one.name.cmp(&other.name));
        Self(files)
    }
}
