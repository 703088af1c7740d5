//! Why no index can find the events that a condition lets through: part by part, in words, and where.

use cel::common::ast::{Expr, IdedExpr, operators};

use super::conjunct::{Alternative, Conjunct, is_closed};
use super::evaluate::Node;
use super::parse::Parsed;

/// An alternative of a condition (what stands between `||`) for which no index can find events: it is evaluated for
/// each event of its tenant and type, once per distinct claim values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unindexed {
    /// Line within the condition's text, from 1.
    pub line: usize,
    /// Column within that line, in characters, from 1.
    pub column: usize,
    /// Of each of its conjuncts (what stands between `&&`), why it is no index key.
    pub why: Vec<&'static str>,
    /// Steps that an evaluation takes at least.
    pub steps: usize,
}

/// The alternatives without an index key, and why.
pub(super) fn unindexed(alternatives: &[Alternative], parsed: &Parsed) -> Box<[Unindexed]> {
    let mut trees = Vec::new();
    flatten(&parsed.tree, operators::LOGICAL_OR, &mut trees);
    let without = alternatives.iter().zip(trees).filter(|(alternative, _)| !alternative.is_indexed());
    without
        .map(|(alternative, tree)| {
            let at = parsed.begin(tree);
            let mut why: Vec<_> = alternative.conjuncts().map(Conjunct::node).map(why).collect();
            why.dedup();
            Unindexed { line: at.line, column: at.column, why, steps: alternative.steps() }
        })
        .collect()
}

fn flatten<'a>(tree: &'a IdedExpr, operator: &str, into: &mut Vec<&'a IdedExpr>) {
    match &tree.expr {
        Expr::Call(call) if call.func_name == operator => {
            call.args.iter().for_each(|part| flatten(part, operator, into));
        }
        _ => into.push(tree),
    }
}

/// The ids of a part and of all its parts that operators and calls are made of.
pub(super) fn ids(tree: &IdedExpr) -> Vec<u64> {
    let mut ids = vec![tree.id];
    match &tree.expr {
        Expr::Call(call) => {
            ids.extend(call.target.iter().flat_map(|target| self::ids(target)));
            ids.extend(call.args.iter().flat_map(self::ids));
        }
        Expr::Select(select) => ids.extend(self::ids(&select.operand)),
        Expr::Comprehension(comprehension) => ids.extend(self::ids(&comprehension.iter_range)),
        _ => {}
    }
    ids
}

/// Why a conjunct is no index key.
fn why(node: &Node) -> &'static str {
    match node {
        node if is_closed(node) => "reads nothing of the event",
        Node::Equal(true, one, other) if is_closed(one) || is_closed(other) => {
            "compares with what is no text, or compares what is worked out rather than read at a place"
        }
        Node::Equal(true, ..) => "compares two parts of the event with each other",
        Node::Equal(false, ..) | Node::Not(_) => "says which events not to take",
        Node::Order(..) => "compares by order",
        Node::In(_, list) if !is_closed(list) => "looks into a list of the event",
        Node::In(..) => "looks for what is worked out, or into a list that holds more than texts",
        Node::Or(..) => "is an || within &&: written as alternatives, a && c || b && c, it may be one",
        Node::Each(..) => "looks at each element of a list",
        Node::Has(..) | Node::HasHeader(_) => "asks only whether something is there",
        Node::Call(..) => "asks a function",
        _ => "is true or false by itself",
    }
}
