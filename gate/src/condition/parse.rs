//! From text to CEL's syntax tree, by the `cel` crate, kept from what would overflow its stack.

use cel::common::ast::{IdedExpr, SourceInfo};
use cel::parser::Parser;

use super::{BadCondition, MAX_BYTES};

/// Brackets within brackets.
const MAX_NESTING: usize = 12;
/// Operators that nest to the right.
const MAX_OPERATORS: usize = 24;
/// The generated parser takes more than 100 KiB of stack a level; it has a thread of its own.
const STACK: usize = 32 << 20;

/// A syntax tree and where its parts stand.
pub(super) struct Parsed {
    pub(super) tree: IdedExpr,
    source: String,
    places: SourceInfo,
}

impl Parsed {
    /// That something is wrong with a part.
    pub(super) fn bad(&self, part: u64, what: impl Into<String>) -> BadCondition {
        let (start, _) = self.places.offset_for(part).unwrap_or_default();
        at(&self.source, start as usize, what)
    }
}

impl Parsed {
    /// Where a part begins.
    pub(super) fn begin(&self, part: &IdedExpr) -> BadCondition {
        let first = super::unindexed::ids(part).into_iter().filter_map(|id| self.places.offset_for(id)).min();
        at(&self.source, first.unwrap_or_default().0 as usize, "")
    }
}

pub(super) fn parse(source: &str) -> Result<Parsed, BadCondition> {
    bounded(source)?;
    let owned = source.to_owned();
    let run = move || Parser::new().parse_with_source_info(&owned).map_err(|bad| first(&owned, &bad));
    let thread = std::thread::Builder::new().name("condition".to_owned()).stack_size(STACK).spawn(run);
    let joined = thread.map_err(|bad| at(source, 0, format!("can not be parsed: {bad}")))?.join();
    let (tree, places) = joined.map_err(|_| at(source, 0, "can not be parsed"))??;
    Ok(Parsed { tree, source: source.to_owned(), places })
}

/// The generated parser recurses, and so does what follows it: the depth is bounded before. Text within quotes
/// counts too, which can only refuse more.
fn bounded(source: &str) -> Result<(), BadCondition> {
    if source.len() > MAX_BYTES {
        return Err(at(source, 0, format!("has {} bytes; at most {MAX_BYTES} are allowed", source.len())));
    }
    let (mut open, mut operators, mut signs) = (0usize, 0, 0);
    for (position, c) in source.chars().enumerate() {
        match c {
            '(' | '[' | '{' => open += 1,
            ')' | ']' | '}' => open = open.saturating_sub(1),
            '?' => operators += 1,
            '!' | '-' => signs += 1,
            // Only signs without anything between them nest.
            c if !c.is_whitespace() => signs = 0,
            _ => {}
        }
        if open > MAX_NESTING || operators > MAX_OPERATORS || signs > MAX_OPERATORS {
            return Err(at(source, position, "is nested too deeply"));
        }
    }
    Ok(())
}

/// Of the errors that follow from one slip, the first says it best.
fn first(source: &str, bad: &cel::ParseErrors) -> BadCondition {
    let Some(error) = bad.errors.iter().min_by_key(|error| error.pos) else {
        return at(source, 0, "can not be parsed");
    };
    // What else the grammar would take is a list of two dozen tokens.
    let what = error.msg.split(" expecting {").next().unwrap_or_default().to_owned();
    let positive = |number: isize| usize::try_from(number).unwrap_or(1).max(1);
    BadCondition { line: positive(error.pos.0), column: positive(error.pos.1), what }
}

/// An error at a position in characters.
pub(super) fn at(source: &str, position: usize, what: impl Into<String>) -> BadCondition {
    let before: String = source.chars().take(position).collect();
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    BadCondition { line, column, what: what.into() }
}
