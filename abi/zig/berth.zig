//! The Berth ABI, version 1, for guests in Zig, without dependencies.
//!
//!     const berth = @import("berth");
//!     pub const panic = berth.panic;
//!
//!     fn handle(event: *berth.Event) !berth.Result {
//!         const status = event.text("/data/status") catch return berth.reject("no status");
//!         return event.answer(.{ .seen = status });
//!     }
//!
//!     export fn run() void {
//!         berth.run(handle);
//!     }
//!
//! What a function yields lives in the event's arena: until the handler returns.

const std = @import("std");

/// The imports as they are. ABI.md is the contract.
pub const raw = struct {
    pub extern "berth_v1" fn next(buf: ?[*]u8, cap: u32) i32;
    pub extern "berth_v1" fn field(ptr: [*]const u8, len: u32, buf: ?[*]u8, cap: u32) i32;
    pub extern "berth_v1" fn finish(status: i32, ptr: [*]const u8, len: u32) i32;
    pub extern "berth_v1" fn emit(ptr: [*]const u8, len: u32) i32;
    pub extern "berth_v1" fn log(level: i32, ptr: [*]const u8, len: u32) void;
    pub extern "berth_v1" fn config(buf: ?[*]u8, cap: u32) i32;
    pub extern "berth_v1" fn secret(ptr: [*]const u8, len: u32, buf: ?[*]u8, cap: u32) i32;
    pub extern "berth_v1" fn kv_get(key: [*]const u8, key_len: u32, buf: ?[*]u8, cap: u32) i32;
    pub extern "berth_v1" fn kv_set(key: [*]const u8, key_len: u32, val: [*]const u8, val_len: u32) i32;
    pub extern "berth_v1" fn kv_cas(key: [*]const u8, key_len: u32, old: ?[*]const u8, old_len: i32, val: [*]const u8, val_len: u32) i32;
    pub extern "berth_v1" fn kv_delete(key: [*]const u8, key_len: u32) i32;
    pub extern "berth_v1" fn kv_list(prefix: [*]const u8, prefix_len: u32, after: [*]const u8, after_len: u32, buf: ?[*]u8, cap: u32) i32;
    pub extern "berth_v1" fn kv_expire(key: [*]const u8, key_len: u32, seconds: i32) i32;
    pub extern "berth_v1" fn trace(buf: ?[*]u8, cap: u32) i32;
    pub extern "berth_v1" fn http(req: [*]const u8, req_len: u32, buf: ?[*]u8, cap: u32) i32;
    pub extern "berth_v1" fn attempt() i32;
    pub extern "berth_v1" fn remaining() i32;
    pub extern "berth_v1" fn last(buf: ?[*]u8, cap: u32) i32;
    pub extern "berth_v1" fn @"error"(buf: ?[*]u8, cap: u32) i32;
};

const wasi = struct {
    const Piece = extern struct { at: [*]const u8, len: usize };
    extern "wasi_snapshot_preview1" fn fd_write(fd: i32, pieces: [*]const Piece, count: u32, written: *u32) i32;
};

/// The errors of calls to the host. `codeName` has their names in the ABI.
pub const Error = error{ Invalid, Denied, NotFound, TooLarge, Unavailable, Timeout, Conflict, OutOfMemory };

/// The error's name in the ABI, such as "NOT_FOUND".
pub fn codeName(err: anyerror) []const u8 {
    return switch (err) {
        error.Invalid => "INVALID",
        error.Denied => "DENIED",
        error.NotFound => "NOT_FOUND",
        error.TooLarge => "TOO_LARGE",
        error.Unavailable => "UNAVAILABLE",
        error.Timeout => "TIMEOUT",
        error.Conflict => "CONFLICT",
        else => @errorName(err),
    };
}

/// The length that a call answered, or its error.
fn checked(n: i32) Error!usize {
    if (n >= 0) return @intCast(n);
    return switch (n) {
        -2 => error.Invalid,
        -3 => error.Denied,
        -4 => error.NotFound,
        -5 => error.TooLarge,
        -7 => error.Timeout,
        -8 => error.Conflict,
        else => error.Unavailable,
    };
}

const Status = enum(i32) { ok = 0, retry = 1, reject = 2, finished = 3 };

/// How an event ends. `answer` and `json` make a result, `ok` one without content.
pub const Result = struct {
    status: Status,
    text: []const u8,
};

/// Success without a result.
pub const ok: Result = .{ .status = .ok, .text = "" };

/// Success with JSON text as the result. If it is not JSON, the event is rejected.
pub fn json(text: []const u8) Result {
    return .{ .status = .ok, .text = text };
}

