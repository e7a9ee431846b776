//! A runner and its zygote speak of a fork independently of each other.

use super::fake::{Fake, claim};

#[test]
fn an_attempt_names_its_process_though_its_runner_was_faster_than_the_word_of_its_fork() {
    let mut fake = Fake::start(1, |_| {});
    fake.dies(0, false);
    let runner = fake.fork_unsaid();
    let key = fake.start_job(claim("sync"));
    fake.runners[runner].runs(key);
    fake.runners[runner].returns(key);
    assert_eq!(fake.ended().runner_pid, Some(std::process::id()));
}
