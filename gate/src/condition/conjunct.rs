//! Conditions cut into alternatives of conjuncts, bound to a principal's claims, and decided.
//!
//! What reads nothing of the event is *closed*: worked out once per principal, and kept in a slot. A conjunct that
//! compares a place in the event with a closed value is *keyed*: where that value is text (or a list of texts), the
//! comparison is an index key, and says the same as its evaluation would. Where it is anything else, it is evaluated.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::check::Outer;
use super::evaluate::{Node, Scope};
use super::value::Const;
use super::{Condition, Failure};
use crate::Principal;
use crate::content::{Extracted, Path};
use crate::decision::Facts;
use crate::rule::IndexKey;

/// What a condition or a part of it says of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Holds,
    Not,
    Failed(Failure),
}

/// Conjuncts, all of which must hold. Keyed ones come first.
#[derive(Debug)]
pub(super) struct Alternative(Box<[Conjunct]>);

#[derive(Debug)]
pub(super) struct Conjunct {
    node: Node,
    key: Option<Keyed>,
}

/// What makes a conjunct an index key.
#[derive(Debug)]
struct Keyed {
    path: Path,
    /// The slot of the value or the list that the path is compared with.
    slot: usize,
    /// One of a list, rather than the value itself.
    one_of: bool,
    /// Its place among the condition's keyed conjuncts.
    at: usize,
    /// Whether the value comes from claims: such a key tells principals apart.
    personal: bool,
}

/// Sorted, without repeats.
type Texts = Box<[Arc<str>]>;

/// A condition with the values that one principal's claims give it. Equal ones let the same events through.
#[derive(Debug, Clone)]
pub(crate) struct Bound(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    condition: Arc<Condition>,
    slots: Box<[Result<Const, Failure>]>,
    /// Of each keyed conjunct, the texts that its path is compared with; `None` where it must be evaluated.
    keys: Box<[Option<Texts>]>,
    /// The alternatives that can hold for some event at all.
    possible: Box<[usize]>,
}

/// Cuts a checked condition: its alternatives, what goes into slots, and how many keyed conjuncts there are.
pub(super) fn cut(node: Node) -> (Box<[Alternative]>, Box<[Node]>, usize) {
    let mut cutter = Cutter { slots: Vec::new(), keys: 0 };
    let mut alternatives = Vec::new();
    flatten(node, &mut alternatives, &|node| match node {
        Node::Or(one, other) => Ok((*one, *other)),
        node => Err(node),
    });
    let alternatives = alternatives.into_iter().map(|node| cutter.alternative(node)).collect();
    (alternatives, cutter.slots.into(), cutter.keys)
}

fn flatten(node: Node, into: &mut Vec<Node>, split: &dyn Fn(Node) -> Result<(Node, Node), Node>) {
    match split(node) {
        Ok((one, other)) => {
            flatten(one, into, split);
            flatten(other, into, split);
        }
        Err(node) => into.push(node),
    }
}

struct Cutter {
    slots: Vec<Node>,
    keys: usize,
}

impl Cutter {
    fn alternative(&mut self, node: Node) -> Alternative {
        let mut parts = Vec::new();
        flatten(node, &mut parts, &|node| match node {
            Node::And(one, other) => Ok((*one, *other)),
            node => Err(node),
        });
        let mut conjuncts: Vec<_> = parts.into_iter().map(|part| self.conjunct(part)).collect();
        conjuncts.sort_by_key(|conjunct| conjunct.key.is_none());
        Alternative(conjuncts.into())
    }

