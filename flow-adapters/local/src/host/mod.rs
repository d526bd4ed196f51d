//! Files and commands of this machine, below one directory.
