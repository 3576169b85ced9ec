//! The decision graph: tests of one word each, shared where they are the same.
//!
//! Kernel objects: none. Invariant: no cycles, as a node is made after those that it leads to; no test whose answer does
//! not matter; no test right behind one that has decided it.

use std::collections::HashMap;

use crate::action::Action;
use crate::bpf::offset;
use crate::condition::{Condition, Operator};

/// The position of a node.
pub(super) type NodeId = usize;

/// What is asked of a word, unsigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Ask {
    Eq(u32),
    Gt(u32),
    Ge(u32),
    /// Any of these bits is set.
    Set(u32),
}

/// A word of the call's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Word {
    pub(super) offset: u32,
    pub(super) mask: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    Return(u32),
    Test { word: Word, ask: Ask, yes: NodeId, no: NodeId },
}

/// How wide arguments are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Half,
    Full,
}

/// Nodes by position, each one once.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    known: HashMap<Node, NodeId>,
}

/// The word at an offset, all bits of it.
pub(super) const fn word(offset: u32) -> Word {
    Word { offset, mask: u32::MAX }
}

/// The lower and the upper half.
fn halves(value: u64) -> (u32, u32) {
    let half = |value: u64| u32::try_from(value & 0xffff_ffff).unwrap_or(0);
    (half(value), half(value >> 32))
}

impl Graph {
    fn node(&mut self, node: Node) -> NodeId {
        *self.known.entry(node).or_insert_with(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        })
    }

    pub(super) fn action(&mut self, action: Action) -> NodeId {
        self.node(Node::Return(action.return_value()))
    }

    /// A test of a word.
    pub(super) fn test(&mut self, word: Word, ask: Ask, yes: NodeId, no: NodeId) -> NodeId {
        let yes = self.skip_decided(word, ask, true, yes);
        let no = self.skip_decided(word, ask, false, no);
        match trivial(ask) {
            Some(true) => yes,
            Some(false) => no,
            None if yes == no => yes,
            None => self.node(Node::Test { word, ask, yes, no }),
        }
    }

    /// Follows tests of the same word whose answer is known.
    fn skip_decided(&self, word: Word, ask: Ask, answer: bool, mut to: NodeId) -> NodeId {
        while let Some(&Node::Test { word: next, ask: asked, yes, no }) = self.nodes.get(to) {
            let decided = if next == word { implied(ask, answer, asked) } else { None };
            match decided {
                Some(true) => to = yes,
                Some(false) => to = no,
                None => break,
            }
        }
        to
    }

    /// A condition of a rule.
    pub(super) fn condition(
        &mut self,
        condition: &Condition,
        width: Width,
        yes: NodeId,
        no: NodeId,
    ) -> NodeId {
        let Condition { arg, operator, value } = *condition;
        match operator {
            Operator::Eq => self.equal(arg, width, (u64::MAX, value), yes, no),
            Operator::Ne => self.equal(arg, width, (u64::MAX, value), no, yes),
            Operator::MaskedEq(mask) => self.equal(arg, width, (mask, value), yes, no),
            Operator::Gt => self.greater(arg, width, (Ask::Gt, value), yes, no),
            Operator::Ge => self.greater(arg, width, (Ask::Ge, value), yes, no),
            Operator::Lt => self.greater(arg, width, (Ask::Ge, value), no, yes),
            Operator::Le => self.greater(arg, width, (Ask::Gt, value), no, yes),
        }
    }

    /// The lower half first: it differs more often, and a list of values then stays in one word.
    fn equal(
        &mut self,
        arg: u8,
        width: Width,
        wanted: (u64, u64),
        yes: NodeId,
        no: NodeId,
    ) -> NodeId {
        let ((mask_low, mask_high), (low, high)) = (halves(wanted.0), halves(wanted.1));
        // Where the upper half differs, what the lower one says decides the tests of it that follow.
        let behind = match mask_low {
            u32::MAX => self.skip_decided(word(offset::low(arg)), Ask::Eq(low), true, no),
            _ => no,
        };
        let upper = match width {
            Width::Full => self.equal_half(offset::high(arg), mask_high, high, yes, behind),
            Width::Half if high == 0 => yes,
            Width::Half => behind,
        };
        self.equal_half(offset::low(arg), mask_low, low, upper, no)
    }

    fn equal_half(
        &mut self,
        offset: u32,
        mask: u32,
        value: u32,
        yes: NodeId,
        no: NodeId,
    ) -> NodeId {
        if value & !mask != 0 {
            return no;
        }
        match (mask, value) {
            (0, _) => yes,
            (u32::MAX, value) => self.test(word(offset), Ask::Eq(value), yes, no),
            (mask, 0) => self.test(word(offset), Ask::Set(mask), no, yes),
            (mask, value) if mask == value && mask.is_power_of_two() => {
                self.test(word(offset), Ask::Set(mask), yes, no)
            }
            (mask, value) => self.test(Word { offset, mask }, Ask::Eq(value), yes, no),
        }
    }

    fn greater(
        &mut self,
        arg: u8,
        width: Width,
        than: (fn(u32) -> Ask, u64),
        yes: NodeId,
        no: NodeId,
    ) -> NodeId {
        let (ask, (low, high)) = (than.0, halves(than.1));
        let upper = |graph: &mut Self, ask: Ask| match width {
            Width::Full => graph.test(word(offset::high(arg)), ask, yes, no),
            Width::Half if high == 0 && matches!(ask, Ask::Ge(_)) => yes,
            Width::Half => no,
        };
        let (if_low, else_low) = (upper(self, Ask::Ge(high)), upper(self, Ask::Gt(high)));
        self.test(word(offset::low(arg)), ask(low), if_low, else_low)
    }
}

/// The answer that does not depend on the word.
fn trivial(ask: Ask) -> Option<bool> {
    match ask {
        Ask::Ge(0) => Some(true),
        Ask::Gt(u32::MAX) | Ask::Set(0) => Some(false),
        _ => None,
    }
}

/// The answer to `next` that the answer to `first` implies.
fn implied(first: Ask, answer: bool, next: Ask) -> Option<bool> {
    match (first, answer) {
        (Ask::Eq(is), true) => Some(match next {
            Ask::Eq(value) => is == value,
            Ask::Gt(value) => is > value,
            Ask::Ge(value) => is >= value,
            Ask::Set(bits) => is & bits != 0,
        }),
        _ if first == next => Some(answer),
        (Ask::Set(bits), false) => match next {
            Ask::Eq(value) if value & bits != 0 => Some(false),
            Ask::Set(other) if other & !bits == 0 => Some(false),
            _ => None,
        },
        _ => None,
    }
}
