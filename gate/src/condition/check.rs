//! From CEL's syntax tree to a checked condition: every name is known, operators get what they can take as far as
//! that can be seen without an event, and nothing is left that could take unbounded time.

use std::collections::BTreeSet;

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators};

use super::evaluate::{Arithmetic, Function, Node, Order, Scope};
use super::parse::Parsed;
use super::value::Const;
use super::{BadCondition, Failure};

/// Parts that a condition may have.
const MAX_PARTS: usize = 256;
/// Parts within parts.
const MAX_DEPTH: usize = 48;
/// Comprehensions within comprehensions.
const MAX_COMPREHENSIONS: usize = 2;

const NAMES: &str = "event, headers, key, topic, claims, now";

/// Something outside of the event that a condition reads, the same for all events of a principal and topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outer {
    /// A claim, by the names from the outermost in.
    Claim(Box<[Box<str>]>),
    /// `has(claims.a.b)`: whether it is there.
    HasClaim(Box<[Box<str>]>),
    /// The logical topic.
    Topic,
}

/// A checked condition before it is cut into conjuncts.
pub(super) struct Checked {
    pub(super) node: Node,
    pub(super) outers: Vec<Outer>,
    pub(super) headers: BTreeSet<Box<str>>,
    /// It reads the time.
    pub(super) now: bool,
}

/// What can be said of a part's value without an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Any,
    Null,
    Bool,
    Number,
    Text,
    List,
    Time,
    Span,
}

type Part = Result<(Node, Kind), BadCondition>;

pub(super) fn check(parsed: &Parsed) -> Result<Checked, BadCondition> {
    let mut checker = Checker {
        parsed,
        outers: Vec::new(),
        headers: BTreeSet::new(),
        now: false,
        elements: Vec::new(),
        parts: 0,
        depth: 0,
    };
    let (node, kind) = checker.part(&parsed.tree)?;
    if !matches!(kind, Kind::Bool | Kind::Any) {
        return Err(parsed.bad(parsed.tree.id, format!("a condition must be true or false, not {}", kind.name())));
    }
    Ok(Checked { node, outers: checker.outers, headers: checker.headers, now: checker.now })
}

struct Checker<'a> {
    parsed: &'a Parsed,
    outers: Vec<Outer>,
    headers: BTreeSet<Box<str>>,
    now: bool,
    /// Names of the elements of the comprehensions around.
    elements: Vec<&'a str>,
    parts: usize,
    depth: usize,
}

impl<'a> Checker<'a> {
    fn bad<T>(&self, part: &IdedExpr, what: impl Into<String>) -> Result<T, BadCondition> {
        Err(self.parsed.bad(part.id, what))
    }

    fn part(&mut self, part: &'a IdedExpr) -> Part {
        self.parts += 1;
        self.depth += 1;
        if self.parts > MAX_PARTS {
            return self.bad(part, format!("has more than {MAX_PARTS} parts"));
        }
        if self.depth > MAX_DEPTH {
            return self.bad(part, "is nested too deeply");
        }
        let checked = self.kind_of_part(part);
        self.depth -= 1;
        checked
    }

    fn kind_of_part(&mut self, part: &'a IdedExpr) -> Part {
        match &part.expr {
            Expr::Literal(literal) => self.literal(part, literal),
            Expr::Ident(name) => self.name(part, name),
            Expr::Select(select) => self.select(part, &select.operand, &select.field, select.test),
            Expr::Call(call) => self.call(part, call),
            Expr::List(list) if list.optional_indices.is_empty() => {
                let items = list.elements.iter().map(|item| self.part(item)).collect::<Result<Vec<_>, _>>()?;
                let literal = |(node, _): &(Node, Kind)| match node {
                    Node::Literal(value) => Some(value.clone()),
                    _ => None,
                };
                Ok(match items.iter().map(literal).collect::<Option<Vec<_>>>() {
                    Some(values) => (Node::Literal(Const::List(values.into())), Kind::List),
                    None => (Node::List(items.into_iter().map(|(node, _)| node).collect()), Kind::List),
                })
            }
            Expr::Comprehension(comprehension) => self.comprehension(part, comprehension),
            Expr::Map(_) | Expr::Struct(_) => self.bad(part, "maps and messages can not be made in a condition"),
            Expr::List(_) | Expr::Unspecified => self.bad(part, "can not be used in a condition"),
        }
    }

