//! The conformance handler of the Zig SDK: abi/conformance/README.md says what each
//! op does.

const std = @import("std");
const berth = @import("berth");

pub const panic = berth.panic;

const Event = berth.Event;
const Result = berth.Result;

var count: i64 = 0;

const Op = enum {
    echo,
    envelope,
    typed,
    field,
    number,
    empty,
    raw,
    retry,
    reject,
    retry_until,
    config,
    log,
    emit,
    kv_get,
    kv_set,
    kv_cas,
    kv_delete,
    kv_expire,
    kv_fill,
    kv_list,
    trace,
    http,
    secret,
    count,
    work,
    panic,
};

fn textAt(event: *Event, pointer: []const u8) []const u8 {
    return event.text(pointer) catch "";
}

fn handle(event: *Event) !Result {
    count += 1;
    const op = std.meta.stringToEnum(Op, textAt(event, "/data/op")) orelse return berth.reject("unknown op");
    return answer(event, op) catch |err| event.answer(.{ .@"error" = berth.codeName(err) });
}

fn answer(event: *Event, op: Op) !Result {
    switch (op) {
        .echo => return berth.json(event.rawJson("/data/value") catch return berth.reject("no value")),
        .envelope => return event.answer(.{ .bytes = event.envelopeJson().len }),
        .typed => return typed(event),
        .field => return event.answer(.{ .value = try event.text(textAt(event, "/data/pointer")) }),
        .number => return event.answer(.{
            .int = event.int(i64, "/data/int") catch return berth.reject("no number"),
            .bool = event.boolean("/data/bool") catch return berth.reject("no number"),
        }),
        .empty => return berth.ok,
        .raw => {
            event.finish(textAt(event, "/data/text")) catch return berth.reject("refused");
            return berth.finished;
        },
        .retry => return berth.retry(textAt(event, "/data/reason")),
        .reject => return berth.reject(textAt(event, "/data/reason")),
        .retry_until => {
            if (event.attempt() >= event.int(i32, "/data/attempt") catch 1) return event.answer(.{ .attempt = event.attempt() });
            return berth.retry(try std.fmt.allocPrint(event.arena, "attempt {d}", .{event.attempt()}));
        },
        .config => return berth.json(event.config()),
        .log => return log(event),
        .emit => {
            try event.emit(.{
                .event_type = textAt(event, "/data/type"),
                .data = event.rawJson("/data/child") catch "null",
                .subject = event.text("/data/subject") catch null,
                .idempotency_key = event.text("/data/key") catch null,
                .deliver_at = event.text("/data/at") catch null,
                .deliver_after_ms = 1000 * (event.int(u64, "/data/after") catch 0),
            });
            return event.answer(.{ .emitted = true });
        },
        .kv_get => return event.answer(.{ .value = try berth.kv.get(event, textAt(event, "/data/key")) }),
        .kv_set => {
            try berth.kv.set(textAt(event, "/data/key"), textAt(event, "/data/value"));
            return event.answer(.{ .set = true });
        },
        .kv_cas => {
            const old: ?[]const u8 = event.text("/data/old") catch null;
            try berth.kv.cas(textAt(event, "/data/key"), old, textAt(event, "/data/value"));
            return event.answer(.{ .set = true });
        },
        .kv_delete => {
            try berth.kv.delete(textAt(event, "/data/key"));
            return event.answer(.{ .deleted = true });
        },
        .kv_expire => {
            try berth.kv.expire(textAt(event, "/data/key"), try event.int(i32, "/data/seconds"));
            return event.answer(.{ .expires = true });
        },
        .kv_fill => {
            const n = try event.int(u32, "/data/n");
            for (0..n) |i| try berth.kv.set(try std.fmt.allocPrint(event.arena, "{s}{d}", .{ textAt(event, "/data/prefix"), i }), "");
            return event.answer(.{ .filled = n });
        },
        .kv_list => {
            var list: std.ArrayListUnmanaged([]const u8) = .empty;
            var keys = berth.kv.keys(event, textAt(event, "/data/prefix"));
            while (try keys.next()) |key| try list.append(event.arena, key);
            return event.answer(.{ .keys = list.items });
        },
        .trace => return event.answer(.{ .value = try event.trace() }),
        .http => return http(event),
        .secret => return event.answer(.{ .value = try event.secret(textAt(event, "/data/name")) }),
        .count => return event.answer(.{ .count = count }),
        .work => return work(event),
        .panic => @panic(textAt(event, "/data/message")),
    }
}

fn typed(event: *Event) !Result {
    const e = event.envelope();
    return event.answer(.{
        .event_type = e.event_type,
        .event_id = e.event_id,
        .idempotency_key = e.idempotency_key,
        .source = e.source,
        .subject = e.subject,
        .time = e.time,
        .correlation_id = e.correlation_id,
        .causation_id = e.causation_id,
        .traceparent = e.traceparent,
        .hops = e.hops,
        .attempt = event.attempt(),
        .time_left = event.remaining() > 0,
    });
}

fn log(event: *Event) Result {
    const Level = enum { debug, info, warn, @"error" };
    const line = textAt(event, "/data/text");
    switch (std.meta.stringToEnum(Level, textAt(event, "/data/level")) orelse return berth.reject("no such level")) {
        .debug => berth.log.debug(line),
        .info => berth.log.info(line),
        .warn => berth.log.warn(line),
        .@"error" => berth.log.err(line),
    }
    return berth.ok;
}

fn http(event: *Event) !Result {
    var headers: [1]berth.Header = undefined;
    var n: usize = 0;
    if (event.text("/data/header")) |value| {
        headers[0] = .{ .name = "x-conform", .value = value };
        n = 1;
    } else |_| {}
    const response = try event.http(.{
        .method = textAt(event, "/data/method"),
        .url = textAt(event, "/data/url"),
        .headers = headers[0..n],
        .body = textAt(event, "/data/body"),
    });
    return event.answer(.{
        .status = response.status,
        .body = response.body,
        .content_type = response.header("content-type") orelse "",
    });
}

/// Allocates and frees what so many small strings would need.
fn work(event: *Event) !Result {
    const n = try event.int(u32, "/data/n");
    for (0..n) |i| {
        const small = try std.heap.wasm_allocator.alloc(u8, 32);
        defer std.heap.wasm_allocator.free(small);
        small[0] = @truncate(i);
        std.mem.doNotOptimizeAway(small);
    }
    return event.answer(.{ .done = n });
}

fn handleBatch(batch: *berth.Batch) !Result {
    for (batch.events, batch.results) |*event, *result| {
        const op = textAt(event, "/data/op");
        if (std.mem.eql(u8, op, "fail_all")) return berth.retry(textAt(event, "/data/reason"));
        result.* = if (std.mem.eql(u8, op, "size")) try event.answer(.{ .size = batch.events.len }) else try handle(event);
    }
    return berth.ok;
}

export fn run() void {
    var memory: [1024]u8 = undefined;
    const n = berth.raw.config(&memory, memory.len);
    const batches = n > 0 and n <= memory.len and std.mem.indexOf(u8, memory[0..@intCast(n)], "\"batch\"") != null;
    if (batches) berth.runBatch(handleBatch) else berth.run(handle);
}
