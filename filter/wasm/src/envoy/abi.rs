//! The ABI's calls (proxy-wasm 0.2.1), each with its status as a result.
#![allow(unsafe_code)]

#[deny(unsafe_code)]
mod types;

use latchkey_filter_core::host::LocalResponse;
use std::ptr::null_mut;
pub(super) use types::{
    BufferType, CAS_MISMATCH, LogLevel, MapType, MetricType, NOT_FOUND, StreamType,
};
use types::{GRPC_STATUS_OF_HTTP, Status, check, pairs};

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: LogLevel, message: *const u8, size: usize) -> Status;
    fn proxy_get_current_time_nanoseconds(time: *mut u64) -> Status;
    fn proxy_set_tick_period_milliseconds(period: u32) -> Status;
    fn proxy_get_buffer_bytes(
        buffer: BufferType,
        start: usize,
        max_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> Status;
    fn proxy_get_header_map_pairs(map: MapType, data: *mut *mut u8, size: *mut usize) -> Status;
    fn proxy_replace_header_map_value(
        map: MapType,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> Status;
    fn proxy_remove_header_map_value(map: MapType, name: *const u8, name_size: usize) -> Status;
    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> Status;
    fn proxy_set_property(
        path: *const u8,
        path_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> Status;
    fn proxy_get_shared_data(
        name: *const u8,
        name_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        version: *mut u32,
    ) -> Status;
    fn proxy_set_shared_data(
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
        version: u32,
    ) -> Status;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> Status;
    fn proxy_define_metric(
        kind: MetricType,
        name: *const u8,
        name_size: usize,
        id: *mut u32,
    ) -> Status;
    fn proxy_increment_metric(id: u32, offset: i64) -> Status;
    fn proxy_record_metric(id: u32, value: u64) -> Status;
    fn proxy_get_metric(id: u32, value: *mut u64) -> Status;
    fn proxy_set_effective_context(context: u32) -> Status;
    fn proxy_close_stream(stream: StreamType) -> Status;
    fn proxy_grpc_stream(
        service: *const u8,
        service_size: usize,
        name: *const u8,
        name_size: usize,
        method: *const u8,
        method_size: usize,
        metadata: *const u8,
        metadata_size: usize,
        stream: *mut u32,
    ) -> Status;
    fn proxy_grpc_send(stream: u32, message: *const u8, size: usize, end: u32) -> Status;
    fn proxy_grpc_cancel(stream: u32) -> Status;
    fn proxy_grpc_close(stream: u32) -> Status;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn clock_time_get(clock: u32, precision: u64, time: *mut u64) -> Status;
    fn random_get(buffer: *mut u8, size: usize) -> Status;
    fn environ_sizes_get(count: *mut usize, size: *mut usize) -> Status;
    fn environ_get(variables: *mut *mut u8, buffer: *mut u8) -> Status;
}

/// WASI's monotonic clock, which is never set.
const MONOTONIC: u32 = 1;

/// Allocates `size` bytes that the host is about to fill, and that [`owned`] takes over.
pub(super) fn allocate(size: usize) -> *mut u8 {
    // A boxed slice, which is a vector without slack.
    Box::into_raw(vec![0u8; size].into_boxed_slice()).cast()
}

/// Takes over the bytes that a call has handed to the filter.
///
/// # Safety
/// `data` and `size` must be what the host wrote: null, or what it got from [`allocate`] for
/// exactly this many bytes, and that nobody else frees.
unsafe fn owned(data: *mut u8, size: usize) -> Vec<u8> {
    if data.is_null() {
        Vec::new()
    } else {
        // SAFETY: it was a boxed slice of this size.
        unsafe { Vec::from_raw_parts(data, size, size) }
    }
}

pub(super) fn log(level: LogLevel, message: &str) {
    // SAFETY: the host reads the message's bytes during the call.
    let _ = unsafe { proxy_log(level, message.as_ptr(), message.len()) };
}

pub(super) fn current_time() -> Result<u64, Status> {
    let mut time = 0;
    // SAFETY: the host writes eight bytes to `time`.
    check(unsafe { proxy_get_current_time_nanoseconds(&raw mut time) })?;
    Ok(time)
}

pub(super) fn monotonic_time() -> Result<u64, Status> {
    let mut time = 0;
    // SAFETY: the host writes eight bytes to `time`.
    check(unsafe { clock_time_get(MONOTONIC, 0, &raw mut time) })?;
    Ok(time)
}

pub(super) fn random() -> Result<[u8; 16], Status> {
    let mut bytes = [0; 16];
    // SAFETY: the host writes as many bytes as the array has.
    check(unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) })?;
    Ok(bytes)
}

/// Returns all variables that the host provides, each as `NAME=value` and a NUL.
pub(super) fn environment() -> Result<Vec<u8>, Status> {
    let (mut count, mut size) = (0, 0);
    // SAFETY: the host writes two numbers.
    check(unsafe { environ_sizes_get(&raw mut count, &raw mut size) })?;
    let mut variables = vec![null_mut(); count];
    let mut buffer = vec![0; size];
    // SAFETY: the host writes as many pointers and bytes as it has just said, into the buffers of
    // that size.
    check(unsafe { environ_get(variables.as_mut_ptr(), buffer.as_mut_ptr()) })?;
    Ok(buffer)
}

pub(super) fn set_tick_period(millis: u32) -> Result<(), Status> {
    // SAFETY: passes a number.
    check(unsafe { proxy_set_tick_period_milliseconds(millis) })
}

