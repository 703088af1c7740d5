//! Conditions as a plain tree: drawn by chance, and written as CEL for the bridge. What they mean is in `judge`.

use std::fmt;

use super::chance::Chance;

/// A value that a condition reads.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    Event(&'static [&'static str]),
    Header(&'static str),
    Key,
    Topic,
    Claim(&'static [&'static str]),
    Text(&'static str),
    Int(i64),
    Double(f64),
    Bool(bool),
    Null,
    /// The element of the list that is gone through.
    Element,
    Size(Box<Term>),
    /// `event.data.list[n]`
    Item(i64),
    /// `"text" + claim`
    Joined(&'static str, &'static [&'static str]),
}

/// What `in` looks into.
#[derive(Debug, Clone)]
pub enum Items {
    Of(Term),
    Listed(Vec<Term>),
}

#[derive(Debug, Clone)]
pub enum Cond {
    Is(bool),
    /// A value that must itself be true or false.
    Flag(Term),
    /// Equal, or with `false` not equal.
    Equal(bool, Term, Term),
    /// `<`, `<=`, `>`, `>=`
    Order(&'static str, Term, Term),
    In(Term, Items),
    Has(Term),
    /// `startsWith`, `endsWith`, `contains`
    Test(&'static str, Term, Term),
    /// `now < timestamp(…)`
    Before(Term),
    /// `now - timestamp(…) < duration("…m")`
    Fresh(Term, i64),
    /// `exists`, or with `true` `all`, of the elements of a list.
    Each(bool, Term, Box<Cond>),
    Not(Box<Cond>),
    And(Box<Cond>, Box<Cond>),
    Or(Box<Cond>, Box<Cond>),
    If(Box<Cond>, Box<Cond>, Box<Cond>),
}

const PLACES: [Term; 12] = [
    Term::Event(&["data", "user"]),
    Term::Event(&["data", "user"]),
    Term::Event(&["data", "user"]),
    Term::Event(&["data", "n"]),
    Term::Event(&["data", "deep", "x"]),
    Term::Event(&["data"]),
    Term::Event(&["a"]),
    Term::Event(&["type"]),
    Term::Event(&["tenant_id"]),
    Term::Key,
    Term::Key,
    Term::Header("region"),
];

const CLOSED: [Term; 16] = [
    Term::Claim(&["sub"]),
    Term::Claim(&["sub"]),
    Term::Claim(&["sub"]),
    Term::Claim(&["n"]),
    Term::Claim(&["org", "id"]),
    Term::Claim(&["missing"]),
    Term::Claim(&["tenant"]),
    Term::Joined("order/", &["sub"]),
    Term::Text("ada"),
    Term::Text("eu"),
    Term::Text("acme"),
    Term::Topic,
    Term::Int(1),
    Term::Double(1.5),
    Term::Bool(true),
    Term::Null,
];

const LISTS: [Term; 5] = [
    Term::Claim(&["teams"]),
    Term::Claim(&["teams"]),
    Term::Claim(&["mixed"]),
    Term::Claim(&["missing"]),
    Term::Event(&["data", "list"]),
];

const ASKED: [Term; 7] = [
    Term::Event(&["a"]),
    Term::Event(&["data", "user"]),
    Term::Event(&["data", "deep", "x"]),
    Term::Event(&["requester"]),
    Term::Header("region"),
    Term::Claim(&["n"]),
    Term::Claim(&["org", "id"]),
];

const TIMES: [Term; 4] =
    [Term::Event(&["timestamp"]), Term::Claim(&["until"]), Term::Event(&["data", "n"]), Term::Event(&["data", "due"])];

/// Draws a condition, at most `depth` operators deep.
pub fn draw(chance: &mut Chance, depth: usize) -> Cond {
    if depth > 0 && chance.once_in(2) {
        let mut part = || Box::new(draw(&mut *chance, depth - 1));
        let (one, other, third) = (part(), part(), part());
        return match chance.below(8) {
            0..=2 => Cond::And(one, other),
            3..=5 => Cond::Or(one, other),
            6 => Cond::Not(one),
            _ => Cond::If(one, other, third),
        };
    }
    let place = chance.pick(&PLACES).clone();
    let closed = chance.pick(&CLOSED).clone();
    match chance.below(24) {
        0..=7 => Cond::Equal(true, place, closed),
        8 => Cond::Equal(true, closed, place),
        9 => Cond::Equal(false, place, closed),
        10..=12 => Cond::In(place, items(chance)),
        13 => Cond::Order(chance.word(&["<", "<=", ">", ">="]), place, closed),
        14 => Cond::Has(chance.pick(&ASKED).clone()),
        15 => Cond::Flag(Term::Event(&["data", "flag"])),
        16 => {
            let part = chance.pick(&[Term::Text("a"), Term::Claim(&["sub"]), Term::Text("")]).clone();
            Cond::Test(chance.word(&["startsWith", "endsWith", "contains"]), place, part)
        }
        17 => Cond::Before(chance.pick(&TIMES).clone()),
        18 => Cond::Fresh(chance.pick(&TIMES).clone(), *chance.pick(&[1, 60])),
        19 => {
            let body = Box::new(Cond::Equal(chance.once_in(2), Term::Element, closed));
            Cond::Each(chance.once_in(2), chance.pick(&LISTS).clone(), body)
        }
        20 => Cond::Order(">", Term::Size(Box::new(place)), Term::Int(1)),
        21 => Cond::Equal(true, Term::Item(chance.below(2) as i64), closed),
        22 => Cond::Equal(true, place, chance.pick(&PLACES).clone()),
        _ => Cond::Is(chance.once_in(2)),
    }
}

fn items(chance: &mut Chance) -> Items {
    if chance.once_in(2) {
        return Items::Of(chance.pick(&LISTS).clone());
    }
    let count = 1 + chance.below(2);
    let term = |chance: &mut Chance| chance.pick(&[&CLOSED[..], &PLACES[..4]].concat()).clone();
    Items::Listed((0..count).map(|_| term(chance)).collect())
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event(names) => write!(f, "event.{}", names.join(".")),
            Self::Header(name) => write!(f, "headers.{name}"),
            Self::Key => f.write_str("key"),
            Self::Topic => f.write_str("topic"),
            Self::Claim(names) => write!(f, "claims.{}", names.join(".")),
            Self::Text(text) => write!(f, "\"{text}\""),
            Self::Int(number) => write!(f, "{number}"),
            Self::Double(number) => write!(f, "{number:?}"),
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Null => f.write_str("null"),
            Self::Element => f.write_str("e"),
            Self::Size(of) => write!(f, "size({of})"),
            Self::Item(at) => write!(f, "event.data.list[{at}]"),
            Self::Joined(text, names) => write!(f, "\"{text}\" + claims.{}", names.join(".")),
        }
    }
}

impl fmt::Display for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(term) => write!(f, "{term}"),
            Self::Listed(terms) => {
                write!(f, "[{}]", terms.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
            }
        }
    }
}

impl fmt::Display for Cond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(holds) => write!(f, "{holds}"),
            Self::Flag(term) => write!(f, "{term}"),
            Self::Equal(true, one, other) => write!(f, "{one} == {other}"),
            Self::Equal(false, one, other) => write!(f, "{one} != {other}"),
            Self::Order(sign, one, other) => write!(f, "{one} {sign} {other}"),
            Self::In(one, items) => write!(f, "{one} in {items}"),
            Self::Has(term) => write!(f, "has({term})"),
            Self::Test(function, one, other) => write!(f, "{one}.{function}({other})"),
            Self::Before(term) => write!(f, "now < timestamp({term})"),
            Self::Fresh(term, minutes) => write!(f, "now - timestamp({term}) < duration(\"{minutes}m\")"),
            Self::Each(false, list, body) => write!(f, "{list}.exists(e, {body})"),
            Self::Each(true, list, body) => write!(f, "{list}.all(e, {body})"),
            Self::Not(of) => write!(f, "!({of})"),
            Self::And(one, other) => write!(f, "({one} && {other})"),
            Self::Or(one, other) => write!(f, "({one} || {other})"),
            Self::If(condition, yes, no) => write!(f, "(({condition}) ? ({yes}) : ({no}))"),
        }
    }
}
