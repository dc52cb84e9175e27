//! What the typical handler does, by hand with the raw imports: the measure of what
//! the SDK costs.

extern "berth_v1" fn next(buf: ?[*]u8, cap: u32) i32;
extern "berth_v1" fn field(ptr: [*]const u8, len: u32, buf: [*]u8, cap: u32) i32;
extern "berth_v1" fn finish(status: i32, ptr: [*]const u8, len: u32) i32;

var order: [256]u8 = undefined;
var status: [64]u8 = undefined;
var digits: [24]u8 = undefined;
var result: [2048]u8 = undefined;
var len: usize = 0;

fn put(text: []const u8) void {
    @memcpy(result[len..][0..text.len], text);
    len += text.len;
}

/// Writes a JSON string.
fn quoted(text: []const u8) void {
    put("\"");
    for (text) |c| {
        if (c < 0x20) {
            put(&.{ '\\', 'u', '0', '0', '0' + (c >> 4), "0123456789abcdef"[c & 15] });
            continue;
        }
        if (c == '"' or c == '\\') put("\\");
        put(&.{c});
    }
    put("\"");
}

fn read(pointer: []const u8, buf: []u8) ?[]const u8 {
    const n = field(pointer.ptr, pointer.len, buf.ptr, buf.len);
    return if (n < 0 or n > buf.len) null else buf[0..@intCast(n)];
}

fn handle() bool {
    const o = read("/data/order_id", &order) orelse return false;
    const s = read("/data/status", &status) orelse return false;
    const c = read("/data/total_cents", &digits) orelse return false;
    len = 0;
    put("{\"order\":");
    quoted(o);
    put(",\"status\":");
    quoted(s);
    put(",\"cents\":");
    put(c);
    put("}");
    return true;
}

export fn run() void {
    while (next(null, 0) >= 0) {
        if (handle()) {
            _ = finish(0, &result, len);
        } else {
            const reason = "this is not an order";
            _ = finish(2, reason, reason.len);
        }
    }
}