/// The event is delivered again after a pause.
pub fn retry(reason: []const u8) Result {
    return .{ .status = .retry, .text = reason };
}

/// The event becomes a dead letter immediately.
pub fn reject(reason: []const u8) Result {
    return .{ .status = .reject, .text = reason };
}

/// What a handler returns that has closed the event itself, by `Event.finish`.
pub const finished: Result = .{ .status = .finished, .text = "" };

/// JSON text that is written as it is, where a value is expected.
pub const Raw = struct { text: []const u8 };

/// The envelope, typed. A member that is missing is empty.
pub const Envelope = struct {
    event_type: []const u8,
    /// JSON.
    data: []const u8,
    event_id: []const u8,
    idempotency_key: []const u8,
    source: []const u8,
    subject: []const u8,
    time: []const u8,
    correlation_id: []const u8,
    causation_id: []const u8,
    traceparent: []const u8,
    hops: i64,
};

/// An event that follows from the open one.
pub const Child = struct {
    event_type: []const u8,
    /// JSON: `event.toJson(value)` makes it.
    data: []const u8 = "null",
    subject: ?[]const u8 = null,
    /// null: the host derives one from the parent's.
    idempotency_key: ?[]const u8 = null,
    /// When it is due, in RFC 3339, at most a year ahead; null: at once.
    deliver_at: ?[]const u8 = null,
    /// Milliseconds from the commit of the parent; 0: at once.
    deliver_after_ms: u64 = 0,
};

pub const Header = struct { name: []const u8, value: []const u8 };

pub const Request = struct {
    method: []const u8 = "GET",
    url: []const u8,
    headers: []const Header = &.{},
    /// Any bytes.
    body: []const u8 = "",
};

pub const Response = struct {
    status: u16,
    headers: []const Header,
    body: []const u8,

    /// A header; its name is in lower case.
    pub fn header(response: Response, name: []const u8) ?[]const u8 {
        for (response.headers) |h| if (std.mem.eql(u8, h.name, name)) return h.value;
        return null;
    }
};

