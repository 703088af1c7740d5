//! The value of a condition's part, as CEL defines it: `false && failure` is false, values of different kinds
//! are not equal, what is missing fails. In a bounded number of steps.

use std::cell::{Cell, RefCell};
use std::cmp::Ordering;

use tidegate_protocol::{json, timestamp};

use super::Failure;
use super::value::{Const, Val};
use crate::content::{Content, Header};

/// Steps that one evaluation may take: a part's value, an element of a list, or 256 bytes that are passed over:
/// a few milliseconds at the very most.
/// Counted as if nothing had been parsed before, so that a decision does not depend on what was decided earlier.
pub(super) const MAX_STEPS: usize = 100_000;

/// A checked part of a condition.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    /// A value that does not depend on the event: of a claim, or worked out from claims once per principal.
    Constant(usize),
    Literal(Const),
    /// The whole event.
    Event,
    Key,
    Header(Box<str>),
    HasHeader(Box<str>),
    Now,
    /// The element of a list, counted from the outermost comprehension.
    Element(usize),
    Select(Box<Node>, Box<str>),
    Has(Box<Node>, Box<str>),
    Index(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    If(Box<[Node; 3]>),
    /// Equal, or with `false` not equal.
    Equal(bool, Box<Node>, Box<Node>),
    Order(Order, Box<Node>, Box<Node>),
    In(Box<Node>, Box<Node>),
    /// Only to the right of `in`.
    List(Box<[Node]>),
    Arithmetic(Arithmetic, Box<Node>, Box<Node>),
    Call(Function, Box<[Node]>),
    /// `exists`, or with `true` `all`: the list, and what is asked of each element.
    Each(bool, Box<Node>, Box<Node>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Size,
    StartsWith,
    EndsWith,
    Contains,
    Timestamp,
    Duration,
    Text,
    Int,
}

/// What the parts of one evaluation share.
pub(super) struct Scope<'c, 'e> {
    constants: &'c [Result<Const, Failure>],
    content: Option<&'c Content<'e>>,
    elements: RefCell<Vec<Val<'c, 'e>>>,
    steps: Cell<usize>,
}

type Value<'c, 'e> = Result<Val<'c, 'e>, Failure>;

impl<'c, 'e> Scope<'c, 'e> {
    pub(super) fn new(constants: &'c [Result<Const, Failure>], content: Option<&'c Content<'e>>) -> Self {
        Self { constants, content, elements: RefCell::default(), steps: Cell::new(0) }
    }

    /// The value of what reads nothing of an event, to keep.
    pub(super) fn constant(&self, node: &'c Node) -> Result<Const, Failure> {
        match node {
            Node::List(items) => {
                Ok(Const::List(items.iter().map(|item| self.constant(item)).collect::<Result<_, _>>()?))
            }
            _ => self.value(node)?.into_const(),
        }
    }

    /// Whether it holds.
    pub(super) fn holds(&self, node: &'c Node) -> Result<bool, Failure> {
        self.value(node)?.flag()
    }

    fn step(&self, steps: usize) -> Result<(), Failure> {
        self.steps.set(self.steps.get().saturating_add(steps));
        if self.steps.get() > MAX_STEPS { Err(Failure::Steps) } else { Ok(()) }
    }

    /// Passing over so much JSON.
    fn pass(&self, text: &str) -> Result<(), Failure> {
        self.step(1 + text.len() / 256)
    }

    fn content(&self) -> Result<&'c Content<'e>, Failure> {
        self.content.ok_or(Failure::Unavailable)
    }

    pub(super) fn value(&self, node: &'c Node) -> Value<'c, 'e> {
        self.step(1)?;
        match node {
            Node::Constant(at) => match self.constants.get(*at) {
                Some(Ok(value)) => Ok(value.val()),
                Some(Err(failure)) => Err(*failure),
                None => Err(Failure::Unavailable),
            },
            Node::Literal(value) => Ok(value.val()),
            Node::Event => Val::of_json(self.content()?.event()),
            Node::Key => Ok(self.content()?.key().map_or(Val::Null, |key| Val::Text(key.into()))),
            Node::Header(name) => match self.content()?.header(name) {
                Header::Missing => Err(Failure::Missing),
                Header::Null => Ok(Val::Null),
                Header::Value(bytes) => {
                    std::str::from_utf8(bytes).map(|text| Val::Text(text.into())).map_err(|_| Failure::Unreadable)
                }
            },
            Node::HasHeader(name) => Ok(Val::Bool(self.content()?.header(name) != Header::Missing)),
            Node::Now => Ok(Val::Time(self.content()?.now())),
            Node::Element(at) => self.elements.borrow().get(*at).cloned().ok_or(Failure::Unavailable),
            Node::Select(of, name) => self.member(&self.value(of)?, name)?.ok_or(Failure::Missing),
            Node::Has(of, name) => Ok(Val::Bool(self.member(&self.value(of)?, name)?.is_some())),
            Node::Index(of, at) => self.index(&self.value(of)?, &self.value(at)?),
            Node::Not(of) => Ok(Val::Bool(!self.holds(of)?)),
            Node::Negate(of) => match self.value(of)? {
                Val::Int(number) => whole(number.checked_neg()),
                Val::Double(number) => Ok(Val::Double(-number)),
                Val::Span(length) => length.checked_neg().map(Val::Span).ok_or(Failure::Number),
                _ => Err(Failure::Type),
            },
            Node::And(one, other) => self.either(one, other, false),
            Node::Or(one, other) => self.either(one, other, true),
            Node::If(parts) => {
                let [condition, yes, no] = &**parts;
                self.value(if self.holds(condition)? { yes } else { no })
            }
            Node::Equal(wanted, one, other) => {
                let equal = self.equal(&self.value(one)?, &self.value(other)?)?;
                Ok(Val::Bool(equal == *wanted))
            }
            Node::Order(order, one, other) => {
                let compared = self.value(one)?.compare(&self.value(other)?)?;
                Ok(Val::Bool(compared.is_some_and(|compared| order.admits(compared))))
            }
            Node::In(one, list) => self.contains(one, list),
            Node::List(_) => Err(Failure::Type),
            Node::Arithmetic(operator, one, other) => arithmetic(*operator, self.value(one)?, self.value(other)?),
            Node::Call(function, arguments) => self.call(*function, arguments),
            Node::Each(all, list, body) => self.each(*all, list, body),
        }
    }

    /// `&&` and `||`: what decides, decides whatever the other side is; a failure stands if nothing decides.
    fn either(&self, one: &'c Node, other: &'c Node, decisive: bool) -> Value<'c, 'e> {
        let first = self.holds(one);
        if first == Ok(decisive) {
            return Ok(Val::Bool(decisive));
        }
        match (first, self.holds(other)) {
            (_, Ok(second)) if second == decisive => Ok(Val::Bool(decisive)),
            (Err(failure), _) | (_, Err(failure)) => Err(failure),
            _ => Ok(Val::Bool(!decisive)),
        }
    }

    fn equal(&self, one: &Val<'c, 'e>, other: &Val<'c, 'e>) -> Result<bool, Failure> {
        for side in [one, other] {
            match side {
                Val::Json(text) => self.pass(text)?,
                Val::Text(text) => self.pass(text)?,
                _ => {}
            }
        }
        one.equals(other)
    }

    fn member(&self, of: &Val<'c, 'e>, name: &str) -> Result<Option<Val<'c, 'e>>, Failure> {
        match of {
            Val::Json(text) if text.starts_with('{') => {
                self.pass(text)?;
                self.content()?.member(text, name)?.map(Val::of_json).transpose()
            }
            Val::Const(Const::Map(members)) => Ok(members.get(name).map(Const::val)),
            _ => Err(Failure::Type),
        }
    }

    fn index(&self, of: &Val<'c, 'e>, at: &Val<'c, 'e>) -> Value<'c, 'e> {
        if let Some(name) = at.text() {
            return self.member(of, name)?.ok_or(Failure::Missing);
        }
        let Val::Int(at) = at else { return Err(Failure::Type) };
        let at = usize::try_from(*at).map_err(|_| Failure::Missing)?;
        match of {
            Val::Json(text) if text.starts_with('[') => {
                self.elements_of(text)?.get(at).map_or(Err(Failure::Missing), |item| Val::of_json(item))
            }
            Val::Const(Const::List(items)) => items.get(at).map(Const::val).ok_or(Failure::Missing),
            _ => Err(Failure::Type),
        }
    }

    fn elements_of(&self, text: &'e str) -> Result<Vec<&'e str>, Failure> {
        self.pass(text)?;
        let mut found = Vec::new();
        json::elements(text, &mut found).map_err(|_| Failure::Unreadable)?;
        self.step(found.len())?;
        Ok(found)
    }

    /// The elements of a list.
    fn items(&self, list: &Val<'c, 'e>) -> Result<Vec<Value<'c, 'e>>, Failure> {
        match list {
            Val::Json(text) if text.starts_with('[') => {
                Ok(self.elements_of(text)?.into_iter().map(Val::of_json).collect())
            }
            Val::Const(Const::List(items)) => {
                self.step(items.len())?;
                Ok(items.iter().map(|item| Ok(item.val())).collect())
            }
            _ => Err(Failure::Type),
        }
    }

    fn contains(&self, one: &'c Node, list: &'c Node) -> Value<'c, 'e> {
        let one = self.value(one)?;
        let items = if let Node::List(items) = list {
            // A list is made before it is looked into: an element that can not be had fails it, as in CEL itself.
            items.iter().map(|item| self.value(item).map(Ok)).collect::<Result<_, _>>()?
        } else {
            match self.value(list)? {
                members @ (Val::Const(Const::Map(_)) | Val::Json(_)) if !is_list(&members) => {
                    let name = one.text().ok_or(Failure::Type)?;
                    return Ok(Val::Bool(self.member(&members, name)?.is_some()));
                }
                list => self.items(&list)?,
            }
        };
        let mut failed = None;
        for item in items {
            match item.and_then(|item| self.equal(&one, &item)) {
                Ok(true) => return Ok(Val::Bool(true)),
                Ok(false) => {}
                Err(failure) => failed = Some(failure),
            }
        }
        failed.map_or(Ok(Val::Bool(false)), Err)
    }

    fn each(&self, all: bool, list: &'c Node, body: &'c Node) -> Value<'c, 'e> {
        let items = self.items(&self.value(list)?)?;
        let mut failed = None;
        for item in items {
            let holds = item.and_then(|item| {
                self.elements.borrow_mut().push(item);
                let holds = self.holds(body);
                self.elements.borrow_mut().pop();
                holds
            });
            match holds {
                Ok(holds) if holds != all => return Ok(Val::Bool(!all)),
                Ok(_) => {}
                // Nothing else is to be had any more.
                Err(Failure::Steps) => return Err(Failure::Steps),
                Err(failure) => failed = Some(failure),
            }
        }
        failed.map_or(Ok(Val::Bool(all)), Err)
    }

    fn call(&self, function: Function, arguments: &'c [Node]) -> Value<'c, 'e> {
        let mut values = arguments.iter().map(|argument| self.value(argument));
        let first = values.next().ok_or(Failure::Type)??;
        let with = |test: fn(&str, &str) -> bool, second: Option<Value<'c, 'e>>| {
            let second = second.ok_or(Failure::Type)??;
            let (Some(text), Some(part)) = (first.text(), second.text()) else { return Err(Failure::Type) };
            self.step((text.len() + part.len()) / 256)?;
            Ok(Val::Bool(test(text, part)))
        };
        match function {
            Function::StartsWith => with(|text, part| text.starts_with(part), values.next()),
            Function::EndsWith => with(|text, part| text.ends_with(part), values.next()),
            Function::Contains => with(|text, part| text.contains(part), values.next()),
            Function::Size => self.size(&first),
            Function::Timestamp => match (&first, first.text()) {
                (_, Some(text)) => timestamp::parse(text).map(Val::Time).ok_or(Failure::Unreadable),
                (Val::Int(seconds), _) => {
                    let millis = i64::try_from(*seconds).ok().and_then(|seconds| seconds.checked_mul(1000));
                    millis.map(Val::Time).ok_or(Failure::Number)
                }
                (Val::Time(at), _) => Ok(Val::Time(*at)),
                _ => Err(Failure::Type),
            },
            Function::Duration => match (&first, first.text()) {
                (_, Some(text)) => duration(text).map(Val::Span).ok_or(Failure::Unreadable),
                (Val::Span(length), _) => Ok(Val::Span(*length)),
                _ => Err(Failure::Type),
            },
            Function::Text => match first {
                Val::Int(number) => Ok(Val::Text(number.to_string().into())),
                Val::Bool(flag) => Ok(Val::Text(if flag { "true" } else { "false" }.into())),
                text if text.text().is_some() => Ok(text),
                _ => Err(Failure::Type),
            },
            Function::Int => match (&first, first.text()) {
                (_, Some(text)) => text.parse::<i64>().map(|n| Val::Int(n.into())).map_err(|_| Failure::Unreadable),
                (Val::Int(number), _) => whole(Some(*number)),
                (Val::Time(at), _) => Ok(Val::Int(at.div_euclid(1000).into())),
                _ => Err(Failure::Type),
            },
        }
    }

    fn size(&self, of: &Val<'c, 'e>) -> Value<'c, 'e> {
        let size = match (of, of.text()) {
            (_, Some(text)) => {
                self.pass(text)?;
                text.chars().count()
            }
            (Val::Const(Const::Map(members)), _) => members.len(),
            (Val::Json(text), _) if text.starts_with('{') => {
                self.pass(text)?;
                self.content()?.count(text)?
            }
            (Val::Json(text), _) => self.elements_of(text)?.len(),
            (Val::Const(Const::List(items)), _) => items.len(),
            _ => return Err(Failure::Type),
        };
        Ok(Val::Int(size as i128))
    }
}

fn is_list(value: &Val<'_, '_>) -> bool {
    match value {
        Val::Json(text) => text.starts_with('['),
        Val::Const(Const::List(_)) => true,
        _ => false,
    }
}

impl Order {
    fn admits(self, compared: Ordering) -> bool {
        match self {
            Self::Less => compared.is_lt(),
            Self::LessOrEqual => compared.is_le(),
            Self::Greater => compared.is_gt(),
            Self::GreaterOrEqual => compared.is_ge(),
        }
    }
}

fn arithmetic<'c, 'e>(operator: Arithmetic, one: Val<'c, 'e>, other: Val<'c, 'e>) -> Value<'c, 'e> {
    use Arithmetic::{Add, Divide, Multiply, Remainder, Subtract};
    if let (Add, Some(one), Some(other)) = (operator, one.text(), other.text()) {
        return Ok(Val::Text(format!("{one}{other}").into()));
    }
    match (operator, one, other) {
        (Add, Val::Int(one), Val::Int(other)) => whole(one.checked_add(other)),
        (Subtract, Val::Int(one), Val::Int(other)) => whole(one.checked_sub(other)),
        (Multiply, Val::Int(one), Val::Int(other)) => whole(one.checked_mul(other)),
        (Divide, Val::Int(one), Val::Int(other)) => whole(one.checked_div(other)),
        (Remainder, Val::Int(one), Val::Int(other)) => whole(one.checked_rem(other)),
        (Add, Val::Double(one), Val::Double(other)) => Ok(Val::Double(one + other)),
        (Subtract, Val::Double(one), Val::Double(other)) => Ok(Val::Double(one - other)),
        (Multiply, Val::Double(one), Val::Double(other)) => Ok(Val::Double(one * other)),
        (Divide, Val::Double(one), Val::Double(other)) => Ok(Val::Double(one / other)),
        (Add, Val::Time(at), Val::Span(by)) | (Add, Val::Span(by), Val::Time(at)) => {
            at.checked_add(by).map(Val::Time).ok_or(Failure::Number)
        }
        (Subtract, Val::Time(at), Val::Span(by)) => at.checked_sub(by).map(Val::Time).ok_or(Failure::Number),
        (Subtract, Val::Time(at), Val::Time(from)) => at.checked_sub(from).map(Val::Span).ok_or(Failure::Number),
        (Add, Val::Span(one), Val::Span(by)) => one.checked_add(by).map(Val::Span).ok_or(Failure::Number),
        (Subtract, Val::Span(one), Val::Span(by)) => one.checked_sub(by).map(Val::Span).ok_or(Failure::Number),
        _ => Err(Failure::Type),
    }
}

/// Whole numbers that are worked out stay within 64 bits, as CEL's do.
fn whole<'c, 'e>(number: Option<i128>) -> Value<'c, 'e> {
    number.filter(|number| i64::try_from(*number).is_ok()).map(Val::Int).ok_or(Failure::Number)
}

/// `1h30m`, `90s`, `-5m`, `250ms`: in milliseconds.
fn duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    if rest.is_empty() {
        return None;
    }
    let mut millis = 0i64;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number: i64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let worth = match &rest[..unit] {
            "h" => 3_600_000,
            "m" => 60_000,
            "s" => 1000,
            "ms" => 1,
            _ => return None,
        };
        rest = &rest[unit..];
        millis = millis.checked_add(number.checked_mul(worth)?)?;
    }
    Some(if negative { -millis } else { millis })
}
