//! {{.Name}} answers what became of an order.

const std = @import("std");
const berth = @import("berth");

pub const panic = berth.panic;

fn handle(event: *berth.Event) !berth.Result {
    const order = event.text("/data/order_id") catch return berth.reject("the event is about no order");
    const status = event.text("/data/status") catch "";
    const cents = event.int(i64, "/data/total_cents") catch 0;
    berth.log.info(try std.fmt.allocPrint(event.arena, "order {s} is {s}", .{ order, status }));
    return event.answer(.{ .order = order, .status = status, .cents = cents });
}

export fn run() void {
    berth.run(handle);
}