/// The open event, or one of a batch. Call its functions only until the handler returns.
pub const Event = struct {
    /// Memory that lives until the handler returns.
    arena: std.mem.Allocator,
    /// The index in the batch; null outside of batches.
    index: ?usize = null,

    /// The pointer from the root of what the host has opened. A malformed one stays so.
    fn rooted(event: *Event, pointer: []const u8) Error![]const u8 {
        const index = event.index orelse return pointer;
        if (pointer.len > 0 and pointer[0] != '/') return pointer;
        return std.fmt.allocPrint(event.arena, "/events/{d}{s}", .{ index, pointer }) catch error.OutOfMemory;
    }

    /// The value at a JSON Pointer (RFC 6901) into the envelope, such as
    /// "/data/status": a string as its text, any other value as JSON.
    pub fn text(event: *Event, pointer: []const u8) Error![]const u8 {
        const path = try event.rooted(pointer);
        const buf = unused();
        return event.yielded(buf, raw.field(path.ptr, path.len, buf.ptr, buf.len));
    }

    /// The whole number at a pointer; Invalid for anything else.
    pub fn int(event: *Event, comptime T: type, pointer: []const u8) Error!T {
        const path = try event.rooted(pointer);
        var digits: [40]u8 = undefined;
        const n = try checked(raw.field(path.ptr, path.len, &digits, digits.len));
        return if (n > digits.len) error.Invalid else wholeNumber(T, digits[0..n]);
    }

    /// The true or false at a pointer; Invalid for anything else.
    pub fn boolean(event: *Event, pointer: []const u8) Error!bool {
        const path = try event.rooted(pointer);
        var word: [5]u8 = undefined;
        const n = try checked(raw.field(path.ptr, path.len, &word, word.len));
        if (n <= word.len and std.mem.eql(u8, word[0..n], "true")) return true;
        if (n <= word.len and std.mem.eql(u8, word[0..n], "false")) return false;
        return error.Invalid;
    }

    /// Any value as the JSON that it is in the envelope, a string with its quotes.
    pub fn rawJson(event: *Event, pointer: []const u8) Error![]const u8 {
        const path = try event.rooted(pointer);
        _ = try checked(raw.field(path.ptr, path.len, null, 0));
        // field yields a string without its quotes, so the value is taken from its parent.
        const slash = std.mem.lastIndexOfScalar(u8, pointer, '/') orelse return event.text("");
        return childOf(event.arena, try event.text(pointer[0..slash]), pointer[slash + 1 ..]);
    }

    /// The value at a pointer as a T, by std.json. Unknown members are ignored.
    pub fn parse(event: *Event, comptime T: type, pointer: []const u8) !T {
        return std.json.parseFromSliceLeaky(T, event.arena, try event.rawJson(pointer), .{ .ignore_unknown_fields = true });
    }

    /// The whole envelope as JSON.
    pub fn envelopeJson(event: *Event) []const u8 {
        return event.text("") catch |err| @panic(@errorName(err));
    }

    /// The envelope, typed.
    pub fn envelope(event: *Event) Envelope {
        return .{
            .event_type = event.optional("/event_type"),
            .data = event.rawJson("/data") catch "null",
            .event_id = event.optional("/metadata/event_id"),
            .idempotency_key = event.optional("/metadata/idempotency_key"),
            .source = event.optional("/metadata/source"),
            .subject = event.optional("/metadata/subject"),
            .time = event.optional("/metadata/time"),
            .correlation_id = event.optional("/metadata/correlation_id"),
            .causation_id = event.optional("/metadata/causation_id"),
            .traceparent = event.optional("/metadata/traceparent"),
            .hops = event.int(i64, "/metadata/hops") catch 0,
        };
    }

    fn optional(event: *Event, pointer: []const u8) []const u8 {
        return event.text(pointer) catch "";
    }

    /// 1 on the first delivery of the event.
    pub fn attempt(event: *Event) i32 {
        _ = event;
        return raw.attempt();
    }

    /// Milliseconds until the event's deadline.
    pub fn remaining(event: *Event) i32 {
        _ = event;
        return raw.remaining();
    }

    /// A value as JSON text: structs, slices, arrays, strings, optionals, enums,
    /// whole numbers, floats, bools, and Raw.
    pub fn toJson(event: *Event, value: anytype) Error![]const u8 {
        var w = Writer.init(event.arena);
        try w.write(value);
        return w.text();
    }

    /// Success with a value as the result.
    pub fn answer(event: *Event, value: anytype) Error!Result {
        return json(try event.toJson(value));
    }

    /// Closes the event with JSON text at once: Invalid if the host refuses it. The
    /// handler returns `finished` afterwards.
    pub fn finish(event: *Event, result: []const u8) Error!void {
        _ = event;
        _ = try checked(raw.finish(@intFromEnum(Status.ok), result.ptr, result.len));
    }

    /// Adds a child to the event. The children are published when it succeeds, in a batch
    /// when this event does.
    /// Capability emit.
    pub fn emit(event: *Event, child: Child) Error!void {
        var w = Writer.init(event.arena);
        try w.put("{\"event_type\":");
        try w.string(child.event_type);
        try w.put(",\"data\":");
        try w.put(child.data);
        var digits: [24]u8 = undefined;
        const after = std.fmt.bufPrint(&digits, "{d}ms", .{child.deliver_after_ms}) catch return error.Invalid;
        const members = [_]struct { []const u8, ?[]const u8 }{
            .{ "\"subject\":", child.subject },
            .{ "\"idempotency_key\":", child.idempotency_key },
            .{ "\"deliver_at\":", child.deliver_at },
            .{ "\"deliver_after\":", if (child.deliver_after_ms == 0) null else after },
        };
        var separator: []const u8 = ",\"metadata\":{";
        for (members) |member| if (member[1]) |value| {
            try w.put(separator);
            try w.put(member[0]);
            try w.string(value);
            separator = ",";
        };
        if (separator.len == 1) try w.put("}");
        if (event.index) |index| {
            try w.put(",\"parent_index\":");
            try w.write(index);
        }
        try w.put("}");
        const child_text = w.text();
        _ = try checked(raw.emit(child_text.ptr, child_text.len));
    }

    /// The W3C traceparent of the attempt; NotFound if the host does not trace it.
    pub fn trace(event: *Event) Error![]const u8 {
        const buf = unused();
        return event.yielded(buf, raw.trace(buf.ptr, buf.len));
    }

    /// A secret by name. Capability secret.
    pub fn secret(event: *Event, name: []const u8) Error![]const u8 {
        const buf = unused();
        return event.yielded(buf, raw.secret(name.ptr, name.len, buf.ptr, buf.len));
    }

    /// The handler's configuration as JSON; {} when there is none.
    pub fn config(event: *Event) []const u8 {
        const buf = unused();
        return event.yielded(buf, raw.config(buf.ptr, buf.len)) catch "{}";
    }

    /// The handler's configuration as a T, by std.json. Unknown members are ignored.
    pub fn parseConfig(event: *Event, comptime T: type) !T {
        return std.json.parseFromSliceLeaky(T, event.arena, event.config(), .{ .ignore_unknown_fields = true });
    }

    /// Sends a request. A response of any status is a success. Capability http.
    pub fn http(event: *Event, request: Request) Error!Response {
        var w = Writer.init(event.arena);
        try w.put("{\"method\":");
        try w.string(request.method);
        try w.put(",\"url\":");
        try w.string(request.url);
        if (request.headers.len > 0) {
            for (request.headers, 0..) |h, i| {
                try w.put(if (i == 0) ",\"headers\":{" else ",");
                try w.string(h.name);
                try w.put(":");
                try w.string(h.value);
            }
            try w.put("}");
        }
        if (std.unicode.utf8ValidateSlice(request.body)) {
            if (request.body.len > 0) {
                try w.put(",\"body\":");
                try w.string(request.body);
            }
        } else {
            const encoder = std.base64.standard.Encoder;
            const encoded = try event.arena.alloc(u8, encoder.calcSize(request.body.len));
            try w.put(",\"body_base64\":");
            try w.string(encoder.encode(encoded, request.body));
        }
        try w.put("}");
        const request_text = w.text();
        const buf = unused();
        return event.response(try event.yielded(buf, raw.http(request_text.ptr, request_text.len, buf.ptr, buf.len)));
    }

    fn response(event: *Event, text_of_response: []const u8) Error!Response {
        var out: Response = .{ .status = 0, .headers = &.{}, .body = "" };
        var walk = Walk.init(text_of_response);
        while (try walk.next(event.arena)) |m| {
            if (std.mem.eql(u8, m.name, "status")) {
                out.status = try wholeNumber(u16, m.value);
            } else if (std.mem.eql(u8, m.name, "body")) {
                out.body = try unquoted(event.arena, m.value);
            } else if (std.mem.eql(u8, m.name, "body_base64")) {
                const encoded = try unquoted(event.arena, m.value);
                const decoder = std.base64.standard.Decoder;
                const bytes = try event.arena.alloc(u8, decoder.calcSizeForSlice(encoded) catch return error.Invalid);
                decoder.decode(bytes, encoded) catch return error.Invalid;
                out.body = bytes;
            } else if (std.mem.eql(u8, m.name, "headers")) {
                out.headers = try event.headersOf(m.value);
            }
        }
        return out;
    }

    fn headersOf(event: *Event, object: []const u8) Error![]const Header {
        var count: usize = 0;
        var walk = Walk.init(object);
        while (try walk.next(event.arena)) |_| count += 1;
        const headers = try event.arena.alloc(Header, count);
        walk = Walk.init(object);
        for (headers) |*h| {
            const m = (try walk.next(event.arena)).?;
            h.* = .{ .name = m.name, .value = try unquoted(event.arena, m.value) };
        }
        return headers;
    }

    /// Why the latest call of the host failed, as the host explains it.
    pub fn lastError(event: *Event) []const u8 {
        const buf = unused();
        return event.yielded(buf, raw.@"error"(buf.ptr, buf.len)) catch "";
    }

    /// The n bytes that a yielding call answered: in the buffer, or by asking for them
    /// again with a buffer of that size.
    fn yielded(event: *Event, buf: []u8, n: i32) Error![]const u8 {
        const len = try checked(n);
        if (len <= buf.len) {
            scratch_used += len;
            return buf[0..len];
        }
        const bytes = try event.arena.alloc(u8, len);
        if (raw.last(bytes.ptr, len) != n) return error.Unavailable;
        return bytes;
    }
};

