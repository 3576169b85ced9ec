//! What several examples share: a container in the foreground of a shell, its terminal, and images.

pub mod arguments;
pub mod columns;
pub mod foreground;
pub mod http;
pub mod images;
pub mod landlock;
pub mod row;
pub mod terminal;