    fn conjunct(&mut self, node: Node) -> Conjunct {
        let sides = match &node {
            Node::Equal(true, one, other) if is_closed(other) => path_of(one).zip(Some((is_personal(other), false))),
            Node::Equal(true, one, other) if is_closed(one) => path_of(other).zip(Some((is_personal(one), false))),
            Node::In(one, list) if is_closed(list) => path_of(one).zip(Some((is_personal(list), true))),
            _ => None,
        };
        // What is compared with a number is evaluated: of it there is no index.
        let sides = sides.filter(|_| !parts(&node).into_iter().any(is_no_text));
        let node = self.close(node);
        let slot = match (&node, &sides) {
            (Node::Equal(_, one, other) | Node::In(one, other), Some(_)) => match (&**one, &**other) {
                (_, Node::Constant(slot)) | (Node::Constant(slot), _) => Some(*slot),
                _ => None,
            },
            _ => None,
        };
        let key = sides.zip(slot).map(|((path, (personal, one_of)), slot)| {
            self.keys += 1;
            Keyed { path, slot, one_of, at: self.keys - 1, personal }
        });
        Conjunct { node, key }
    }

    /// Puts what is closed into slots.
    fn close(&mut self, node: Node) -> Node {
        if is_closed(&node) {
            let known = self.slots.iter().position(|slot| *slot == node);
            return Node::Constant(known.unwrap_or_else(|| {
                self.slots.push(node);
                self.slots.len() - 1
            }));
        }
        let mut close = |node: Box<Node>| Box::new(self.close(*node));
        match node {
            Node::Select(of, name) => Node::Select(close(of), name),
            Node::Has(of, name) => Node::Has(close(of), name),
            Node::Index(of, at) => Node::Index(close(of), close(at)),
            Node::Not(of) => Node::Not(close(of)),
            Node::Negate(of) => Node::Negate(close(of)),
            Node::And(one, other) => Node::And(close(one), close(other)),
            Node::Or(one, other) => Node::Or(close(one), close(other)),
            Node::If(parts) => Node::If(Box::new(parts.map(|part| self.close(part)))),
            Node::Equal(wanted, one, other) => Node::Equal(wanted, close(one), close(other)),
            Node::Order(order, one, other) => Node::Order(order, close(one), close(other)),
            Node::In(one, list) => Node::In(close(one), close(list)),
            Node::List(items) => Node::List(items.into_iter().map(|item| self.close(item)).collect()),
            Node::Arithmetic(operator, one, other) => Node::Arithmetic(operator, close(one), close(other)),
            Node::Call(function, of) => Node::Call(function, of.into_iter().map(|of| self.close(of)).collect()),
            Node::Each(all, list, body) => Node::Each(all, close(list), close(body)),
            leaf => leaf,
        }
    }
}

/// The parts of a part.
fn parts(node: &Node) -> Vec<&Node> {
    match node {
        Node::Select(of, _) | Node::Has(of, _) | Node::Not(of) | Node::Negate(of) => vec![of],
        Node::Index(one, other)
        | Node::And(one, other)
        | Node::Or(one, other)
        | Node::Equal(_, one, other)
        | Node::Order(_, one, other)
        | Node::In(one, other)
        | Node::Arithmetic(_, one, other)
        | Node::Each(_, one, other) => vec![one, other],
        Node::If(parts) => parts.iter().collect(),
        Node::List(parts) | Node::Call(_, parts) => parts.iter().collect(),
        _ => Vec::new(),
    }
}

/// Whether it has the same value for every event.
pub(super) fn is_closed(node: &Node) -> bool {
    match node {
        // Of a comprehension the body reads an element; what else is closed in it still is.
        Node::Event
        | Node::Key
        | Node::Header(_)
        | Node::HasHeader(_)
        | Node::Now
        | Node::Element(_)
        | Node::Each(..) => false,
        _ => parts(node).into_iter().all(is_closed),
    }
}

/// Whether it is written out, and neither text nor a list of texts.
fn is_no_text(node: &Node) -> bool {
    match node {
        Node::Literal(Const::List(items)) => !items.iter().all(|item| matches!(item, Const::Text(_))),
        Node::Literal(value) => !matches!(value, Const::Text(_)),
        _ => false,
    }
}

fn is_personal(node: &Node) -> bool {
    matches!(node, Node::Constant(_)) || parts(node).into_iter().any(is_personal)
}

fn size(node: &Node) -> usize {
    1 + parts(node).into_iter().map(size).sum::<usize>()
}

