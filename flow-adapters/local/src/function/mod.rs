//! Functions run as programs of this machine.
