//! Progress: a bar for each layer on a terminal, a line for each change elsewhere.
//!
//! Writes to standard error. Invariant: what is done stands above, once; only layers that are worked on are drawn again,
//! and at most every [`AGAIN`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ampoule::image::{Event, LayerState, Progress};

use super::size;

/// The least time between two drawings.
const AGAIN: Duration = Duration::from_millis(50);

/// How wide a bar is, in characters.
const WIDTH: u64 = 24;

/// Shows the progress of layers on standard error.
#[derive(Debug)]
pub struct Bars {
    form: Form,
    drawn: Mutex<Drawn>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Bars,
    Lines,
}

/// What stands on the terminal, or was said.
#[derive(Debug)]
struct Drawn {
    /// The last event of each layer that is worked on.
    active: BTreeMap<usize, Event>,
    /// How many lines are to be drawn again.
    lines: usize,
    at: Option<Instant>,
}

impl Default for Bars {
    fn default() -> Self {
        let form = if std::io::stderr().is_terminal() { Form::Bars } else { Form::Lines };
        Self::of(form)
    }
}

impl Bars {
    /// Bars on a terminal, lines elsewhere.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn of(form: Form) -> Self {
        Self { form, drawn: Mutex::new(Drawn { active: BTreeMap::new(), lines: 0, at: None }) }
    }

    /// What is to be written for an event.
    fn text(&self, event: &Event) -> String {
        let mut drawn = self.drawn.lock().unwrap_or_else(PoisonError::into_inner);
        let before = drawn.active.get(&event.layer).map(|event| event.state);
        let is_over = matches!(event.state, LayerState::Done | LayerState::AlreadyThere);
        match is_over {
            true => drawn.active.remove(&event.layer),
            false => drawn.active.insert(event.layer, event.clone()),
        };
        let is_new = is_over || before != Some(event.state);
        match self.form {
            Form::Lines if is_new => said(event) + "\n",
            Form::Lines => String::new(),
            Form::Bars => drawn.redraw(is_over.then_some(event)),
        }
    }
}

impl Drawn {
    /// Erases what stands there, says what is over, and draws the rest.
    fn redraw(&mut self, over: Option<&Event>) -> String {
        let now = Instant::now();
        let is_soon = self.at.is_some_and(|at| now.duration_since(at) < AGAIN);
        if over.is_none() && is_soon {
            return String::new();
        }
        self.at = Some(now);
        let mut text = match self.lines {
            0 => String::new(),
            lines => format!("\x1b[{lines}A\x1b[J"),
        };
        if let Some(event) = over {
            text += &said(event);
            text.push('\n');
        }
        for event in self.active.values() {
            text += &bar(event);
            text.push('\n');
        }
        self.lines = self.active.len();
        text
    }
}

/// One event in words.
fn said(event: &Event) -> String {
    let digest = event.digest.short();
    let at = format!("layer {}/{}", event.layer + 1, event.layers);
    format!("{at} {digest}: {}, {}", word(event.state), size(event.total))
}

/// A layer that is worked on.
fn bar(event: &Event) -> String {
    let full = match event.total {
        0 => WIDTH,
        total => event.bytes.min(total).saturating_mul(WIDTH) / total,
    };
    let mut text = format!("{} {:<9} [", event.digest.short(), word(event.state));
    for at in 0..WIDTH {
        text.push(if at < full { '=' } else { ' ' });
    }
    // Writing to a text does not fail.
    write!(text, "] {} / {}", size(event.bytes), size(event.total)).unwrap_or_default();
    text
}

fn word(state: LayerState) -> &'static str {
    match state {
        LayerState::AlreadyThere => "already there",
        LayerState::Pulling => "copying",
        LayerState::Verifying => "verifying",
        LayerState::Unpacking => "unpacking",
        LayerState::Done => "done",
        _ => "working",
    }
}

impl Progress for Bars {
    fn on(&self, event: &Event) {
        let text = self.text(event);
        // Nobody is there to read: the work goes on.
        std::io::stderr().write_all(text.as_bytes()).unwrap_or_default();
    }
}
