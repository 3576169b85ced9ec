//! What several examples share: command lines, a container in the foreground of a shell, its terminal, images, and
//! tables of what runs.

pub mod arguments;
pub mod background;
pub mod columns;
pub mod foreground;
pub mod http;
pub mod images;
pub mod landlock;
pub mod processes;
pub mod records;
pub mod row;
pub mod terminal;
pub mod verbs;
pub mod volume;
