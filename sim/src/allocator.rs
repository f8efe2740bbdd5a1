//! The allocator of programs that simulate: what a run frees is kept for the next one, and the memory of each process can
//! be measured.
//!
//! In a run that measures, each incarnation of a process has a heap of its own, from which it allocates while one of its
//! tasks runs. So what it has not freed is known exactly, whoever frees it. [`Uncharged`] marks the calls of a process
//! into the simulator, which belong to nobody. A run stays on one thread, and so does all that is here.

use crate::process_id::ProcessId;
use libmimalloc_sys as mi;
use mimalloc::MiMalloc;
use std::{
    alloc::{GlobalAlloc, Layout},
    cell::{Cell, RefCell},
    collections::BTreeMap,
    ffi::c_void,
    ptr,
    sync::Once,
};

#[global_allocator]
static ALLOCATOR: ByProcess = ByProcess;

/// `mi_option_purge_delay` of mimalloc's header, which its bindings lack.
const PURGE_DELAY: mi::mi_option_t = 15;
const NEVER: std::ffi::c_long = -1;

/// Freed memory is kept for the next run. To return it to the operating system and fetch it again costs a tenth of the
/// run time.
pub(crate) fn keep_freed_memory() {
    static ONCE: Once = Once::new();
    // SAFETY: sets one number of the allocator, which reads it atomically.
    ONCE.call_once(|| unsafe { mi::mi_option_set(PURGE_DELAY, NEVER) });
}

thread_local! {
    /// The heap of the process that runs on this thread; null if none does, or if nothing is measured.
    static CURRENT: Cell<*mut mi::mi_heap_t> = const { Cell::new(ptr::null_mut()) };
    /// The heaps of the processes of this thread's run; `None` if nothing is measured.
    static HEAPS: RefCell<Option<BTreeMap<ProcessId, Heap>>> = const { RefCell::new(None) };
}

/// mimalloc, with the heap of the process that runs.
struct ByProcess;

/// Whether every block of this size has this alignment. Its functions without an alignment are several times as fast.
const fn is_natural(size: usize, layout: &Layout) -> bool {
    layout.align() <= MOST_NATURAL && layout.align() <= size
}

/// `MI_MAX_ALIGN_SIZE` of mimalloc.
const MOST_NATURAL: usize = 16;

