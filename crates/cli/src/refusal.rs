//! What a database says to who is not let in, and for good.

/// What a server or a pooler before it says when it lets nobody in like this. A pooler says most of it with the same
/// SQLSTATE as what passes, so the words decide.
const REFUSALS: [&str; 12] = [
    "file is not a database",
    "authentication failed",
    "no pg_hba.conf entry",
    "pg_hba.conf rejects",
    "no such user",
    "no such database",
    "does not exist",
    "permission denied to set role",
    "startup parameter",
    "does not support TLS",
    "requires a valid client certificate",
    "invalid peer certificate",
];

pub(crate) fn is_for_good(why: &str) -> bool {
    REFUSALS.iter().any(|words| why.contains(words))
}

/// With what to do about it.
pub(crate) fn sentence(why: &str) -> String {
    let why = why.trim_start_matches("database unavailable: ").trim_start_matches("error returned from database: ");
    let next = if why.contains("startup parameter") {
        "a worker's session needs these settings, so give the worker a database alias that leads to the server itself"
    } else if why.ends_with("no encryption") {
        "the server wants TLS: set 'sslmode' in OPTIONS of DATABASES to 'require', or to 'verify-full' with its root"
    } else {
        "correct the DATABASES setting or the server's, and start the worker again"
    };
    format!("the database does not let the worker in: {why}; {next}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waiting_cannot_mend_is_told_from_what_it_can() {
        for why in [
            "error returned from database: password authentication failed for user \"shop\"",
            "error returned from database: database \"shop\" does not exist",
            "error returned from database: unsupported startup parameter: options",
            "error returned from database: (code: 26) file is not a database",
            "error returned from database: no such database: shop",
            "error occurred while attempting to establish a TLS connection: invalid peer certificate: UnknownIssuer",
            "error returned from database: pg_hba.conf rejects connection for host \"10.0.0.9\", no encryption",
        ] {
            assert!(is_for_good(why), "{why}");
            assert!(!sentence(why).contains("error returned"), "{why}");
        }
        for why in [
            "error communicating with database: Connection refused (os error 111)",
            "error returned from database: the database system is starting up",
            "error returned from database: sorry, too many clients already",
            "error returned from database: database \"shop\" is not currently accepting connections",
            "error returned from database: server login has been failing, cached error: connect failed",
        ] {
            assert!(!is_for_good(why), "{why}");
        }
    }
}
