// A program that uses a client of the API, with the types that openapi-typescript makes of its
// description. `make generators` has tsc check it: a description that has lost a type, or has
// become laxer, is an error here. The lines after @ts-expect-error must not compile.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Plugin = components["schemas"]["Plugin"];

/** Moves a new order, and returns what each plugin has answered, by name. */
export async function moveOrder(baseUrl: string, token: string): Promise<Map<string, string>> {
  const client = createClient<paths>({ baseUrl, headers: { Authorization: `Bearer ${token}` } });
  const created = await client.POST("/api/v1/orders", {
    body: { customer_id: "c-1", currency: "EUR", items: [{ sku: "s-1", quantity: 2, unit_price_cents: 250 }] },
  });
  if (created.error) throw new Error(`${created.error.status}: ${created.error.detail}`);
  const id: string = created.data.id;
  const total: number = created.data.total_cents;
  await client.POST("/api/v1/orders/{id}/status", { params: { path: { id } }, body: { status: "confirmed" } });

  const answers = new Map<string, string>();
  const events = await client.GET("/api/v1/events", { params: { query: { subject: id, limit: 10 } } });
  for (const { event_id } of (events.data?.items ?? []).map((event) => event.metadata)) {
    const event = await client.GET("/api/v1/events/{id}", { params: { path: { id: event_id } } });
    if (!event.data || !("metadata" in event.data)) continue; // it is a CloudEvent, for whom asks for that
    for (const delivery of event.data.deliveries ?? []) {
      answers.set(delivery.plugin, delivery.error?.message ?? JSON.stringify(delivery.result ?? total));
    }
  }
  return answers;
}

/** Returns all plugins of a state, page by page. */
export async function pluginsIn(baseUrl: string, state: "active" | "paused"): Promise<Plugin[]> {
  const client = createClient<paths>({ baseUrl });
  const all: Plugin[] = [];
  for (let cursor: string | undefined; ; ) {
    const { data, error } = await client.GET("/api/v1/events/plugins", { params: { query: { state, limit: 100, cursor } } });
    if (error) throw new Error(error.title);
    all.push(...data.items);
    if (data.next === null) return all;
    cursor = data.next;
  }
}

/** Uses the API in ways that are wrong. */
export async function misuse(): Promise<void> {
  const client = createClient<paths>({ baseUrl: "" });
  // @ts-expect-error there is no such path
  await client.GET("/api/v1/nothing");
  // @ts-expect-error a path has only its own methods
  await client.DELETE("/api/v1/events");
  // @ts-expect-error an order needs a customer
  await client.POST("/api/v1/orders", { body: { currency: "EUR", items: [] } });
  // @ts-expect-error the parameters of a path are required
  await client.GET("/api/v1/events/{id}");
  // @ts-expect-error there is no such state of a plugin
  await client.GET("/api/v1/events/plugins", { params: { query: { state: "running" } } });
  // @ts-expect-error a limit is a number
  await client.GET("/api/v1/orders", { params: { query: { limit: "ten" } } });
}
