//! Holds the benches; nothing is exported.
