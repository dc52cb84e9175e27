def handle(event):
    return {
        "order": event.field("/data/order_id"),
        "status": event.field("/data/status"),
        "cents": event.int("/data/total_cents"),
    }
