//! Makes the panics of a browser's module bare traps.
//!
//! A panic ends the module either way, and no page ever sees its words. Without `std` the compiler leaves out most of them;
//! what is left is code that calls wasm-bindgen to throw, and what is prepared right before a panic.

use std::collections::HashSet;

use walrus::ir::{Instr, InstrSeqId, Unreachable};
use walrus::{FunctionId, FunctionKind, ImportKind, LocalFunction, Module};

/// The standard library's own ends of a panic, as their names contain them.
const PANICS: &[&str] = &[
    "panicking::panic_fmt",
    "panicking::panic_nounwind",
    "rust_begin_unwind",
    "handle_alloc_error",
    "slice_index_fail",
    "slice_error_fail",
];

/// What wasm-bindgen throws with, which lies among the module's data.
const WORDS: &[&str] = &[
    "attempted to take ownership of Rust value while it was borrowed",
    "recursive use of an object detected which would lead to unsafe aliasing in rust",
    "null pointer passed to rust",
];

/// What throws an error of wasm-bindgen's instead.
const THROW: &str = "__wbindgen_throw";

/// Makes each function that can but panic a trap, and each call of one too. Functions are known by the name section.
pub(super) fn bare(module: &mut Module) {
    let panics = panics(module);
    for id in module.funcs.iter_local().map(|(id, _)| id).collect::<Vec<_>>() {
        let FunctionKind::Local(function) = &mut module.funcs.get_mut(id).kind else { continue };
        let entry = function.entry_block();
        if panics.contains(&id) {
            trap(function, entry, 0);
        } else {
            cut_calls(function, &panics);
        }
    }
    for id in module.data.iter().map(walrus::Data::id).collect::<Vec<_>>() {
        let data = &mut module.data.get_mut(id).value;
        for words in WORDS {
            blank(data, words.as_bytes());
        }
    }
    walrus::passes::gc::run(module);
}

/// Makes nothing of words that nobody says any more; where they lay stays, and is hardly a byte of a download.
fn blank(data: &mut [u8], words: &[u8]) {
    if let Some(at) = data.windows(words.len()).position(|there| there == words) {
        data[at..at + words.len()].fill(0);
    }
}

fn panics(module: &Module) -> HashSet<FunctionId> {
    let named = |name: &str| PANICS.iter().any(|panic| name.contains(panic));
    let functions = module.funcs.iter().filter(|function| function.name.as_deref().is_some_and(named));
    let mut panics: HashSet<_> = functions.map(walrus::Function::id).collect();
    panics.extend(module.imports.iter().filter_map(|import| match import.kind {
        ImportKind::Function(id) if import.name.contains(THROW) => Some(id),
        _ => None,
    }));
    // Who does nothing but call those, whatever it prepares before, panics as well.
    loop {
        let more: Vec<_> = module
            .funcs
            .iter_local()
            .filter(|(id, function)| !panics.contains(id) && only_panics(function, &panics))
            .map(|(id, _)| id)
            .collect();
        if more.is_empty() {
            return panics;
        }
        panics.extend(more);
    }
}

/// Whether every way through the function ends in a panic, as far as that is seen without following branches.
fn only_panics(function: &LocalFunction, panics: &HashSet<FunctionId>) -> bool {
    let end = function.block(function.entry_block()).instrs.iter().find(|(instruction, _)| {
        let branches = matches!(
            instruction,
            Instr::Return(_)
                | Instr::Block(_)
                | Instr::Loop(_)
                | Instr::IfElse(_)
                | Instr::Br(_)
                | Instr::BrIf(_)
                | Instr::BrTable(_)
        );
        branches || is_end(instruction, panics)
    });
    end.is_some_and(|(instruction, _)| is_end(instruction, panics))
}

fn is_end(instruction: &Instr, panics: &HashSet<FunctionId>) -> bool {
    match instruction {
        Instr::Unreachable(_) => true,
        Instr::Call(call) => panics.contains(&call.func),
        _ => false,
    }
}

fn cut_calls(function: &mut LocalFunction, panics: &HashSet<FunctionId>) {
    let mut blocks = vec![function.entry_block()];
    while let Some(block) = blocks.pop() {
        let instructions = &function.block(block).instrs;
        if let Some(at) = instructions.iter().position(|(instruction, _)| is_end(instruction, panics)) {
            // What only puts a value on the stack right before is an argument of the call.
            let argument = |instruction: &Instr| matches!(instruction, Instr::Const(_) | Instr::LocalGet(_));
            let arguments =
                instructions[..at].iter().rev().take_while(|(instruction, _)| argument(instruction)).count();
            trap(function, block, at - arguments);
        }
        for (instruction, _) in &function.block(block).instrs {
            match instruction {
                Instr::Block(inner) => blocks.push(inner.seq),
                Instr::Loop(inner) => blocks.push(inner.seq),
                Instr::IfElse(inner) => blocks.extend([inner.consequent, inner.alternative]),
                _ => {}
            }
        }
    }
}

/// Ends a block with a trap at `from`.
fn trap(function: &mut LocalFunction, block: InstrSeqId, from: usize) {
    let instructions = &mut function.block_mut(block).instrs;
    instructions.truncate(from);
    instructions.push((Instr::Unreachable(Unreachable {}), walrus::ir::InstrLocId::default()));
}

#[cfg(test)]
mod tests {
    use walrus::{FunctionBuilder, ModuleConfig};

    use super::*;

    /// Adds a function whose body is what `fill` makes of it.
    fn add(module: &mut Module, name: &str, fill: impl FnOnce(&mut walrus::InstrSeqBuilder<'_>)) -> FunctionId {
        let mut function = FunctionBuilder::new(&mut module.types, &[], &[]);
        function.name(name.to_owned());
        fill(&mut function.func_body());
        function.finish(vec![], &mut module.funcs)
    }

    fn body(module: &Module, id: FunctionId) -> Vec<String> {
        let function = module.funcs.get(id).kind.unwrap_local();
        let instructions = &function.block(function.entry_block()).instrs;
        instructions.iter().map(|(instruction, _)| format!("{instruction:?}")).collect()
    }

    #[test]
    fn who_only_panics_is_a_trap_and_who_calls_it_traps_there() {
        let mut module = Module::with_config(ModuleConfig::new());
        let panic = add(&mut module, "core::panicking::panic_fmt", |body| {
            body.unreachable();
        });
        let prepares = add(&mut module, "words", |body| {
            body.i32_const(1).drop().call(panic);
        });
        let may = add(&mut module, "may", |body| {
            let calls = |then: &mut walrus::InstrSeqBuilder<'_>| {
                then.call(prepares).unreachable();
            };
            body.i32_const(1).if_else(None, calls, |_| {});
        });
        for (name, id) in [("may", may), ("prepares", prepares)] {
            module.exports.add(name, id);
        }
        bare(&mut module);
        let is_trap = |body: &[String]| matches!(body, [only] if only.starts_with("Unreachable"));
        assert!(is_trap(&body(&module, prepares)));
        assert_eq!(body(&module, may).len(), 2);
        let function = module.funcs.get(may).kind.unwrap_local();
        let Some((Instr::IfElse(branches), _)) = function.block(function.entry_block()).instrs.last() else {
            panic!("{:?}", body(&module, may))
        };
        let then = &function.block(branches.consequent).instrs;
        assert!(matches!(then.as_slice(), [(Instr::Unreachable(_), _)]), "{then:?}");
        assert!(module.funcs.iter().all(|function| function.id() != panic), "what nothing calls is gone");
    }
}