/// The buffer of yielding calls. What fits stays in it until the handler returns.
var scratch: [8192]u8 = undefined;
var scratch_used: usize = 0;

fn unused() []u8 {
    return scratch[scratch_used..];
}

/// The plugin's durable state. Capability kv.
pub const kv = struct {
    pub fn get(event: *Event, key: []const u8) Error![]const u8 {
        const buf = unused();
        return event.yielded(buf, raw.kv_get(key.ptr, key.len, buf.ptr, buf.len));
    }

    /// Writes a value; the last write wins.
    pub fn set(key: []const u8, value: []const u8) Error!void {
        _ = try checked(raw.kv_set(key.ptr, key.len, value.ptr, value.len));
    }

    /// Writes a value if the present one equals `old`, or, if that is null, if there is
    /// none; else Conflict.
    pub fn cas(key: []const u8, old: ?[]const u8, value: []const u8) Error!void {
        const old_len: i32 = if (old) |o| @intCast(o.len) else -1;
        const old_ptr: ?[*]const u8 = if (old) |o| o.ptr else null;
        _ = try checked(raw.kv_cas(key.ptr, key.len, old_ptr, old_len, value.ptr, value.len));
    }

    /// Removes a key. One that is not there is no error.
    pub fn delete(key: []const u8) Error!void {
        _ = try checked(raw.kv_delete(key.ptr, key.len));
    }

    /// Has a key disappear after so many seconds, 0 to 2^31-1. 0 removes the limit, and so
    /// does `set`; `cas` keeps it. NotFound.
    pub fn expire(key: []const u8, seconds: i32) Error!void {
        _ = try checked(raw.kv_expire(key.ptr, key.len, seconds));
    }

    /// Begins a walk over the keys that begin with a prefix, "" for all, in bytewise order:
    ///
    ///     var keys = berth.kv.keys(event, "order/");
    ///     while (try keys.next()) |key| ...
    pub fn keys(event: *Event, prefix: []const u8) Keys {
        return .{ .event = event, .prefix = prefix };
    }

    /// A walk over keys. They are asked for as they are needed: keys written meanwhile may
    /// or may not appear.
    pub const Keys = struct {
        event: *Event,
        prefix: []const u8,
        after: []const u8 = "",
        page: []const u8 = "",

        /// The next key; null when there are no more.
        pub fn next(k: *Keys) Error!?[]const u8 {
            if (k.page.len == 0) {
                const buf = unused();
                const n = raw.kv_list(k.prefix.ptr, k.prefix.len, k.after.ptr, k.after.len, buf.ptr, buf.len);
                k.page = try k.event.yielded(buf, n);
                if (k.page.len == 0) return null;
            }
            const size = std.mem.readInt(u32, k.page[0..4], .little);
            k.after = k.page[4..][0..size];
            k.page = k.page[4 + size ..];
            return k.after;
        }
    };
};

