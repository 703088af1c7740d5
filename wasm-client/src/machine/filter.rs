//! What components want of a topic together: the union of their types, with what another one covers left out, and keys.

use alloc::string::String;
use alloc::vec::Vec;

use super::words::Member;

/// Types that one subscription may name. Who together name more ask for all, and each is given its own.
const MAX_TYPES: usize = 128;

/// Whether a type, or all that a pattern (`order.*`) stands for, is among what `pattern` stands for.
pub(super) fn covers(pattern: &str, wanted: &str) -> bool {
    let prefix = pattern.strip_suffix('*').filter(|prefix| prefix.ends_with('.'));
    pattern == wanted || prefix.is_some_and(|prefix| wanted.len() > prefix.len() && wanted.starts_with(prefix))
}

/// Whether a list of types, where an empty one means all, covers another.
pub(super) fn covers_all(asked: &[String], wanted: &[String]) -> bool {
    let covered = |wanted: &String| asked.iter().any(|asked| covers(asked, wanted));
    asked.is_empty() || (!wanted.is_empty() && wanted.iter().all(covered))
}

/// All types that members want; empty when one wants all.
pub(super) fn union(members: &[Member]) -> Vec<String> {
    let mut types: Vec<String> = Vec::new();
    for member in members {
        if member.types.is_empty() {
            return Vec::new();
        }
        for wanted in &member.types {
            if !types.iter().any(|known| covers(known, wanted)) {
                types.retain(|known| !covers(wanted, known));
                types.push(wanted.clone());
            }
        }
    }
    if members.len() > 1 && types.len() > MAX_TYPES { Vec::new() } else { types }
}

/// Each once. (A sort would add 2 KiB to a page's download.)
pub(super) fn distinct(mut keys: Vec<String>) -> Vec<String> {
    for at in (1..keys.len()).rev() {
        if keys[..at].contains(&keys[at]) {
            keys.remove(at);
        }
    }
    keys
}

/// Whether two lists hold the same, in whatever order; each holds nothing twice.
pub(super) fn same_keys(some: &[String], others: &[String]) -> bool {
    some.len() == others.len() && some.iter().all(|key| others.contains(key))
}

#[cfg(test)]
mod tests {
    use super::super::words::Handle;
    use super::*;

    fn all(texts: &[&str]) -> Vec<String> {
        texts.iter().map(ToString::to_string).collect()
    }

    fn together(wants: &[&[&str]]) -> Vec<String> {
        let members = wants.iter().map(|types| Member { handle: Handle(1), types: all(types) });
        union(&members.collect::<Vec<_>>())
    }

    #[test]
    fn a_pattern_stands_for_what_begins_like_it() {
        for covered in ["order.created", "order.line.added", "order.*", "order.line.*"] {
            assert!(covers("order.*", covered), "{covered}");
        }
        for other in ["order", "order.", "orders.created", "cart.order.created", "*"] {
            assert!(!covers("order.*", other), "{other}");
        }
        assert!(!covers("order.created", "order.*") && !covers("*", "order.created") && !covers("or*", "order.x"));
    }

    #[test]
    fn what_another_covers_is_left_out() {
        assert_eq!(together(&[&["order.paid", "order.line.*"], &["cart.add", "order.*"]]), ["cart.add", "order.*"]);
        assert_eq!(together(&[&["order.*", "order.*", "order.paid"]]), ["order.*"]);
        assert_eq!(together(&[&["order.*"], &[]]), [""; 0]);
    }

    #[test]
    fn those_who_want_too_many_together_ask_for_all() {
        let many: Vec<String> = (0..128).map(|n| format!("order.t{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert_eq!(together(&[&many]).len(), 128);
        assert_eq!(together(&[&many, &["order.t3"]]).len(), 128);
        assert_eq!(together(&[&many, &["cart.add"]]), [""; 0]);
    }

    #[test]
    fn keys_are_a_set() {
        assert_eq!(distinct(all(&["b", "a", "b", "a", "b"])), ["b", "a"]);
        assert!(same_keys(&all(&["b", "a"]), &all(&["a", "b"])) && same_keys(&[], &[]));
        assert!(!same_keys(&all(&["a"]), &all(&["a", "b"])) && !same_keys(&all(&["a", "c"]), &all(&["a", "b"])));
    }

    #[test]
    fn no_types_are_all_types() {
        assert!(covers_all(&[], &[]) && covers_all(&[], &all(&["a.b"])) && !covers_all(&all(&["a.*"]), &[]));
        assert!(covers_all(&all(&["a.*", "b.c"]), &all(&["a.x", "b.c", "a.x.*"])));
        assert!(!covers_all(&all(&["a.b"]), &all(&["a.*"])));
    }
}