pub(super) fn buffer(buffer: BufferType) -> Result<Vec<u8>, Status> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host writes an allocation of its own making and its size.
    unsafe {
        check(proxy_get_buffer_bytes(
            buffer,
            0,
            usize::MAX,
            &raw mut data,
            &raw mut size,
        ))?;
        Ok(owned(data, size))
    }
}

/// Returns a whole header map, in the ABI's form.
pub(super) fn headers(map: MapType) -> Result<Vec<u8>, Status> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host writes an allocation of its own making and its size.
    unsafe {
        check(proxy_get_header_map_pairs(
            map,
            &raw mut data,
            &raw mut size,
        ))?;
        Ok(owned(data, size))
    }
}

pub(super) fn replace_header(map: MapType, name: &str, value: &[u8]) -> Result<(), Status> {
    // SAFETY: the host reads name and value during the call.
    check(unsafe {
        proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

pub(super) fn remove_header(map: MapType, name: &str) -> Result<(), Status> {
    // SAFETY: the host reads the name's bytes during the call.
    check(unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) })
}

/// Returns a property. The parts of its path have a NUL between them.
pub(super) fn get_property(path: &str) -> Result<Vec<u8>, Status> {
    let (mut data, mut size) = (null_mut(), 0);
    // SAFETY: the host reads the path's bytes, and writes an allocation of its own making and its
    // size.
    unsafe {
        check(proxy_get_property(
            path.as_ptr(),
            path.len(),
            &raw mut data,
            &raw mut size,
        ))?;
        Ok(owned(data, size))
    }
}

pub(super) fn set_property(path: &str, value: &[u8]) -> Result<(), Status> {
    // SAFETY: the host reads both slices during the call.
    check(unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) })
}

pub(super) fn get_shared_data(name: &str) -> Result<(Vec<u8>, u32), Status> {
    let (mut data, mut size, mut version) = (null_mut(), 0, 0);
    // SAFETY: the host reads the name, and writes an allocation of its own making, its size and a
    // number.
    unsafe {
        let status = proxy_get_shared_data(
            name.as_ptr(),
            name.len(),
            &raw mut data,
            &raw mut size,
            &raw mut version,
        );
        check(status)?;
        Ok((owned(data, size), version))
    }
}

pub(super) fn set_shared_data(name: &str, value: &[u8], version: u32) -> Result<(), Status> {
    // SAFETY: the host reads both slices during the call.
    check(unsafe {
        proxy_set_shared_data(
            name.as_ptr(),
            name.len(),
            value.as_ptr(),
            value.len(),
            version,
        )
    })
}

pub(super) fn send_local_response(response: &LocalResponse<'_>) -> Result<(), Status> {
    let LocalResponse {
        status,
        grpc_status,
        details,
        headers,
        body,
    } = *response;

    let headers = pairs(headers)?;
    // SAFETY: the host reads all slices during the call.
    check(unsafe {
        proxy_send_local_response(
            status,
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            grpc_status.map_or(GRPC_STATUS_OF_HTTP, |status| status as i32),
        )
    })
}

pub(super) fn define_metric(kind: MetricType, name: &str) -> Result<u32, Status> {
    let mut id = 0;
    // SAFETY: the host reads the name and writes a number.
    check(unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) })?;
    Ok(id)
}

pub(super) fn increment_metric(id: u32, offset: i64) -> Result<(), Status> {
    // SAFETY: passes numbers.
    check(unsafe { proxy_increment_metric(id, offset) })
}

pub(super) fn record_metric(id: u32, value: u64) -> Result<(), Status> {
    // SAFETY: passes numbers.
    check(unsafe { proxy_record_metric(id, value) })
}

pub(super) fn get_metric(id: u32) -> Result<u64, Status> {
    let mut value = 0;
    // SAFETY: the host writes eight bytes to `value`.
    check(unsafe { proxy_get_metric(id, &raw mut value) })?;
    Ok(value)
}

/// Selects a context for the calls that follow. Fails if the context no longer exists.
pub(super) fn set_effective_context(context: u32) -> Result<(), Status> {
    // SAFETY: passes a number.
    check(unsafe { proxy_set_effective_context(context) })
}

/// Resets the stream of the effective context, once the host has returned from this VM.
pub(super) fn close_stream(stream: StreamType) -> Result<(), Status> {
    // SAFETY: passes a number.
    check(unsafe { proxy_close_stream(stream) })
}

pub(super) fn open_grpc_stream(
    service: &[u8],
    name: &str,
    method: &str,
    metadata: &[(&str, &str)],
) -> Result<u32, Status> {
    let metadata = pairs(metadata)?;
    let mut stream = 0;

    // SAFETY: the host reads all slices during the call and writes a number.
    check(unsafe {
        proxy_grpc_stream(
            service.as_ptr(),
            service.len(),
            name.as_ptr(),
            name.len(),
            method.as_ptr(),
            method.len(),
            metadata.as_ptr(),
            metadata.len(),
            &raw mut stream,
        )
    })?;
    Ok(stream)
}

pub(super) fn grpc_send(stream: u32, message: &[u8]) -> Result<(), Status> {
    // SAFETY: the host reads the message during the call.
    check(unsafe { proxy_grpc_send(stream, message.as_ptr(), message.len(), 0) })
}

/// Resets an open stream, or lets the host forget one that the other side has closed.
pub(super) fn grpc_abandon(stream: u32) {
    // SAFETY: passes numbers.
    unsafe {
        if proxy_grpc_cancel(stream) != 0 {
            let _ = proxy_grpc_close(stream);
        }
    }
}