pub const log = struct {
    pub fn debug(line: []const u8) void {
        raw.log(0, line.ptr, line.len);
    }
    pub fn info(line: []const u8) void {
        raw.log(1, line.ptr, line.len);
    }
    pub fn warn(line: []const u8) void {
        raw.log(2, line.ptr, line.len);
    }
    pub fn err(line: []const u8) void {
        raw.log(3, line.ptr, line.len);
    }
};

/// Calls `handle`, a `fn (*berth.Event) !berth.Result`, for each event, and returns when the host ends the instance:
/// `run` should return then. An error of the handler is a retry, with its name as
/// the reason.
pub fn run(comptime handle: anytype) void {
    var memory = std.heap.ArenaAllocator.init(std.heap.wasm_allocator);
    var first = true;
    while (await()) {
        var event: Event = .{ .arena = memory.allocator() };
        if (first and !isEvent()) @panic("the manifest asks for batches: use berth.runBatch");
        first = false;
        close(&event, handle(&event) catch |err| retry(@errorName(err)), .reject);
        _ = memory.reset(.retain_capacity);
        scratch_used = 0;
    }
}

/// Waits for an event or a batch; false when the host ends the instance.
fn await() bool {
    const n = raw.next(null, 0); // the host keeps the envelope for whoever asks for it
    if (n < -1) @panic("next failed");
    return n >= 0;
}

/// Whether what the host has opened is one event, and not a batch.
fn isEvent() bool {
    const pointer = "/event_type";
    return raw.field(pointer, pointer.len, null, 0) >= 0;
}

/// One or more events in the order of the log, no two with the same order key.
pub const Batch = struct {
    /// Memory that lives until the handler returns.
    arena: std.mem.Allocator,
    events: []Event,
    /// How each event ends if the handler returns `ok`; at first that is `ok`. With "state":
    /// "atomic" the host refuses a batch in which some events fail: return the failure of all.
    results: []Result,

    fn open(arena: std.mem.Allocator) Error!Batch {
        const single = isEvent();
        var n: usize = 1;
        if (!single) {
            var root: Event = .{ .arena = arena };
            var walk = Walk.init(try root.text("/events"));
            n = 0;
            while (try walk.next(arena)) |_| n += 1;
        }
        const batch: Batch = .{ .arena = arena, .events = try arena.alloc(Event, n), .results = try arena.alloc(Result, n) };
        for (batch.events, 0..) |*event, i| event.* = .{ .arena = arena, .index = if (single) null else i };
        @memset(batch.results, ok);
        return batch;
    }

    fn result(batch: *Batch) Error!Result {
        var w = Writer.init(batch.arena);
        try w.put("{\"results\":");
        for (batch.results, 0..) |r, i| {
            try w.put(if (i == 0) "[" else ",");
            try w.put(if (r.status == .ok and r.text.len > 0) r.text else "null");
        }
        try w.put("]");
        var separator: []const u8 = ",\"failures\":[";
        for (batch.results, 0..) |r, i| {
            if (r.status != .retry and r.status != .reject) continue;
            try w.put(separator);
            try w.write(.{ .index = i, .status = r.status, .reason = r.text });
            separator = ",";
        }
        try w.put(if (separator.len == 1) "]}" else "}");
        return json(w.text());
    }
};

