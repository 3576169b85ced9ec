//! From the graph to instructions, last one first, so that the distance of every jump is known.
//!
//! Kernel objects: none. Invariant: jumps go forward only; a conditional jump reaches 255 instructions, a farther target
//! gets an unconditional jump, or a return of its own, nearby.

use std::collections::HashMap;

use super::graph::{Ask, Graph, Node, NodeId, Word};
use crate::bpf::{Instruction, code};

/// What the accumulator has of the word that a test needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Held {
    Nothing,
    /// The word without the mask.
    Word,
    Masked,
}

/// A node and what is there when it is entered.
type Entry = (NodeId, Held);

/// Two more instructions may come between a target and the jump to it.
const REACH: usize = 250;

struct Assembler<'a> {
    graph: &'a Graph,
    /// In reverse order.
    code: Vec<Instruction>,
    /// Where entries stand in `code`.
    placed: HashMap<Entry, usize>,
}

/// The instructions of a graph.
pub(super) fn assemble(graph: &Graph, root: NodeId) -> Vec<Instruction> {
    let mut assembler = Assembler { graph, code: Vec::new(), placed: HashMap::new() };
    // Its own stack: a list of conditions makes a path of its length.
    let mut waiting = vec![(root, Held::Nothing)];
    while let Some(&entry) = waiting.last() {
        let missing = assembler.missing(entry);
        if missing.is_empty() {
            waiting.pop();
            assembler.place(entry);
        } else {
            waiting.extend(missing);
        }
    }
    assembler.code.reverse();
    assembler.code
}

impl Assembler<'_> {
    /// How a node is entered from a test of `word`.
    fn entry(&self, node: NodeId, word: Word) -> Entry {
        let held = match self.graph.nodes.get(node) {
            Some(Node::Test { word: next, .. }) if *next == word => Held::Masked,
            Some(Node::Test { word: next, .. })
                if next.offset == word.offset && word.mask == u32::MAX =>
            {
                Held::Word
            }
            _ => Held::Nothing,
        };
        (node, held)
    }

    /// What has to be placed before this.
    fn missing(&self, (node, _): Entry) -> Vec<Entry> {
        let Some(&Node::Test { word, yes, no, .. }) = self.graph.nodes.get(node) else {
            return Vec::new();
        };
        let entries = [self.entry(yes, word), self.entry(no, word)];
        entries.into_iter().filter(|entry| !self.placed.contains_key(entry)).collect()
    }

    fn place(&mut self, entry: Entry) {
        if self.placed.contains_key(&entry) {
            return;
        }
        let (node, held) = entry;
        match self.graph.nodes.get(node) {
            Some(&Node::Return(value)) => self.push(code::RETURN, value),
            Some(&Node::Test { word, ask, yes, no }) => self.place_test((word, ask), held, yes, no),
            None => {}
        }
        self.placed.insert(entry, self.code.len() - 1);
    }

    fn place_test(&mut self, (word, ask): (Word, Ask), held: Held, yes: NodeId, no: NodeId) {
        let (yes, no) = (self.entry(yes, word), self.entry(no, word));
        self.bring_near(yes);
        self.bring_near(no);
        let (jt, jf) = (self.distance(yes), self.distance(no));
        let near = |distance: usize| u8::try_from(distance).unwrap_or(u8::MAX);
        let (code, k) = match ask {
            Ask::Eq(value) => (code::IF_EQ, value),
            Ask::Gt(value) => (code::IF_GT, value),
            Ask::Ge(value) => (code::IF_GE, value),
            Ask::Set(bits) => (code::IF_SET, bits),
        };
        self.code.push(Instruction { code, jt: near(jt), jf: near(jf), k });
        if held != Held::Masked && word.mask != u32::MAX {
            self.push(code::AND, word.mask);
        }
        if held == Held::Nothing {
            self.push(code::LOAD, word.offset);
        }
    }

    /// How many instructions are between the next one to be placed and this entry.
    fn distance(&self, entry: Entry) -> usize {
        self.placed.get(&entry).map_or(usize::MAX, |at| self.code.len() - 1 - at)
    }

    /// Makes a conditional jump to it possible.
    fn bring_near(&mut self, entry: Entry) {
        let distance = self.distance(entry);
        if distance <= REACH {
            return;
        }
        match self.graph.nodes.get(entry.0) {
            Some(&Node::Return(value)) => self.push(code::RETURN, value),
            _ => self.push(code::JUMP, u32::try_from(distance).unwrap_or(u32::MAX)),
        }
        self.placed.insert(entry, self.code.len() - 1);
    }

    fn push(&mut self, code: u16, k: u32) {
        self.code.push(Instruction { code, jt: 0, jf: 0, k });
    }
}
