// Guests for the tests of host/sandbox/meter, freestanding. build.sh compiles this
// file twice: for size, and with vectors and bulk memory for speed.
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;
#define EXPORT(name) __attribute__((export_name(name)))

void *memset(void *to, int v, unsigned long n) {
#ifdef __wasm_bulk_memory__
  __builtin_memset(to, v, n);
#else
  u8 *p = to;
  while (n--) *p++ = (u8)v;
#endif
  return to;
}

void *memcpy(void *to, const void *from, unsigned long n) {
#ifdef __wasm_bulk_memory__
  __builtin_memcpy(to, from, n);
#else
  u8 *p = to;
  const u8 *q = from;
  while (n--) *p++ = *q++;
#endif
  return to;
}

EXPORT("fib") u32 fib(u32 n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }

EXPORT("sum") u32 sum(u32 n) {
  u32 x = 1;
  for (u32 i = 0; i < n; i++) x = x * 1664525u + (x >> 13) + i;
  return x;
}

EXPORT("spin") void spin(void) {
  for (;;) __asm__ volatile("");
}

static u8 sieve_of[1 << 16];

EXPORT("sieve") u32 sieve(u32 n) {
  if (n > sizeof sieve_of) n = sizeof sieve_of;
  memset(sieve_of, 1, n);
  u32 count = 0;
  for (u32 i = 2; i < n; i++) {
    if (!sieve_of[i]) continue;
    count++;
    for (u32 j = 2 * i; j < n; j += i) sieve_of[j] = 0;
  }
  return count;
}

static float left[32][32], right[32][32], product[32][32];

EXPORT("matrix") u32 matrix(u32 rounds) {
  for (u32 i = 0; i < 32; i++)
    for (u32 j = 0; j < 32; j++) left[i][j] = (float)(i + j), right[i][j] = (float)(i * j % 7);
  for (u32 r = 0; r < rounds; r++)
    for (u32 i = 0; i < 32; i++)
      for (u32 j = 0; j < 32; j++) {
        float sum = 0;
        for (u32 k = 0; k < 32; k++) sum += left[i][k] * right[k][j];
        product[i][j] = sum + (float)r;
      }
  return (u32)product[31][31];
}

static int compare_up(u32 a, u32 b) { return a < b; }
static int compare_down(u32 a, u32 b) { return a > b; }
static u32 numbers[4096];

static void sort(u32 *v, int n, int (*before)(u32, u32)) {
  for (int gap = n / 2; gap > 0; gap /= 2)
    for (int i = gap; i < n; i++) {
      u32 x = v[i];
      int j = i;
      for (; j >= gap && before(x, v[j - gap]); j -= gap) v[j] = v[j - gap];
      v[j] = x;
    }
}

EXPORT("sorted") u32 sorted(u32 n, u32 down) {
  if (n > 4096) n = 4096;
  u32 x = 12345;
  for (u32 i = 0; i < n; i++) numbers[i] = x = x * 1103515245u + 12345u;
  sort(numbers, (int)n, down ? compare_down : compare_up);
  return numbers[n / 3];
}

// A stack machine: the kind of switch in a loop that interpreters are.
EXPORT("interpret") u32 interpret(u32 steps) {
  static const u8 program[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 3, 1, 4, 1, 5, 9, 2, 6};
  u32 a = 1, b = 2, pc = 0;
  while (steps--) {
    switch (program[pc]) {
    case 0: a += b; break;
    case 1: b ^= a << 3; break;
    case 2: a = a * 31 + 7; break;
    case 3: b -= a; break;
    case 4: a = (a >> 7) | (a << 25); break;
    case 5: if (a & 1) b++; else b += 3; break;
    case 6: a ^= b; break;
    case 7: b *= 2654435761u; break;
    case 8: a %= (b | 1); break;
    default: a = ~a; break;
    }
    if (++pc == sizeof program) pc = 0;
  }
  return a ^ b;
}

static u8 arena[1 << 20];

EXPORT("input") u8 *input(void) { return arena; }

EXPORT("copies") u32 copies(u32 n) {
  for (u32 i = 0; i < 1 << 12; i++) arena[i] = (u8)(i * 7);
  for (u32 i = 1; i <= n; i++) {
    memcpy(arena + 8192 + i % 100, arena + i % 50, 1 + i % 64);
    memcpy(arena + 65536, arena, 4096);
  }
  return arena[8192 + 60] + arena[65536 + 4000];
}

// handle reads an order from JSON in the input and leaves a short result behind it:
// what a small handler does.
static const u8 *skip(const u8 *p, const u8 *end) {
  while (p < end && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')) p++;
  return p;
}

static const u8 *value(const u8 *p, const u8 *end, u32 depth, u64 *total, u32 *strings);

static const u8 *string(const u8 *p, const u8 *end, u32 *hash) {
  u32 h = 2166136261u;
  for (p++; p < end && *p != '"'; p++) {
    if (*p == '\\') p++;
    h = (h ^ *p) * 16777619u;
  }
  *hash = h;
  return p + 1;
}

static const u8 *list(const u8 *p, const u8 *end, u32 depth, u64 *total, u32 *strings) {
  u8 close = *p == '{' ? '}' : ']';
  for (p = skip(p + 1, end); p < end && *p != close; p = skip(p, end)) {
    if (*p == ',' || *p == ':') {
      p++;
      continue;
    }
    p = value(p, end, depth + 1, total, strings);
  }
  return p + 1;
}

static const u8 *value(const u8 *p, const u8 *end, u32 depth, u64 *total, u32 *strings) {
  if (depth > 32) return end;
  switch (*p) {
  case '{':
  case '[':
    return list(p, end, depth, total, strings);
  case '"': {
    u32 h;
    p = string(p, end, &h);
    *strings ^= h;
    return p;
  }
  }
  if (*p >= '0' && *p <= '9') {
    u64 n = 0;
    for (; p < end && *p >= '0' && *p <= '9'; p++) n = n * 10 + (*p - '0');
    *total += n;
    return p;
  }
  return p + 1;
}

EXPORT("handle") u32 handle(u32 len) {
  u64 total = 0;
  u32 strings = 0, n = 0;
  const u8 *p = arena, *end = arena + len;
  for (p = skip(p, end); p < end; p = skip(p, end)) p = value(p, end, 0, &total, &strings);
  u8 *out = arena + len;
  memcpy(out, "{\"total\":", 9);
  u8 digits[20];
  do digits[n++] = '0' + (u8)(total % 10);
  while (total /= 10);
  for (u32 i = 0; i < n; i++) out[9 + i] = digits[n - 1 - i];
  out[9 + n] = '}';
  return strings + n + out[9];
}