/// As `run`, for a manifest with a batch: `handle` is a `fn (*berth.Batch) !berth.Result`. What
/// it returns besides `ok` is of all events. If the operator has disabled batches, each event
/// comes in a batch of its own.
pub fn runBatch(comptime handle: anytype) void {
    var memory = std.heap.ArenaAllocator.init(std.heap.wasm_allocator);
    while (await()) {
        var batch = Batch.open(memory.allocator()) catch |err| @panic(@errorName(err));
        var all = handle(&batch) catch |err| retry(@errorName(err));
        var root: Event = .{ .arena = batch.arena };
        if (all.status == .ok) {
            const single = batch.events[0].index == null;
            all = if (single) batch.results[0] else batch.result() catch |err| @panic(@errorName(err));
        }
        // When the events come alone again, only the one with the refused result is rejected.
        close(&root, all, if (batch.events.len > 1) .retry else .reject);
        _ = memory.reset(.retain_capacity);
        scratch_used = 0;
    }
}

/// Closes what the host has opened. Another attempt would make the same result, so an event
/// whose result the host refuses is rejected.
fn close(event: *Event, result: Result, refused: Status) void {
    if (result.status == .finished) return;
    if (raw.finish(@intFromEnum(result.status), result.text.ptr, result.text.len) >= 0) return;
    const reason = std.mem.concat(event.arena, u8, &.{ "the host refused the result: ", event.lastError() }) catch "the host refused the result";
    if (raw.finish(@intFromEnum(refused), reason.ptr, reason.len) < 0) @panic("the host refused a reason");
}

/// Writes the message of a panic to fd 2, where the host takes it into the
/// delivery's error, and traps. The root file has `pub const panic = berth.panic;`.
pub const panic = std.debug.FullPanic(panicked);

fn panicked(message: []const u8, _: ?usize) noreturn {
    const pieces = [_]wasi.Piece{
        .{ .at = "panic: ", .len = 7 },
        .{ .at = message.ptr, .len = message.len },
        .{ .at = "\n", .len = 1 },
    };
    var written: u32 = 0;
    _ = wasi.fd_write(2, &pieces, pieces.len, &written);
    @trap();
}

