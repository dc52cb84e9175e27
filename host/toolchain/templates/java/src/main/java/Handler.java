import berth.Berth;
import berth.Event;
import berth.JsonObject;
import berth.Log;
import berth.Reject;
import berth.Result;

public final class Handler {
    public static void main(String[] args) {
        Berth.run(Handler::handle);
    }

    /** Called for each event; what it returns is the result. */
    static Result handle(Event event) {
        long cents = event.number("/data/total_cents", -1);
        if (cents < 0) {
            throw new Reject("this is not an order");
        }
        Log.info("order " + event.text("/data/order_id") + " is " + event.text("/data/status"));
        return new JsonObject()
                .put("order", event.text("/data/order_id"))
                .put("big", cents >= 10_000)
                .result();
    }
}
