#!/bin/sh
# rustdoc, which is made to write JSON: RUSTDOC of scripts/check-api.sh. What a build script sees stays as it is, so that nothing
# is compiled anew.
RUSTC_BOOTSTRAP=1 exec rustdoc "$@"
