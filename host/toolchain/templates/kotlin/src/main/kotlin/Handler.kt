import berth.Berth
import berth.Event
import berth.JsonObject
import berth.Log
import berth.Reject
import berth.Result

fun main() {
    Berth.run { event -> handle(event) }
}

/** Called for each event; what it returns is the result. */
fun handle(event: Event): Result? {
    val cents = event.number("/data/total_cents", -1)
    if (cents < 0) {
        throw Reject("this is not an order")
    }
    Log.info("order ${event.text("/data/order_id")} is ${event.text("/data/status")}")
    return JsonObject()
        .put("order", event.text("/data/order_id"))
        .put("big", cents >= 10_000)
        .result()
}
