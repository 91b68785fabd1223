//! The Opal virtual machine.