    fn literal(&self, part: &IdedExpr, literal: &LiteralValue) -> Part {
        let (value, kind) = match literal {
            LiteralValue::Boolean(flag) => (Const::Bool(*flag.inner()), Kind::Bool),
            LiteralValue::Int(number) => (Const::Int((*number.inner()).into()), Kind::Number),
            LiteralValue::Double(number) if number.inner().is_finite() => {
                (Const::Double((*number.inner()).into()), Kind::Number)
            }
            LiteralValue::String(text) => (Const::Text(text.inner().into()), Kind::Text),
            LiteralValue::Null => (Const::Null, Kind::Null),
            LiteralValue::UInt(_) => return self.bad(part, "is written without u: JSON has one kind of whole numbers"),
            LiteralValue::Bytes(_) => return self.bad(part, "bytes can not be compared with anything in an event"),
            LiteralValue::Double(_) => return self.bad(part, "is too large a number"),
        };
        Ok((Node::Literal(value), kind))
    }

    fn name(&mut self, part: &IdedExpr, name: &str) -> Part {
        if let Some(at) = self.elements.iter().rposition(|known| *known == name) {
            return Ok((Node::Element(at), Kind::Any));
        }
        Ok(match name {
            "event" => (Node::Event, Kind::Any),
            "key" => (Node::Key, Kind::Any),
            "topic" => (self.outer(Outer::Topic), Kind::Text),
            "now" => {
                self.now = true;
                (Node::Now, Kind::Time)
            }
            "claims" => return self.bad(part, "claims are read one by one: claims.sub"),
            "headers" => return self.bad(part, "headers are read one by one: headers.region or headers[\"x-region\"]"),
            _ => return self.bad(part, format!("there is no {name:?} here, only {NAMES}")),
        })
    }

    fn outer(&mut self, outer: Outer) -> Node {
        let known = self.outers.iter().position(|known| *known == outer);
        Node::Constant(known.unwrap_or_else(|| {
            self.outers.push(outer);
            self.outers.len() - 1
        }))
    }

    /// `of.name`, `of["name"]` and `has(of.name)`.
    fn select(&mut self, part: &'a IdedExpr, of: &'a IdedExpr, name: &str, test: bool) -> Part {
        let kind = if test { Kind::Bool } else { Kind::Any };
        match &of.expr {
            Expr::Ident(of) if of == "claims" && !self.elements.contains(&"claims") => {
                let names: Box<[Box<str>]> = [name.into()].into();
                return Ok((self.outer(if test { Outer::HasClaim(names) } else { Outer::Claim(names) }), kind));
            }
            Expr::Ident(of) if of == "headers" && !self.elements.contains(&"headers") => {
                self.headers.insert(name.into());
                return Ok((if test { Node::HasHeader(name.into()) } else { Node::Header(name.into()) }, kind));
            }
            _ => {}
        }
        let (node, of_kind) = self.part(of)?;
        if of_kind != Kind::Any {
            return self.bad(part, format!("{} has no members", of_kind.name()));
        }
        // Claims are looked up whole, however deep.
        if let Node::Constant(at) = node
            && let Some(Outer::Claim(names)) = self.outers.get(at)
        {
            let names: Box<[Box<str>]> = names.iter().cloned().chain([name.into()]).collect();
            return Ok((self.outer(if test { Outer::HasClaim(names) } else { Outer::Claim(names) }), kind));
        }
        let (node, name) = (Box::new(node), name.into());
        Ok((if test { Node::Has(node, name) } else { Node::Select(node, name) }, kind))
    }

