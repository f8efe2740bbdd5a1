//! Memory of programs that simulate: a run allocates little and often, on a thread that lives no longer than it.

use std::sync::Once;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc's header, which its bindings leave out.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
const NEVER: std::ffi::c_long = -1;

/// What one run frees the next one needs: given back to the operating system and fetched again page by page, it would
/// cost a tenth of all time.
pub(crate) fn keep_freed_memory() {
    static ONCE: Once = Once::new();
    // SAFETY: sets one number of the allocator, which reads it atomically.
    ONCE.call_once(|| unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, NEVER) });
}
