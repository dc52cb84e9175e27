// What typical-ts does, without the SDK: the loop calls this function instead of the one of
// runtime.js, and it calls the functions of glue.wat.
declare const __berth: {
  field(pointer: string): string | number; // a negative number is an error
  run(): string | undefined;
};

const { field } = __berth;

__berth.run = () =>
  JSON.stringify({
    order: field("/data/order_id"),
    status: field("/data/status"),
    cents: Number(field("/data/total_cents")),
  });