    fn call(&mut self, part: &'a IdedExpr, call: &'a CallExpr) -> Part {
        let mut arguments: Vec<&'a IdedExpr> = call.target.iter().map(|target| &**target).collect();
        arguments.extend(&call.args);
        match (&*call.func_name, &*arguments) {
            (operators::INDEX, &[of, at]) => self.index(part, of, at),
            (operators::CONDITIONAL, &[condition, yes, no]) => {
                let condition = self.flag(condition)?;
                let ((yes, one), (no, other)) = (self.part(yes)?, self.part(no)?);
                if one == Kind::List || other == Kind::List {
                    return self.bad(part, "? : can not choose between lists");
                }
                let kind = if one == other { one } else { Kind::Any };
                Ok((Node::If(Box::new([condition, yes, no])), kind))
            }
            (operators::LOGICAL_NOT, &[of]) => Ok((Node::Not(Box::new(self.flag(of)?)), Kind::Bool)),
            (operators::LOGICAL_AND, &[one, other]) => {
                Ok((Node::And(Box::new(self.flag(one)?), Box::new(self.flag(other)?)), Kind::Bool))
            }
            (operators::LOGICAL_OR, &[one, other]) => {
                Ok((Node::Or(Box::new(self.flag(one)?), Box::new(self.flag(other)?)), Kind::Bool))
            }
            (operators::NEGATE, &[of]) => {
                let (node, kind) = self.part(of)?;
                self.takes(part, "-", kind, &[Kind::Number, Kind::Span])?;
                Ok((Node::Negate(Box::new(node)), kind))
            }
            (operators::IN, &[one, list]) => {
                let ((one, kind), (list_node, list_kind)) = (self.single(one)?, self.part(list)?);
                self.takes(list, "the right side of in", list_kind, &[Kind::List])?;
                self.comparable_with_items(part, kind, &list_node)?;
                Ok((Node::In(Box::new(one), Box::new(list_node)), Kind::Bool))
            }
            (name, &[one, other]) if comparison(name).is_some() => self.comparison(part, name, one, other),
            (name, &[one, other]) if arithmetic(name).is_some() => self.arithmetic(part, name, one, other),
            (name, arguments) => self.function(part, name, call.target.is_some(), arguments),
        }
    }

    fn index(&mut self, part: &'a IdedExpr, of: &'a IdedExpr, at: &'a IdedExpr) -> Part {
        if let Expr::Literal(LiteralValue::String(name)) = &at.expr {
            return self.select(part, of, name.inner(), false);
        }
        let ((of_node, kind), (node, at_kind)) = (self.single(of)?, self.single(at)?);
        self.takes(part, "[ ]", kind, &[Kind::List])?;
        self.takes(at, "a place in a list or object", at_kind, &[Kind::Number, Kind::Text])?;
        Ok((Node::Index(Box::new(of_node), Box::new(node)), Kind::Any))
    }

    fn comparison(&mut self, part: &'a IdedExpr, name: &str, one: &'a IdedExpr, other: &'a IdedExpr) -> Part {
        let ((one, kind), (other, other_kind)) = (self.single(one)?, self.single(other)?);
        let known = kind != Kind::Any && other_kind != Kind::Any;
        if known && kind != other_kind {
            let text = format!("{} and {} can not be compared", kind.name(), other_kind.name());
            return self.bad(part, text);
        }
        let (one, other) = (Box::new(one), Box::new(other));
        let node = match comparison(name) {
            Some(Comparison::Equal(wanted)) => Node::Equal(wanted, one, other),
            Some(Comparison::Order(order)) => {
                for kind in [kind, other_kind] {
                    self.takes(
                        part,
                        "an order",
                        kind,
                        &[Kind::Bool, Kind::Number, Kind::Text, Kind::Time, Kind::Span],
                    )?;
                }
                Node::Order(order, one, other)
            }
            None => return self.bad(part, "can not be used in a condition"),
        };
        Ok((node, Kind::Bool))
    }

    fn arithmetic(&mut self, part: &'a IdedExpr, name: &str, one: &'a IdedExpr, other: &'a IdedExpr) -> Part {
        use Arithmetic::{Add, Subtract};
        let ((one, kind), (other, other_kind)) = (self.single(one)?, self.single(other)?);
        let Some(operator) = arithmetic(name) else { return self.bad(part, "can not be used in a condition") };
        let result = match (operator, kind, other_kind) {
            (_, Kind::Number, Kind::Number | Kind::Any) | (_, Kind::Any, Kind::Number) => Kind::Number,
            (Add, Kind::Text, Kind::Text | Kind::Any) | (Add, Kind::Any, Kind::Text) => Kind::Text,
            (Add | Subtract, Kind::Time, Kind::Span) | (Add, Kind::Span, Kind::Time) => Kind::Time,
            (Subtract, Kind::Time, Kind::Time) | (Add | Subtract, Kind::Span, Kind::Span) => Kind::Span,
            (_, Kind::Any, Kind::Any)
            | (Add | Subtract, Kind::Time | Kind::Span, Kind::Any)
            | (Add | Subtract, Kind::Any, Kind::Time | Kind::Span) => Kind::Any,
            _ => {
                let sign = name.trim_matches('_');
                let text = format!("{sign} can not take {} and {}", kind.name(), other_kind.name());
                return self.bad(part, text);
            }
        };
        Ok((Node::Arithmetic(operator, Box::new(one), Box::new(other)), result))
    }

