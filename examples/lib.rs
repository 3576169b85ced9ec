//! What several examples share: a container in the foreground of a shell, and its terminal.

pub mod arguments;
pub mod foreground;
pub mod terminal;
