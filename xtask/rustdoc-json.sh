#!/bin/sh
# rustdoc, allowed to write JSON. The variable is set here alone: build scripts look at it, and everything would be compiled again.
RUSTC_BOOTSTRAP=1 exec rustdoc "$@"
