//! Which events were published here lately, so that `echo: false` can leave them out.

use alloc::collections::VecDeque;

const KEPT: usize = 1000;

/// Ids as numbers: they are compared for every event, and a scan of numbers is quick.
#[derive(Debug, Default)]
pub(super) struct Echoes(VecDeque<u128>);

impl Echoes {
    pub(super) fn remember(&mut self, id: &str) {
        let Some(id) = number(id) else { return };
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back(id);
    }

    pub(super) fn contains(&self, id: &str) -> bool {
        // What comes back was mostly published last.
        !self.0.is_empty() && number(id).is_some_and(|id| self.0.iter().rev().any(|&kept| kept == id))
    }
}

fn number(id: &str) -> Option<u128> {
    let mut number = 0u128;
    for byte in id.bytes().filter(|&byte| byte != b'-') {
        number = number << 4 | u128::from(char::from(byte).to_digit(16)?);
    }
    (id.len() == 36).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_last_thousand() {
        let id = |n: usize| format!("00000000-0000-7000-8000-{n:012x}");
        let mut echoes = Echoes::default();
        for n in 0..=KEPT {
            echoes.remember(&id(n));
        }
        assert!(!echoes.contains(&id(0)) && echoes.contains(&id(1)) && echoes.contains(&id(KEPT)));
        assert!(echoes.contains(&id(KEPT).to_uppercase()) && !echoes.contains("nothing"));
    }
}
