#pragma once

namespace tacit::protect {

/// Unmaps the code that this process has run so far, of its program and of its libraries: what a start needs is several
/// times what serving needs, and stays in the process for as long as it lives. What is run again is mapped again from
/// the system's cache, sixteen pages at a time. Only code is let go of, which is the same in the file: data that a
/// linker or the program has written is not. Threads: any, while others run.
/// Cost: well below a millisecond, and as much for what is needed again.
void LetGoOfStartPages();

}  // namespace tacit::protect
