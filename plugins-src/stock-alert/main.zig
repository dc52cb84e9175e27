//! Stock-alert emits a `stock_alert` for each item of a confirmed order that takes
//! at least the configured number of units, so that the shop orders more in time.

const std = @import("std");
const berth = @import("berth");

pub const panic = berth.panic;

const Config = struct { threshold: i64 = 10 };

const Item = struct { sku: []const u8, quantity: i64 };

const Order = struct {
    order_id: []const u8,
    status: []const u8,
    items: []const Item,
};

fn handle(event: *berth.Event) !berth.Result {
    const order = event.parse(Order, "/data") catch return berth.reject("this is not an order");
    const settings = try event.parseConfig(Config);
    if (!std.mem.eql(u8, order.status, "confirmed")) return event.answer(.{ .order = order.order_id, .skipped = true });

    const alerts = try event.arena.alloc([]const u8, order.items.len);
    var n: usize = 0;
    var published = true;
    for (order.items, 0..) |item, i| {
        if (item.quantity < settings.threshold) continue;
        alerts[n] = item.sku;
        n += 1;
        event.emit(.{
            .event_type = "stock_alert",
            .data = try event.toJson(.{ .sku = item.sku, .quantity = item.quantity, .order_id = order.order_id }),
            .subject = item.sku,
            .idempotency_key = try std.fmt.allocPrint(event.arena, "{s}:{d}", .{ order.order_id, i }),
        }) catch |err| switch (err) {
            error.Denied => published = false, // the result still has the alerts
            else => return err,
        };
    }
    if (!published) berth.log.warn("the capability emit is not granted: alerts are in the result only");
    return event.answer(.{ .order = order.order_id, .alerts = alerts[0..n], .published = published });
}

export fn run() void {
    berth.run(handle);
}
