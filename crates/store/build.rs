//! Embeds the SQL: each folder of `sql/` that has migrations is a dialect. A file may name a part, which stands once in
//! `parts/`, its own folder's or that of all dialects, or is another file beside it: `{place}` is the text of
//! `parts/place.sql`, and `{job.place}` that list of columns, each of `job`. Python's `dialects.py` does the same.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=sql");
    let sql = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo says")).join("sql");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo says"));
    let mut listed = String::from("&[\n");
    for folder in entries(&sql).iter().filter(|folder| folder.join("migrations").is_dir()) {
        let dialect = stem(folder);
        let mut parts = texts(&sql.join("parts"));
        parts.extend(texts(folder));
        parts.extend(texts(&folder.join("parts")));
        for (prefix, folder) in [("", folder.clone()), ("migrations/", folder.join("migrations"))] {
            for (name, text) in texts(&folder) {
                // Migrations name no parts: what has been applied stays what it was.
                let text = if prefix.is_empty() { expanded(&text, &parts) } else { text };
                let path = out.join("sql").join(&dialect).join(format!("{prefix}{name}.sql"));
                fs::create_dir_all(path.parent().expect("it has one")).expect("makes the folder");
                fs::write(&path, text).expect("writes the file");
                let path = path.to_str().expect("a path of text");
                writeln!(listed, "    ({dialect:?}, \"{prefix}{name}\", include_str!({path:?})),").expect("is text");
            }
        }
    }
    listed.push(']');
    fs::write(out.join("files.rs"), listed).expect("writes the list");
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(found) = fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = found.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("a name").to_string_lossy().into_owned()
}

/// The SQL files of a folder by their names.
fn texts(folder: &Path) -> BTreeMap<String, String> {
    let files = entries(folder).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "sql"));
    files.map(|path| (stem(&path), fs::read_to_string(&path).expect("a text"))).collect()
}

/// A file with the parts that it names, each as far in as it is named. What a comment says in braces is no part.
fn expanded(text: &str, parts: &BTreeMap<String, String>) -> String {
    let mut whole = String::new();
    for line in text.split_inclusive('\n') {
        let code = line.trim_start();
        let indent = &line[..line.len() - code.len()];
        let mut rest = if code.starts_with("--") { "" } else { line };
        let mut done = if code.starts_with("--") { line.to_owned() } else { String::new() };
        while let Some((before, (alias, part), after)) = first_part(rest, parts) {
            let columns = if alias.is_empty() { part } else { of_alias(&part, alias) };
            done += before;
            done += &columns.replace('\n', &format!("\n{indent}"));
            rest = after;
        }
        whole += &done;
        whole += rest;
    }
    whole
}

/// The first part that a line names: what stands before it, whose columns and which, what stands after it.
fn first_part<'a>(line: &'a str, parts: &BTreeMap<String, String>) -> Option<(&'a str, (&'a str, String), &'a str)> {
    line.match_indices('{').find_map(|(start, _)| {
        let end = start + line[start..].find('}')?;
        let named = &line[start + 1..end];
        let (alias, name) = named.split_once('.').unwrap_or(("", named));
        let part = expanded(&bare(parts.get(name)?), parts);
        Some((&line[..start], (alias, part), &line[end + 1..]))
    })
}

/// A part without its head, and without what ends its last statement.
fn bare(part: &str) -> String {
    let head: usize = part.split_inclusive('\n').take_while(|line| line.starts_with("--")).map(str::len).sum();
    part[head..].trim().trim_end_matches(';').to_owned()
}

fn of_alias(columns: &str, alias: &str) -> String {
    columns.split(", ").map(|column| format!("{alias}.{column}")).collect::<Vec<_>>().join(", ")
}
