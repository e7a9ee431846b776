//! Jobs that wait for each other, as far as one enqueue knows them.

use std::collections::HashMap;

use crate::JobId;

/// A circle among these edges (dependent, precondition), as the jobs on it in order, the first once more at its end; `None`
/// when there is none. Time and memory grow with the edges; no recursion, however deep the graph.
pub fn cycle(edges: impl IntoIterator<Item = (JobId, JobId)>) -> Option<Vec<JobId>> {
    let mut above: HashMap<JobId, Vec<JobId>> = HashMap::new();
    for (dependent, precondition) in edges {
        above.entry(dependent).or_default().push(precondition);
    }
    // The path that is being walked, each job with how many of its preconditions have been looked at.
    let mut path: Vec<(JobId, usize)> = Vec::new();
    let mut on_path: HashMap<JobId, bool> = HashMap::new();
    let mut starts: Vec<JobId> = above.keys().copied().collect();
    starts.sort_unstable();
    for start in starts {
        if on_path.contains_key(&start) {
            continue;
        }
        path.push((start, 0));
        on_path.insert(start, true);
        while let Some((job, looked)) = path.last_mut() {
            let Some(&next) = above.get(job).and_then(|all| all.get(*looked)) else {
                on_path.insert(*job, false);
                path.pop();
                continue;
            };
            *looked += 1;
            match on_path.get(&next) {
                Some(true) => return Some(circle(&path, next)),
                Some(false) => {}
                None => {
                    on_path.insert(next, true);
                    path.push((next, 0));
                }
            }
        }
    }
    None
}

fn circle(path: &[(JobId, usize)], again: JobId) -> Vec<JobId> {
    path.iter().map(|(job, _)| *job).skip_while(|job| *job != again).chain([again]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn job(number: u128) -> JobId {
        JobId(Uuid::from_u128(number))
    }

    fn edges(pairs: &[(u128, u128)]) -> Vec<(JobId, JobId)> {
        pairs.iter().map(|&(dependent, precondition)| (job(dependent), job(precondition))).collect()
    }

    #[test]
    fn a_diamond_is_no_circle() {
        assert_eq!(cycle(edges(&[(4, 2), (4, 3), (2, 1), (3, 1)])), None);
    }

    #[test]
    fn a_circle_is_told_in_order() {
        assert_eq!(cycle(edges(&[(9, 1), (1, 2), (2, 3), (3, 1)])), Some([1, 2, 3, 1].map(job).to_vec()));
        assert_eq!(cycle(edges(&[(5, 5)])), Some([5, 5].map(job).to_vec()));
    }

    #[test]
    fn a_chain_of_a_hundred_thousand_needs_no_deep_stack() {
        let chain = (0..100_000_u128).map(|number| (job(number + 1), job(number)));
        assert_eq!(cycle(chain.clone()), None);
        assert_eq!(cycle(chain.chain([(job(0), job(100_000))])).map(|circle| circle.len()), Some(100_002));
    }

    proptest! {
        #[test]
        fn edges_that_all_lead_to_earlier_jobs_make_no_circle(pairs in prop::collection::vec((0_u128..30, 0_u128..30), 0..60)) {
            let down = pairs.iter().filter(|(one, other)| one > other).copied().collect::<Vec<_>>();
            prop_assert_eq!(cycle(edges(&down)), None);
        }

        #[test]
        fn what_is_called_a_circle_is_one(pairs in prop::collection::vec((0_u128..8, 0_u128..8), 0..20)) {
            let all = edges(&pairs);
            if let Some(circle) = cycle(all.clone()) {
                prop_assert_eq!(circle.first(), circle.last());
                prop_assert!(circle.windows(2).all(|pair| all.contains(&(pair[0], pair[1]))));
            }
        }
    }
}
