//! Starts isolated Linux processes from any host program.
pub mod sys;