/// Writes JSON, into the unused part of the buffer while it fits, else into the arena.
const Writer = struct {
    arena: std.mem.Allocator,
    bytes: []u8,
    len: usize = 0,
    in_arena: bool = false,

    fn init(arena: std.mem.Allocator) Writer {
        return .{ .arena = arena, .bytes = unused() };
    }

    /// Ends the writing; the text lives until the handler returns.
    fn text(w: *Writer) []const u8 {
        if (!w.in_arena) scratch_used += w.len;
        return w.bytes[0..w.len];
    }

    fn put(w: *Writer, part: []const u8) Error!void {
        @setRuntimeSafety(false);
        if (w.bytes.len - w.len < part.len) try w.grow(part.len);
        @memcpy(w.bytes[w.len..][0..part.len], part);
        w.len += part.len;
    }

    fn grow(w: *Writer, more: usize) Error!void {
        const size = @max(1024, 2 * w.len, w.len + more);
        if (w.in_arena) {
            w.bytes = try w.arena.realloc(w.bytes, size);
            return;
        }
        const bytes = try w.arena.alloc(u8, size);
        @memcpy(bytes[0..w.len], w.bytes[0..w.len]);
        w.bytes = bytes;
        w.in_arena = true;
    }

    /// Writes a JSON string. Bytes that are not UTF-8 become U+FFFD.
    fn string(w: *Writer, part: []const u8) Error!void {
        @setRuntimeSafety(false); // the loop checks every bound
        const hex = "0123456789abcdef";
        try w.put("\"");
        var clean: usize = 0;
        var i: usize = 0;
        while (i < part.len) {
            const c = part[i];
            if (c >= 0x20 and c != '"' and c != '\\' and c < 0x80) {
                i += 1;
                continue;
            }
            if (c >= 0x80) {
                const n = characterLen(part[i..]);
                if (n > 0) {
                    i += n;
                    continue;
                }
            }
            try w.put(part[clean..i]);
            i += 1;
            clean = i;
            switch (c) {
                '"' => try w.put("\\\""),
                '\\' => try w.put("\\\\"),
                0...0x1f => try w.put(&.{ '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] }),
                else => try w.put("\u{fffd}"),
            }
        }
        try w.put(part[clean..]);
        try w.put("\"");
    }

    fn write(w: *Writer, value: anytype) Error!void {
        const T = @TypeOf(value);
        if (T == Raw) return w.put(value.text);
        switch (@typeInfo(T)) {
            .bool => try w.put(if (value) "true" else "false"),
            .int, .comptime_int => {
                var digits: [40]u8 = undefined;
                try w.put(std.fmt.bufPrint(&digits, "{d}", .{value}) catch return error.TooLarge);
            },
            .float, .comptime_float => {
                var digits: [400]u8 = undefined;
                try w.put(std.fmt.bufPrint(&digits, "{d}", .{value}) catch return error.TooLarge);
            },
            .null => try w.put("null"),
            .optional => if (value) |v| try w.write(v) else try w.put("null"),
            .@"enum" => try w.string(@tagName(value)),
            .@"struct" => |s| {
                try w.put(if (s.is_tuple) "[" else "{");
                inline for (comptime std.meta.fieldNames(T), 0..) |name, i| {
                    if (i > 0) try w.put(",");
                    if (!s.is_tuple) {
                        try w.string(name);
                        try w.put(":");
                    }
                    try w.write(@field(value, name));
                }
                try w.put(if (s.is_tuple) "]" else "}");
            },
            .array => try w.write(@as([]const std.meta.Elem(T), &value)),
            .pointer => |p| switch (p.size) {
                .one => if (@typeInfo(p.child) == .array) try w.write(@as([]const std.meta.Elem(T), value)) else try w.write(value.*),
                else => if (p.child == u8) try w.string(value) else {
                    try w.put("[");
                    for (value, 0..) |item, i| {
                        if (i > 0) try w.put(",");
                        try w.write(item);
                    }
                    try w.put("]");
                },
            },
            else => @compileError("no JSON for " ++ @typeName(T)),
        }
    }
};

/// The length of the character in UTF-8 that a text begins with, or 0.
fn characterLen(part: []const u8) usize {
    const n = std.unicode.utf8ByteSequenceLength(part[0]) catch return 0;
    if (part.len < n) return 0;
    _ = std.unicode.utf8Decode(part[0..n]) catch return 0;
    return n;
}

/// A whole number: digits, with a minus before them or not.
fn wholeNumber(comptime T: type, digits: []const u8) Error!T {
    for (digits, 0..) |c, i| switch (c) {
        '0'...'9' => {},
        '-' => if (i > 0) return error.Invalid,
        else => return error.Invalid,
    };
    return std.fmt.parseInt(T, digits, 10) catch error.Invalid;
}

/// The members of an object or the items of an array, as JSON:
///
///     var walk = berth.Walk.init(text);
///     while (try walk.next(event.arena)) |member| ...
pub const Walk = struct {
    text: []const u8,
    at: usize,
    open: u8,

    /// The name is empty for an item; `value` is JSON.
    pub const Member = struct { name: []const u8, value: []const u8 };

    pub fn init(text: []const u8) Walk {
        const at = skipBlanks(text, 0);
        if (at == text.len or (text[at] != '{' and text[at] != '[')) return .{ .text = text, .at = at, .open = 0 };
        return .{ .text = text, .at = at + 1, .open = text[at] };
    }

    pub fn next(w: *Walk, arena: std.mem.Allocator) Error!?Member {
        var at = skipBlanks(w.text, w.at);
        if (w.open == 0 or at == w.text.len or w.text[at] == '}' or w.text[at] == ']') return null;
        var member: Member = .{ .name = "", .value = "" };
        if (w.open == '{') {
            const stop = try skipString(w.text, at);
            member.name = try unquoted(arena, w.text[at..stop]);
            at = skipBlanks(w.text, stop);
            if (at == w.text.len or w.text[at] != ':') return error.Invalid;
            at = skipBlanks(w.text, at + 1);
        }
        const stop = try skipValue(w.text, at);
        member.value = w.text[at..stop];
        w.at = skipBlanks(w.text, stop);
        if (w.at < w.text.len and w.text[w.at] == ',') w.at += 1;
        return member;
    }
};

fn skipBlanks(text: []const u8, start: usize) usize {
    var at = start;
    while (at < text.len and (text[at] == ' ' or text[at] == '\n' or text[at] == '\t' or text[at] == '\r')) at += 1;
    return at;
}

/// The end of the string that begins with the quote at `start`.
fn skipString(text: []const u8, start: usize) Error!usize {
    if (start >= text.len or text[start] != '"') return error.Invalid;
    var at = start + 1;
    while (at < text.len) : (at += 1) switch (text[at]) {
        '"' => return at + 1,
        '\\' => at += 1,
        else => {},
    };
    return error.Invalid;
}

/// The end of the value that begins at `start`.
fn skipValue(text: []const u8, start: usize) Error!usize {
    var at = start;
    var depth: usize = 0;
    while (true) {
        at = skipBlanks(text, at);
        if (at == text.len) return error.Invalid;
        switch (text[at]) {
            '"' => at = try skipString(text, at),
            '{', '[' => {
                depth += 1;
                at += 1;
            },
            '}', ']', ',', ':' => {
                if (depth == 0) return error.Invalid;
                if (text[at] == '}' or text[at] == ']') depth -= 1;
                at += 1;
            },
            else => while (at < text.len and std.mem.indexOfScalar(u8, ",]}:\" \n\t\r", text[at]) == null) {
                at += 1;
            },
        }
        if (depth == 0) return at;
    }
}

/// The text of a JSON string. Half of a surrogate pair reads as U+FFFD.
pub fn unquoted(arena: std.mem.Allocator, string: []const u8) Error![]const u8 {
    if (string.len < 2 or string[0] != '"' or string[string.len - 1] != '"') return error.Invalid;
    const text = string[1 .. string.len - 1];
    if (std.mem.indexOfScalar(u8, text, '\\') == null) return text;
    const out = try arena.alloc(u8, text.len);
    var n: usize = 0;
    var i: usize = 0;
    while (i < text.len) {
        if (text[i] != '\\') {
            out[n] = text[i];
            n += 1;
            i += 1;
            continue;
        }
        if (i + 1 == text.len) return error.Invalid;
        const c = text[i + 1];
        i += 2;
        if (c == 'u') {
            var rune: u21 = try hex4(text, i);
            i += 4;
            if (rune >= 0xd800 and rune < 0xdc00 and i + 6 <= text.len and text[i] == '\\' and text[i + 1] == 'u') {
                const low = try hex4(text, i + 2);
                if (low >= 0xdc00 and low < 0xe000) {
                    rune = 0x10000 + ((rune - 0xd800) << 10) + (low - 0xdc00);
                    i += 6;
                }
            }
            if (rune >= 0xd800 and rune < 0xe000) rune = 0xfffd;
            n += std.unicode.utf8Encode(rune, out[n..]) catch return error.Invalid;
            continue;
        }
        out[n] = switch (c) {
            'b' => 8,
            'f' => 12,
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            '"', '\\', '/' => c,
            else => return error.Invalid,
        };
        n += 1;
    }
    return out[0..n];
}

fn hex4(text: []const u8, at: usize) Error!u21 {
    if (at + 4 > text.len) return error.Invalid;
    for (text[at..][0..4]) |c| if (!std.ascii.isHex(c)) return error.Invalid;
    return std.fmt.parseInt(u21, text[at..][0..4], 16) catch error.Invalid;
}

/// The member or item that a token of a JSON Pointer names. Of a name that occurs
/// twice the last counts.
fn childOf(arena: std.mem.Allocator, text: []const u8, token: []const u8) Error![]const u8 {
    var found: ?[]const u8 = null;
    var walk = Walk.init(text);
    if (walk.open == '[') {
        var index = std.fmt.parseInt(usize, token, 10) catch return error.NotFound;
        while (try walk.next(arena)) |item| {
            if (index == 0) return item.value;
            index -= 1;
        }
        return error.NotFound;
    }
    while (try walk.next(arena)) |member| {
        if (tokenIs(token, member.name)) found = member.value;
    }
    return found orelse error.NotFound;
}

fn tokenIs(token: []const u8, name: []const u8) bool {
    var n: usize = 0;
    var i: usize = 0;
    while (i < token.len) : (i += 1) {
        var c = token[i];
        if (c == '~' and i + 1 < token.len) {
            i += 1;
            c = if (token[i] == '1') '/' else '~';
        }
        if (n == name.len or name[n] != c) return false;
        n += 1;
    }
    return n == name.len;
}