// SAFETY: every block comes from mimalloc with the layout that was asked for, and mimalloc frees blocks of all heaps alike.
unsafe impl GlobalAlloc for ByProcess {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let heap = CURRENT.get();
        // SAFETY: as of this function. The heap exists for as long as it is the current one.
        unsafe {
            if heap.is_null() && is_natural(layout.size(), &layout) {
                mi::mi_malloc(layout.size()).cast()
            } else if heap.is_null() {
                MiMalloc.alloc(layout)
            } else {
                mi::mi_heap_malloc_aligned(heap, layout.size(), layout.align()).cast()
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        let heap = CURRENT.get();
        // SAFETY: as in `alloc`.
        unsafe {
            if heap.is_null() && is_natural(layout.size(), &layout) {
                mi::mi_zalloc(layout.size()).cast()
            } else if heap.is_null() {
                MiMalloc.alloc_zeroed(layout)
            } else {
                mi::mi_heap_zalloc_aligned(heap, layout.size(), layout.align()).cast()
            }
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as of this function.
        unsafe { MiMalloc.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let heap = CURRENT.get();
        // SAFETY: as in `alloc`. A block that moves comes to the current heap.
        unsafe {
            if heap.is_null() && is_natural(size, &layout) {
                mi::mi_realloc(block.cast(), size).cast()
            } else if heap.is_null() {
                MiMalloc.realloc(block, layout, size)
            } else {
                mi::mi_heap_realloc_aligned(heap, block.cast(), size, layout.align()).cast()
            }
        }
    }
}

/// The heap of one incarnation.
struct Heap(*mut mi::mi_heap_t);

impl Heap {
    fn new() -> Self {
        // SAFETY: no preconditions.
        Self(unsafe { mi::mi_heap_new() })
    }

    fn in_use_bytes(&self) -> u64 {
        extern "C" fn add(
            _: *const mi::mi_heap_t,
            area: *const mi::mi_heap_area_t,
            _: *mut c_void,
            _: usize,
            sum: *mut c_void,
        ) -> bool {
            // SAFETY: mimalloc passes an area of the heap, and the last argument is the sum below.
            let (area, sum) = unsafe { (&*area, &mut *sum.cast::<u64>()) };
            // The bindings say bytes, mimalloc's header and code say blocks.
            *sum += (area.used * area.block_size) as u64;
            true
        }
        let mut sum = 0_u64;
        // SAFETY: the heap exists, and the callback neither allocates nor frees.
        unsafe {
            mi::mi_heap_visit_blocks(self.0, false, Some(add), ptr::from_mut(&mut sum).cast())
        };
        sum
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        if CURRENT.get() == self.0 {
            CURRENT.set(ptr::null_mut());
        }
        // SAFETY: nobody allocates from this heap any more. What is still in use moves to the main heap.
        unsafe { mi::mi_heap_delete(self.0) }
    }
}

/// While it exists, the memory of the processes of this thread is measured.
pub(crate) struct Measuring(());

impl Measuring {
    pub fn begin() -> Self {
        HEAPS.set(Some(BTreeMap::new()));
        Self(())
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        leave();
        drop(HEAPS.take());
    }
}

/// A new incarnation of this process has allocated nothing.
pub(crate) fn begin(process: ProcessId) {
    HEAPS.with_borrow_mut(|heaps| {
        if let Some(heaps) = heaps {
            heaps.insert(process, Heap::new());
        }
    });
}

/// From now on this process allocates.
pub(crate) fn enter(process: ProcessId) {
    HEAPS.with_borrow(|heaps| {
        if let Some(heap) = heaps.as_ref().and_then(|heaps| heaps.get(&process)) {
            CURRENT.set(heap.0);
        }
    });
}

/// From now on nobody allocates.
pub(crate) fn leave() {
    CURRENT.set(ptr::null_mut());
}

/// Bytes in use by the newest incarnation of each process; empty if nothing is measured.
pub(crate) fn in_use_bytes() -> BTreeMap<ProcessId, u64> {
    HEAPS.with_borrow(|heaps| {
        let heaps = heaps.iter().flatten();
        heaps
            .map(|(process, heap)| (*process, heap.in_use_bytes()))
            .collect()
    })
}

/// While it exists, what the running process causes in the simulator is charged to nobody.
pub(crate) struct Uncharged(*mut mi::mi_heap_t);

impl Uncharged {
    pub fn begin() -> Self {
        Self(CURRENT.replace(ptr::null_mut()))
    }

    /// Whether the memory of the process that called is measured. What it hands over must then be copied: its own copy
    /// would stay charged to it.
    pub const fn is_measured(&self) -> bool {
        !self.0.is_null()
    }
}

impl Drop for Uncharged {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ProcessId = ProcessId::Node(0);
    const B: ProcessId = ProcessId::Node(1);
    const LARGE: usize = 1 << 20;

    fn used() -> [u64; 2] {
        let used = in_use_bytes();
        [A, B].map(|process| used[&process])
    }

    fn begun() -> Measuring {
        let measuring = Measuring::begin();
        begin(A);
        begin(B);
        measuring
    }

    #[test]
    fn memory_is_charged_to_the_process_that_runs_whoever_frees_it() {
        let _measuring = begun();
        let before = vec![1_u8; LARGE];
        enter(A);
        let of_a = vec![1_u8; LARGE];
        enter(B);
        let of_b = vec![1_u8; 2 * LARGE];
        let [a, b] = used();
        assert!((LARGE as u64..2 * LARGE as u64).contains(&a), "{a}");
        assert!((2 * LARGE as u64..3 * LARGE as u64).contains(&b), "{b}");
        drop((before, of_a));
        leave();
        drop(of_b);
        assert_eq!(used(), [0, 0]);
    }

    #[test]
    fn calls_into_the_simulator_are_charged_to_nobody() {
        let _measuring = begun();
        enter(A);
        let uncharged = Uncharged::begin();
        assert!(uncharged.is_measured());
        let of_simulator = vec![1_u8; LARGE];
        drop(uncharged);
        let small = vec![1_u8; 100];
        leave();
        let [a, _] = used();
        assert!((100..1000).contains(&a), "{a}");
        drop((of_simulator, small));
    }

    #[test]
    fn a_new_incarnation_begins_with_nothing_and_the_memory_of_the_last_one_stays_valid() {
        let measuring = begun();
        enter(A);
        let mut of_a = vec![7_u8; LARGE];
        leave();
        begin(A);
        assert_eq!(used(), [0, 0]);
        enter(A);
        of_a.push(7);
        leave();
        drop(measuring);
        assert_eq!(in_use_bytes(), BTreeMap::new());
        assert!(of_a.iter().all(|byte| *byte == 7));
        assert_eq!(of_a.len(), LARGE + 1);
    }
}
