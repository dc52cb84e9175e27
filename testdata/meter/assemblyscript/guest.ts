// A guest for the tests of host/sandbox/meter: strings, maps, arrays and closures
// on AssemblyScript's incremental garbage collector. build.sh compiles it.
class Item {
  constructor(public sku: string, public quantity: i32, public price: i32) {}
  total(): i32 { return this.quantity * this.price; }
}

export function inventory(n: i32): i32 {
  const items = new Array<Item>();
  const bySku = new Map<string, Item>();
  for (let i = 0; i < n; i++) {
    const item = new Item("SKU-" + (i * 7919 % 1000).toString(), i % 9 + 1, i * 31 % 500);
    items.push(item);
    bySku.set(item.sku, item);
  }
  items.sort((a, b) => a.total() - b.total());
  let text = "";
  let sum = 0;
  const skus = bySku.keys();
  for (let i = 0; i < skus.length; i++) {
    sum += bySku.get(skus[i]).total();
    if (i % 16 == 0) text += skus[i].toUpperCase() + ",";
  }
  const parts = text.split(",");
  let f: f64 = 0;
  for (let i = 0; i < parts.length; i++) f += Math.sqrt(<f64>parts[i].length) * Math.sin(<f64>i);
  return sum + parts.length + <i32>(f * 1000) + items[n / 2].total();
}
