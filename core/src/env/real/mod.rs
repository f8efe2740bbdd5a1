//! The door to the operating system.