    fn function(&mut self, part: &'a IdedExpr, name: &str, method: bool, arguments: &[&'a IdedExpr]) -> Part {
        let text = [Kind::Text].as_slice();
        let (function, takes, result): (_, &[&[Kind]], _) = match (name, method) {
            ("size", _) => (Function::Size, &[&[Kind::Text, Kind::List]], Kind::Number),
            ("startsWith", true) => (Function::StartsWith, &[text, text], Kind::Bool),
            ("endsWith", true) => (Function::EndsWith, &[text, text], Kind::Bool),
            ("contains", true) => (Function::Contains, &[text, text], Kind::Bool),
            ("timestamp", false) => (Function::Timestamp, &[&[Kind::Text, Kind::Number, Kind::Time]], Kind::Time),
            ("duration", false) => (Function::Duration, &[&[Kind::Text, Kind::Span]], Kind::Span),
            ("string", false) => (Function::Text, &[&[Kind::Text, Kind::Number, Kind::Bool]], Kind::Text),
            ("int", false) => (Function::Int, &[&[Kind::Text, Kind::Number, Kind::Time]], Kind::Number),
            ("matches", _) => {
                return self.bad(part, "regular expressions are not offered: use startsWith, endsWith or contains");
            }
            ("map" | "filter" | "exists_one", true) => {
                return self.bad(part, format!("{name} is not offered: use exists or all"));
            }
            _ => {
                let known = "size, startsWith, endsWith, contains, timestamp, duration, string, int, has, exists, all";
                return self.bad(part, format!("there is no function {name:?} here, only {known}"));
            }
        };
        if takes.len() != arguments.len() {
            let text = format!("{name} takes {} values, not {}", takes.len(), arguments.len());
            return self.bad(part, text);
        }
        let mut nodes = Vec::with_capacity(arguments.len());
        for (argument, takes) in arguments.iter().zip(takes) {
            let (node, kind) = self.single(argument)?;
            self.takes(argument, name, kind, takes)?;
            nodes.push(node);
        }
        let literal = nodes.iter().all(|node| matches!(node, Node::Literal(_)));
        let node = Node::Call(function, nodes.into());
        if literal && let Err(failure) = Scope::new(&[], None).constant(&node) {
            return self.bad(part, failure.to_string());
        }
        Ok((node, result))
    }

    fn comprehension(&mut self, part: &'a IdedExpr, comprehension: &'a ComprehensionExpr) -> Part {
        let ComprehensionExpr { iter_range, iter_var, iter_var2, accu_var, loop_step, result, .. } = comprehension;
        // The macros exists and all, as the parser unfolds them; the others make lists.
        let unfolded = match (&loop_step.expr, &result.expr) {
            (Expr::Call(step), Expr::Ident(result)) if result == accu_var && iter_var2.is_none() => {
                match (&*step.func_name, &*step.args) {
                    (operators::LOGICAL_AND, [accu, body]) if accu.expr == Expr::Ident(accu_var.clone()) => {
                        Some((true, body))
                    }
                    (operators::LOGICAL_OR, [accu, body]) if accu.expr == Expr::Ident(accu_var.clone()) => {
                        Some((false, body))
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        let Some((all, body)) = unfolded else {
            return self.bad(part, "only exists and all are offered: they make nothing that could grow");
        };
        if self.elements.len() >= MAX_COMPREHENSIONS {
            return self.bad(part, format!("more than {MAX_COMPREHENSIONS} levels of exists and all"));
        }
        let (list, kind) = self.single(iter_range)?;
        self.takes(iter_range, "exists and all", kind, &[Kind::List])?;
        self.elements.push(iter_var);
        let body = self.flag(body);
        self.elements.pop();
        Ok((Node::Each(all, Box::new(list), Box::new(body?)), Kind::Bool))
    }

    /// A part that must be true or false.
    fn flag(&mut self, part: &'a IdedExpr) -> Result<Node, BadCondition> {
        let (node, kind) = self.part(part)?;
        self.takes(part, "true or false is needed here: it", kind, &[Kind::Bool])?;
        Ok(node)
    }

    /// A part that is not a list of what is still to be worked out.
    fn single(&mut self, part: &'a IdedExpr) -> Part {
        let checked = self.part(part)?;
        if matches!(checked.0, Node::List(_)) {
            return self.bad(part, "a list with values of the event or of claims can stand to the right of in only");
        }
        Ok(checked)
    }

    fn takes(&self, part: &IdedExpr, what: &str, kind: Kind, takes: &[Kind]) -> Result<(), BadCondition> {
        if kind == Kind::Any || takes.contains(&kind) {
            return Ok(());
        }
        self.bad(part, format!("{what} can not take {}", kind.name()))
    }

    fn comparable_with_items(&self, part: &IdedExpr, kind: Kind, list: &Node) -> Result<(), BadCondition> {
        let Node::Literal(Const::List(items)) = list else { return Ok(()) };
        if kind != Kind::Any && !items.is_empty() && items.iter().all(|item| Kind::of(item) != kind) {
            return self.bad(part, format!("{} is never in this list", kind.name()));
        }
        Ok(())
    }
}

impl Kind {
    fn of(value: &Const) -> Self {
        match value {
            Const::Null => Self::Null,
            Const::Bool(_) => Self::Bool,
            Const::Int(_) | Const::Double(_) => Self::Number,
            Const::Text(_) => Self::Text,
            Const::List(_) => Self::List,
            Const::Map(_) => Self::Any,
            Const::Time(_) => Self::Time,
            Const::Span(_) => Self::Span,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Any => "any value",
            Self::Null => "null",
            Self::Bool => "true or false",
            Self::Number => "a number",
            Self::Text => "text",
            Self::List => "a list",
            Self::Time => "a time",
            Self::Span => "a duration",
        }
    }
}

enum Comparison {
    Equal(bool),
    Order(Order),
}

fn comparison(name: &str) -> Option<Comparison> {
    Some(match name {
        operators::EQUALS => Comparison::Equal(true),
        operators::NOT_EQUALS => Comparison::Equal(false),
        operators::LESS => Comparison::Order(Order::Less),
        operators::LESS_EQUALS => Comparison::Order(Order::LessOrEqual),
        operators::GREATER => Comparison::Order(Order::Greater),
        operators::GREATER_EQUALS => Comparison::Order(Order::GreaterOrEqual),
        _ => return None,
    })
}

fn arithmetic(name: &str) -> Option<Arithmetic> {
    Some(match name {
        operators::ADD => Arithmetic::Add,
        operators::SUBSTRACT => Arithmetic::Subtract,
        operators::MULTIPLY => Arithmetic::Multiply,
        operators::DIVIDE => Arithmetic::Divide,
        operators::MODULO => Arithmetic::Remainder,
        _ => return None,
    })
}

impl Outer {
    /// Its value for a principal's claims and a topic.
    pub(super) fn value(
        &self,
        claims: &serde_json::Map<String, serde_json::Value>,
        topic: &str,
    ) -> Result<Const, Failure> {
        let find = |names: &[Box<str>]| {
            let (first, rest) = names.split_first().ok_or(Failure::Missing)?;
            let mut value = claims.get(&**first).ok_or(Failure::Missing)?;
            for name in rest {
                value = value.as_object().ok_or(Failure::Type)?.get(&**name).ok_or(Failure::Missing)?;
            }
            Ok(value)
        };
        match self {
            Self::Topic => Ok(Const::Text(topic.into())),
            Self::Claim(names) => Const::of(find(names)?),
            Self::HasClaim(names) => match (find(names), names.len()) {
                (Ok(_), _) => Ok(Const::Bool(true)),
                (Err(_), 1) => Ok(Const::Bool(false)),
                (Err(failure), deep) => {
                    // Missing itself, or what it would be in.
                    let within = find(&names[..deep - 1])?;
                    if within.is_object() { Ok(Const::Bool(false)) } else { Err(failure) }
                }
            },
        }
    }
}

impl std::fmt::Display for Outer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Topic => f.write_str("topic"),
            Self::Claim(names) => write!(f, "claims.{}", names.join(".")),
            Self::HasClaim(names) => write!(f, "has(claims.{})", names.join(".")),
        }
    }
}
