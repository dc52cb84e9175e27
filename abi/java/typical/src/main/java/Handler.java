import berth.Berth;
import berth.JsonObject;

/** Reads three fields and answers with them. */
public final class Handler {
    public static void main(String[] args) {
        Berth.run(event -> new JsonObject()
                .put("order", event.text("/data/order_id"))
                .put("status", event.text("/data/status"))
                .put("cents", event.number("/data/total_cents", 0))
                .result());
    }
}
