//! Holds the examples; nothing is exported.
