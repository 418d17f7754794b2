//! An allocator that counts what a thread holds: how much memory a parser took, and whether its
//! input can answer for that.
#![allow(unsafe_code, reason = "an allocator cannot be written without; this one only counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static PEAK: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

/// Counts what may have been taken by another thread, and given back by it: only the sum of one
/// thread's work is looked at, so the numbers wrap around.
fn took(bytes: usize) {
    let held = HELD.get().wrapping_add(bytes);
    HELD.set(held);
    // Above the middle it is less than nothing.
    if held < usize::MAX / 2 && (held > PEAK.get() || PEAK.get() > usize::MAX / 2) {
        PEAK.set(held);
    }
}

fn gave(bytes: usize) {
    HELD.set(HELD.get().wrapping_sub(bytes));
}

// SAFETY: each call goes on to the system's allocator as it came. Counting allocates nothing: the
// cells are made by constants and have no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as of the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        took(layout.size());
        // SAFETY: as of the caller.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Both may be there at a time.
        took(size);
        gave(layout.size());
        // SAFETY: as of the caller.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        gave(layout.size());
        // SAFETY: as of the caller.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// Does some work on this thread; gives the largest number of bytes that it held at a time.
pub(crate) fn peak_of<T>(work: impl FnOnce() -> T) -> (T, usize) {
    HELD.set(0);
    PEAK.set(0);
    let result = work();
    (result, PEAK.get())
}

#[test]
fn what_is_taken_is_counted() {
    let (kept, peak) = peak_of(|| {
        drop(Vec::<u8>::with_capacity(5_000_000));
        vec![0_u8; 1000]
    });
    assert_eq!(kept.len(), 1000);
    assert!((5_000_000..5_010_000).contains(&peak), "{peak}");
    let mut grown = Vec::new();
    let ((), peak) = peak_of(|| (0..100_000_u32).for_each(|n| grown.push(n)));
    assert!((400_000..2_000_000).contains(&peak), "{peak}");
}
