//! Work on secrets that leaves none of them behind on the stack.
//!
//! A value that is moved is copied: dropping it wipes the last copy only, and a library's keys go through several
//! frames before they come to rest. So secrets come to rest on the heap, and the stack beneath the work is written over.

use std::hint::black_box;

/// Bytes of stack that are written over: more than the frames of a key schedule or of bcrypt take.
const DEPTH: usize = 32 << 10;

/// Does work that handles secrets by value, and writes over the stack that it has used. What it returns should hold its
/// own secrets behind a pointer.
pub fn without_residue<T>(work: impl FnOnce() -> T) -> T {
    let result = in_frames_of_its_own(work);
    write_over();
    result
}

#[inline(never)]
fn in_frames_of_its_own<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Takes the place of the frames that have just been left.
#[inline(never)]
fn write_over() {
    black_box(&mut [0u8; DEPTH]);
}
