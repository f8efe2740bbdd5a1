//! The allocator of programs that simulate. A run makes many small allocations on a thread that ends with it.

use std::sync::Once;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc's header, which its bindings lack.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;
const NEVER: std::ffi::c_long = -1;

/// Freed memory is kept for the next run. To return it to the operating system and fetch it again costs a tenth of the
/// run time.
pub(crate) fn keep_freed_memory() {
    static ONCE: Once = Once::new();
    // SAFETY: sets one number of the allocator, which reads it atomically.
    ONCE.call_once(|| unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, NEVER) });
}
