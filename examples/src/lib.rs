//! Small programs that embed Kronos; see the files in `examples/`.
