//! A proxy-wasm filter that makes the same host calls as Latchkey's filter makes for an admitted
//! request, and does nothing else: it does not hash, looks nothing up, and counts in one gauge. The
//! cost of this filter and the guard after it is the lower bound for a filter with Latchkey's
//! promises on this ABI. `make bench` compares with it.
//!
//! Its configuration is `plain`, or `full` for a key with IP lists and with limits that are
//! reported to the client.
#![cfg(target_arch = "wasm32")]
#![allow(unsafe_code, reason = "it is the bare ABI")]

use std::cell::{Cell, UnsafeCell};
use std::ptr::null_mut;

const COUNTER: u32 = 0;
const REQUEST_HEADERS: u32 = 0;
const RESPONSE_HEADERS: u32 = 2;
const PLUGIN_CONFIGURATION: u32 = 7;
const CONTINUE: u32 = 0;
const TRUE: u32 = 1;

/// An identity header of the usual length.
const IDENTITY: &[u8] = br#"key="key_0123456789ab", name="service key 1", user="usr_0123456789ab", account="acc_0123456789ab", tier="enterprise", env="live""#;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_get_metric(id: u32, value: *mut u64) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        most: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_set_property(
        path: *const u8,
        path_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
}

/// The memory that the host writes its results to. Each result overwrites the one before.
struct Arena(UnsafeCell<[u8; 1 << 16]>);

// SAFETY: a VM has one thread, and nothing refers to what is in it.
unsafe impl Sync for Arena {}

static ARENA: Arena = Arena(UnsafeCell::new([0; 1 << 16]));

thread_local! {
    static METRIC: Cell<u32> = const { Cell::new(0) };
    static IS_FULL: Cell<bool> = const { Cell::new(false) };
}

fn set_state(name: &str, value: &str) {
    // SAFETY: the host reads both during the call.
    unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
}

fn set_header(map: u32, name: &str, value: &[u8]) {
    // SAFETY: the host reads both during the call.
    unsafe {
        proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    };
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    if size <= 1 << 16 {
        ARENA.0.get().cast()
    } else {
        null_mut()
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(_context: u32, _parent: u32) {}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_context: u32, _size: usize) -> u32 {
    TRUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(_context: u32, _size: usize) -> u32 {
    let (name, mut metric) = ("latchkey_floor", 0);
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host reads the name, and writes numbers and a pointer to what it got from
    // `proxy_on_memory_allocate`.
    unsafe {
        proxy_define_metric(COUNTER, name.as_ptr(), name.len(), &raw mut metric);
        proxy_get_buffer_bytes(
            PLUGIN_CONFIGURATION,
            0,
            1 << 16,
            &raw mut data,
            &raw mut size,
        );
    }
    METRIC.set(metric);
    IS_FULL.set(size == "full".len());
    TRUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(_context: u32, _headers: usize, _end_of_stream: u32) -> u32 {
    let (mut number, mut data, mut size) = (0, null_mut(), 0);
    let (address, key) = ("source\0address", "x-api-key");
    // SAFETY: the host reads the names, and writes numbers and pointers to what it got from
    // `proxy_on_memory_allocate`.
    unsafe {
        proxy_get_header_map_pairs(REQUEST_HEADERS, &raw mut data, &raw mut size);
        proxy_get_metric(METRIC.get(), &raw mut number);
        proxy_get_current_time_nanoseconds(&raw mut number);
        if IS_FULL.get() {
            proxy_get_property(
                address.as_ptr(),
                address.len(),
                &raw mut data,
                &raw mut size,
            );
        }
        proxy_remove_header_map_value(REQUEST_HEADERS, key.as_ptr(), key.len());
    }
    set_state("latchkey_key", "key_0123456789ab");
    set_header(REQUEST_HEADERS, "x-latchkey-identity", IDENTITY);
    set_state("latchkey", "allowed");
    // SAFETY: passes numbers.
    unsafe { proxy_increment_metric(METRIC.get(), 1) };
    CONTINUE
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(
    _context: u32,
    _headers: usize,
    _end_of_stream: u32,
) -> u32 {
    if IS_FULL.get() {
        for name in [
            "x-ratelimit-limit",
            "x-ratelimit-remaining",
            "x-ratelimit-reset",
        ] {
            set_header(RESPONSE_HEADERS, name, b"1000000");
        }
    }
    CONTINUE
}
