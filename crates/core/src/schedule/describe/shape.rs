//! What a set of values looks like to a reader.

use std::fmt::Display;

use super::super::field::{Field, Unit};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Every value of the unit.
    All,
    /// A single one.
    One(u32),
    /// From `start` to the end of the unit in steps that divide it, so that it goes on evenly in the next round.
    Even { start: u32, step: u32 },
    /// From `start` to the end of the unit in steps that do not.
    Steps { start: u32, step: u32 },
    /// Three or more that follow each other, perhaps round the end.
    Run(u32, u32),
    /// Anything else, in order.
    Several(Vec<u32>),
}

pub(super) fn shape_of(unit: Unit, field: Field) -> Shape {
    let values = field.list();
    let (least, greatest) = unit.bounds();
    if field.is_all(unit) {
        return Shape::All;
    }
    if let [value] = values[..] {
        return Shape::One(value);
    }
    if let Some((first, last)) = run(unit, field) {
        return Shape::Run(first, last);
    }
    if let [start, second, ..] = values[..] {
        let step = second - start;
        let to_the_end = (start..=greatest).step_by(step as usize).eq(values.iter().copied());
        // Days of the month do not go on evenly, whatever the step: months differ.
        let even = (greatest - least + 1).is_multiple_of(step) && start - least < step && unit != Unit::DayOfMonth;
        match (to_the_end, even) {
            (true, true) => return Shape::Even { start, step },
            (true, false) if values.len() > 2 => return Shape::Steps { start, step },
            _ => {}
        }
    }
    Shape::Several(values)
}

/// The first and the last of values that follow each other round the unit's circle; days of the month have no circle
/// that a reader would know.
fn run(unit: Unit, field: Field) -> Option<(u32, u32)> {
    let (low, high) = unit.bounds();
    let size = high - low + 1;
    let has = |value: u32| field.values >> value & 1 == 1;
    let before = |value: u32| if value == low { high } else { value - 1 };
    let mut begins = (low..=high).filter(|value| has(*value) && !has(before(*value)));
    let (first, None) = (begins.next()?, begins.next()) else { return None };
    let length = field.values.count_ones();
    let last = (first - low + length - 1) % size + low;
    (length > 2 && (last > first || unit != Unit::DayOfMonth)).then_some((first, last))
}

/// "1", "1 and 2", "1, 2 and 3".
pub(super) fn list(items: &[impl Display]) -> String {
    match items {
        [] => String::new(),
        [only] => only.to_string(),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(ToString::to_string).collect();
            format!("{} and {last}", first.join(", "))
        }
    }
}
