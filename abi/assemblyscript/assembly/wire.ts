// The functions of berth_v1 as they are imported. Ranges are pointer and length in bytes.

// @ts-ignore: decorator
@external("berth_v1", "next")
export declare function next(buf: usize, cap: i32): i32;
// @ts-ignore: decorator
@external("berth_v1", "field")
export declare function field(pointer: usize, length: i32, buf: usize, cap: i32): i32;
// @ts-ignore: decorator
@external("berth_v1", "finish")
export declare function finish(status: i32, bytes: usize, length: i32): i32;
// @ts-ignore: decorator
@external("berth_v1", "emit")
export declare function emit(json: usize, length: i32): i32;
// @ts-ignore: decorator
@external("berth_v1", "log")
export declare function log(level: i32, text: usize, length: i32): void;
// @ts-ignore: decorator
@external("berth_v1", "config")
export declare function config(buf: usize, cap: i32): i32;
// @ts-ignore: decorator
@external("berth_v1", "secret")
export declare function secret(name: usize, length: i32, buf: usize, cap: i32): i32;
// @ts-ignore: decorator
@external("berth_v1", "kv_get")
export declare function kv_get(key: usize, keyLength: i32, buf: usize, cap: i32): i32;
// @ts-ignore: decorator
@external("berth_v1", "kv_set")
export declare function kv_set(key: usize, keyLength: i32, value: usize, length: i32): i32;
// @ts-ignore: decorator
@external("berth_v1", "kv_cas")
export declare function kv_cas(key: usize, keyLength: i32, old: usize, oldLength: i32, value: usize, length: i32): i32;
// @ts-ignore: decorator
@external("berth_v1", "kv_delete")
export declare function kv_delete(key: usize, keyLength: i32): i32;
// @ts-ignore: decorator
@external("berth_v1", "kv_list")
export declare function kv_list(prefix: usize, prefixLength: i32, after: usize, afterLength: i32, buf: usize, cap: i32): i32;
// @ts-ignore: decorator
@external("berth_v1", "kv_expire")
export declare function kv_expire(key: usize, keyLength: i32, seconds: i32): i32;
// @ts-ignore: decorator
@external("berth_v1", "trace")
export declare function trace(buf: usize, cap: i32): i32;
// @ts-ignore: decorator
@external("berth_v1", "http")
export declare function http(request: usize, length: i32, buf: usize, cap: i32): i32;
// @ts-ignore: decorator
@external("berth_v1", "attempt")
export declare function attempt(): i32;
// @ts-ignore: decorator
@external("berth_v1", "remaining")
export declare function remaining(): i32;
// @ts-ignore: decorator
@external("berth_v1", "last")
export declare function last(buf: usize, cap: i32): i32;
// @ts-ignore: decorator
@external("berth_v1", "error")
export declare function error(buf: usize, cap: i32): i32;
// @ts-ignore: decorator
@external("wasi_snapshot_preview1", "fd_write")
export declare function fd_write(descriptor: i32, pieces: usize, count: i32, written: usize): i32;
