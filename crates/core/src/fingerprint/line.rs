//! The line that tells an error, and what of it differs from job to job.

/// A normalised line is cut after so many characters.
pub const MOST_OF_A_LINE: usize = 200;
/// Characters of a line that are looked at: what is longer has said what it is by then.
const MOST_READ: usize = 1_000;
/// What stands where something has been taken out.
const TAKEN_OUT: char = '…';
/// Words of so many characters, with so many digits among them, are ids whatever alphabet they are written in.
const LONG_WORD: usize = 16;
const DIGITS_OF_AN_ID: usize = 2;
/// Fewer hexadecimal digits may be a word.
const LONG_HEX: usize = 8;
/// Hexadecimal digits between the dashes of a UUID.
const UUID: [usize; 5] = [8, 4, 4, 4, 12];

/// The line of a traceback that names its exception and begins its message; the last line that says something where
/// none names it, as in a text that was cut.
pub(super) fn of_error<'a>(traceback: &'a str, class: &str) -> &'a str {
    // Python leaves these two modules out.
    let shown = ["builtins.", "__main__."].iter().find_map(|module| class.strip_prefix(module)).unwrap_or(class);
    let names_it = |line: &&str| {
        let rest = if shown.is_empty() { None } else { line.strip_prefix(shown) };
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
    };
    // Those of a group stand behind bars.
    let lines = || traceback.lines().rev().map(|line| line.trim_start_matches([' ', '|', '+', '-']).trim_end());
    lines().find(names_it).or_else(|| lines().find(|line| !line.is_empty())).unwrap_or("")
}

/// A line with what differs between two failures of one cause taken out: what stands in quotes, numbers, ids, addresses.
/// At most [`MOST_OF_A_LINE`] characters.
pub fn normalised(line: &str) -> String {
    let line: Vec<char> = line.trim().chars().take(MOST_READ).collect();
    let mut normal = String::new();
    let mut at = 0;
    while let Some(&char) = line.get(at) {
        let begins = at == 0 || !is_of_word(line[at - 1]);
        let taken = if begins { quoted(&line[at..]).or_else(|| id(&line[at..])) } else { None };
        if let Some(length) = taken.or_else(|| number(&line[at..])) {
            normal.push(TAKEN_OUT);
            at += length;
            continue;
        }
        if char.is_whitespace() {
            if !normal.ends_with(' ') {
                normal.push(' ');
            }
        } else {
            normal.push(char);
        }
        at += 1;
    }
    normal.chars().take(MOST_OF_A_LINE).collect()
}

/// How long the text in quotes is that begins here; a quote that nobody closes is none.
fn quoted(rest: &[char]) -> Option<usize> {
    let quote = *rest.first().filter(|char| matches!(char, '\'' | '"' | '`'))?;
    let mut at = 1;
    while let Some(&char) = rest.get(at) {
        match char {
            '\\' => at += 2,
            _ if char == quote => return Some(at + 1),
            _ => at += 1,
        }
    }
    None
}

/// How long the id or address is that begins here, where a word begins.
fn id(rest: &[char]) -> Option<usize> {
    uuid(rest).or_else(|| mail_address(rest)).or_else(|| {
        let word = &rest[..length_while(rest, is_of_word)];
        let digits = word.iter().filter(|char| char.is_ascii_digit()).count();
        let is_hex = |word: &[char]| !word.is_empty() && word.iter().all(char::is_ascii_hexdigit);
        let is_id = matches!(word, ['0', 'x' | 'X', hex @ ..] if is_hex(hex))
            || (is_hex(word) && digits > 0 && word.len() >= LONG_HEX)
            || (word.len() >= LONG_WORD && digits >= DIGITS_OF_AN_ID);
        is_id.then_some(word.len())
    })
}

fn uuid(rest: &[char]) -> Option<usize> {
    let mut at = 0;
    for (number, length) in UUID.into_iter().enumerate() {
        if number > 0 {
            rest.get(at).filter(|char| **char == '-')?;
            at += 1;
        }
        rest.get(at..at + length).filter(|part| part.iter().all(char::is_ascii_hexdigit))?;
        at += length;
    }
    rest.get(at).is_none_or(|char| !is_of_word(*char)).then_some(at)
}

fn mail_address(rest: &[char]) -> Option<usize> {
    let is_of_address = |char: char| is_of_word(char) || matches!(char, '.' | '+' | '-');
    let local = length_while(rest, is_of_address);
    rest.get(local).filter(|char| local > 0 && **char == '@')?;
    let domain = &rest[local + 1..][..length_while(&rest[local + 1..], is_of_address)];
    // A sentence may end behind it.
    let domain = domain.iter().rposition(|char| is_of_word(*char))?;
    Some(local + 1 + domain + 1)
}

/// How long the number is that begins here: digits, in groups or with a fraction, of a date or a time.
fn number(rest: &[char]) -> Option<usize> {
    let is_digit = |char: char| char.is_ascii_digit();
    let mut length = length_while(rest, is_digit);
    if length == 0 {
        return None;
    }
    while matches!(rest.get(length), Some('.' | ',' | ':')) {
        match length_while(&rest[length + 1..], is_digit) {
            0 => break,
            more => length += 1 + more,
        }
    }
    Some(length)
}

fn length_while(rest: &[char], is: impl Fn(char) -> bool) -> usize {
    rest.iter().take_while(|char| is(**char)).count()
}

fn is_of_word(char: char) -> bool {
    char.is_alphanumeric() || char == '_'
}
