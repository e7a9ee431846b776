//! What a plan of PostgreSQL's that has run says of how much it read.

use gristmill_store::Bind;
use serde_json::Value;

use crate::files::File;

/// Rows that one node may look at beside those that it was asked for: what a question has made, and a gate or two more.
const FEW: f64 = 300.0;
/// Rows that one node may look at for each that the statement was given.
const EACH: f64 = 20.0;
/// Probes that the planner counts on for a list whose length it does not know. A web process's session may read a table
/// whole that has fewer pages: it counts these when it plans, which no statistics say.
const PROBES: f64 = 100.0;
/// Pages that one statement may touch for each that it was given: its probes go down an index in a dozen tables, and its
/// inserts in all of their indexes.
const PAGES_EACH: f64 = 200.0;
const PAGES: f64 = 1_500.0;

/// How many things a statement is given to do: all elements of the lists among its binds.
pub(crate) fn given(binds: &[Bind<'_>]) -> usize {
    let lists = binds.iter().filter_map(|bind| match bind {
        Bind::Text(text) => serde_json::from_str::<Vec<Value>>(text).ok(),
        _ => None,
    });
    lists.map(|list| list.len()).sum::<usize>().max(1)
}

/// The JSON form of EXPLAIN (ANALYZE, BUFFERS).
pub(crate) struct Plan(Value);

impl Plan {
    pub(crate) fn of(json: &str) -> Self {
        let mut plans: Value = serde_json::from_str(json).expect("EXPLAIN gives JSON");
        Self(plans[0]["Plan"].take())
    }

    /// Where it reads more than it should, given so many things to do.
    pub(crate) fn complaints(&self, file: &File, batch: usize) -> Vec<String> {
        // What it gives or changes is part of what it was asked for: so many cursors, so many jobs up to a limit.
        #[expect(clippy::cast_precision_loss, reason = "some hundreds")]
        let mut batch = (batch as f64).max(number(&self.0, "Actual Rows"));
        walk(&self.0, &mut |node| {
            if node["Node Type"] == "ModifyTable" {
                batch = batch.max(number(node, "Actual Rows"));
            }
        });
        let mut complaints = Vec::new();
        walk(&self.0, &mut |node| {
            let table = node["Relation Name"].as_str().unwrap_or_default();
            let is_small = node["Node Type"] == "Seq Scan" && pages(node) <= PROBES + batch;
            let examined = if file.reads_all_of_something() { examined_at_once(node) } else { examined(node) };
            let allowed = is_small || (file.reads_all_of_something() && table.is_empty()) || file.reads_all_of(table);
            if examined > FEW + EACH * batch && !allowed {
                complaints.push(format!(
                    "{} {} {table}{} looks at {examined} rows",
                    node["Subplan Name"].as_str().unwrap_or_default(),
                    node["Node Type"].as_str().unwrap_or_default(),
                    node["CTE Name"].as_str().unwrap_or_default(),
                ));
            }
        });
        let pages = pages(&self.0);
        if pages > PAGES + PAGES_EACH * batch && !file.reads_all_of_something() {
            complaints.push(format!("it touches {pages} pages"));
        }
        complaints
    }
}

fn walk(node: &Value, look: &mut impl FnMut(&Value)) {
    look(node);
    for below in node["Plans"].as_array().into_iter().flatten() {
        walk(below, look);
    }
}

/// Rows that a node looked at in all its loops.
fn examined(node: &Value) -> f64 {
    examined_at_once(node) * number(node, "Actual Loops")
}

/// Pages that a node and those below it touched.
fn pages(node: &Value) -> f64 {
    number(node, "Shared Hit Blocks") + number(node, "Shared Read Blocks")
}

/// Rows that a node looked at in one loop, those that it threw away included: of what reads all of a table and probes
/// others for each of its rows, this is what a probe costs.
fn examined_at_once(node: &Value) -> f64 {
    let parts =
        ["Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter", "Rows Removed by Index Recheck"];
    parts.iter().map(|part| number(node, part)).sum()
}

fn number(node: &Value, name: &str) -> f64 {
    node[name].as_f64().unwrap_or(0.0)
}
