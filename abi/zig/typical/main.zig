//! A typical handler: three fields, a short result. abi/zig/minimum is the same by
//! hand.

const berth = @import("berth");

pub const panic = berth.panic;

fn handle(event: *berth.Event) !berth.Result {
    return event.answer(.{
        .order = event.text("/data/order_id") catch return berth.reject("this is not an order"),
        .status = event.text("/data/status") catch return berth.reject("this is not an order"),
        .cents = event.int(i64, "/data/total_cents") catch return berth.reject("this is not an order"),
    });
}

export fn run() void {
    berth.run(handle);
}