/// The place in the event that a part reads, if that is all it does.
fn path_of(node: &Node) -> Option<Path> {
    match node {
        Node::Key => return Some(Path::key()),
        Node::Header(name) => return Some(Path::header(name)),
        _ => {}
    }
    let mut names = Vec::new();
    let mut node = node;
    while let Node::Select(of, name) = node {
        names.push(name.clone());
        node = of;
    }
    names.reverse();
    (*node == Node::Event && !names.is_empty()).then(|| Path::event(names))
}

fn places(node: &Node, into: &mut Vec<Path>) {
    match path_of(node) {
        Some(path) if into.contains(&path) => {}
        Some(path) => into.push(path),
        None => parts(node).into_iter().for_each(|part| places(part, into)),
    }
}

impl Alternative {
    pub(super) fn conjuncts(&self) -> impl Iterator<Item = &Conjunct> {
        self.0.iter()
    }

    pub(super) fn is_indexed(&self) -> bool {
        self.0.iter().any(|conjunct| conjunct.key.is_some())
    }

    pub(super) fn steps(&self) -> usize {
        self.0.iter().map(|conjunct| size(&conjunct.node)).sum()
    }
}

impl Conjunct {
    pub(super) fn node(&self) -> &Node {
        &self.node
    }

    /// Every place in the event that it reads.
    pub(super) fn places(&self, into: &mut Vec<Path>) {
        places(&self.node, into);
    }

    pub(super) fn path(&self) -> Option<&Path> {
        self.key.as_ref().map(|key| &key.path)
    }
}

impl Bound {
    /// The condition for this principal and topic; `None` if it can hold for no event, whatever it says.
    pub(crate) fn new(condition: &Arc<Condition>, principal: &Principal, topic: &str) -> Option<Self> {
        let bound = Self::of(condition, principal, topic);
        (!bound.0.possible.is_empty()).then_some(bound)
    }

    /// Like [`Bound::new`], also for those that can not hold.
    pub(crate) fn of(condition: &Arc<Condition>, principal: &Principal, topic: &str) -> Self {
        let outers = outers(condition, principal, topic);
        // A budget for each: what a token can hold is bounded by its size.
        let slots: Box<[_]> = condition.closed.iter().map(|node| Scope::new(&outers, None).constant(node)).collect();
        let mut keys: Vec<Option<Texts>> = vec![None; condition.keys];
        for key in condition.conjuncts().filter_map(|conjunct| conjunct.key.as_ref()) {
            keys[key.at] = texts(&slots[key.slot], key.one_of);
        }
        let possible = |alternative: &Alternative| {
            alternative.0.iter().all(|conjunct| match (&conjunct.key, &conjunct.node) {
                (Some(key), _) => {
                    slots[key.slot].is_ok() && keys[key.at].as_ref().is_none_or(|texts| !texts.is_empty())
                }
                (None, Node::Constant(slot)) => slots[*slot] == Ok(Const::Bool(true)),
                (None, _) => true,
            })
        };
        let alternatives = condition.alternatives.iter().enumerate();
        let possible = alternatives.filter(|(_, alternative)| possible(alternative)).map(|(at, _)| at).collect();
        Self(Arc::new(Inner { condition: Arc::clone(condition), slots, keys: keys.into(), possible }))
    }

    /// The condition that was bound.
    pub(crate) fn condition(&self) -> &Arc<Condition> {
        &self.0.condition
    }

    /// Whether it holds for every event, as far as can be seen without one.
    pub(crate) fn is_always(&self) -> bool {
        let always = |alternative: &Alternative| {
            alternative.0.iter().all(|conjunct| matches!(&conjunct.node, Node::Constant(_)))
        };
        self.possible().any(always)
    }

    fn possible(&self) -> impl Iterator<Item = &Alternative> {
        self.0.possible.iter().map(|at| &self.0.condition.alternatives[*at])
    }

