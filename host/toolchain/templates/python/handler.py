import berth


def handle(event):
    """Called for each event; what it returns is the result."""
    cents = event.int("/data/total_cents", None)
    if cents is None:
        raise berth.Reject("this is not an order")
    berth.log.info("order " + event.field("/data/order_id") + " is " + event.field("/data/status"))
    return {"order": event.field("/data/order_id"), "big": cents >= 10_000}