    /// Adds the keys that events must be found under; `false` if some alternative has none.
    pub(crate) fn index(&self, into: &mut Vec<IndexKey>) -> bool {
        for alternative in self.possible() {
            let keyed = alternative.0.iter().filter_map(|conjunct| conjunct.key.as_ref());
            let usable = keyed.filter_map(|key| self.0.keys[key.at].as_ref().map(|texts| (key, texts)));
            // What tells principals apart first, then what has the fewest values.
            let Some((key, texts)) = usable.min_by_key(|(key, texts)| (!key.personal, texts.len())) else {
                return false;
            };
            into.extend(texts.iter().map(|value| IndexKey { path: key.path.clone(), value: Arc::clone(value) }));
        }
        true
    }

    /// What the condition says of an event.
    pub(crate) fn decide(&self, event: &impl Facts) -> Verdict {
        let mut verdict = Verdict::Not;
        for alternative in self.possible() {
            match self.alternative(alternative, event) {
                Verdict::Holds => return Verdict::Holds,
                Verdict::Not => {}
                failed @ Verdict::Failed(_) => verdict = failed,
            }
        }
        verdict
    }

    fn alternative(&self, alternative: &Alternative, event: &impl Facts) -> Verdict {
        let mut verdict = Verdict::Holds;
        for conjunct in &alternative.0 {
            match self.conjunct(conjunct, event) {
                Ok(true) => {}
                Ok(false) => return Verdict::Not,
                Err(failure) => verdict = Verdict::Failed(failure),
            }
        }
        verdict
    }

    fn conjunct(&self, conjunct: &Conjunct, event: &impl Facts) -> Result<bool, Failure> {
        if let Some(key) = &conjunct.key
            && let Some(texts) = &self.0.keys[key.at]
        {
            let extracted = match event.extracted(&key.path) {
                Some(extracted) => extracted,
                None => event.content().ok_or(Failure::Unavailable)?.extract(&key.path),
            };
            return match extracted {
                Extracted::Text(text) => Ok(contains(texts, &text)),
                Extracted::Other => Ok(false),
                Extracted::Missing => Err(Failure::Missing),
                Extracted::Ambiguous => Err(Failure::Repeated),
            };
        }
        Scope::new(&self.0.slots, event.content()).holds(&conjunct.node)
    }

    /// What a condition reads besides the event, by name, for those who ask why.
    pub(crate) fn claims(
        condition: &Condition,
        principal: &Principal,
        topic: &str,
    ) -> Vec<(String, Result<Const, Failure>)> {
        let names = condition.claims.iter().map(Outer::to_string);
        names.zip(outers(condition, principal, topic)).collect()
    }
}

/// What a condition reads besides the event. The token's claims are looked into only if it reads something at all.
fn outers(condition: &Condition, principal: &Principal, topic: &str) -> Vec<Result<Const, Failure>> {
    if condition.claims.is_empty() {
        return Vec::new();
    }
    let claims = principal.claims.read();
    condition.claims.iter().map(|outer| outer.value(&claims, topic)).collect()
}

fn contains(texts: &[Arc<str>], text: &str) -> bool {
    match texts {
        [one] => **one == *text,
        several => several.binary_search_by(|known| (**known).cmp(text)).is_ok(),
    }
}

/// The texts that a path is compared with, sorted, if texts are all there is.
fn texts(value: &Result<Const, Failure>, one_of: bool) -> Option<Texts> {
    let text = |value: &Const| match value {
        Const::Text(text) => Some(Arc::clone(text)),
        _ => None,
    };
    let mut texts = match (value, one_of) {
        (Ok(Const::List(items)), true) => items.iter().map(text).collect::<Option<Vec<_>>>()?,
        (Ok(value), false) => vec![text(value)?],
        _ => return None,
    };
    texts.sort_unstable();
    texts.dedup();
    Some(texts.into())
}

impl PartialEq for Bound {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.condition == other.0.condition && self.0.slots == other.0.slots)
    }
}

impl Eq for Bound {}

impl Hash for Bound {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.condition.hash(state);
        self.0.slots.hash(state);
    }
}
