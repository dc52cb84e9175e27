// A program that knows nothing of Berth: it reads an event on standard input and
// answers whether the order ships for free.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char key[] = "\"total_cents\":";
static char event[1 << 20];

int main(void) {
    fread(event, 1, sizeof event - 1, stdin);
    const char *total = strstr(event, key);
    if (total == NULL) {
        fprintf(stderr, "the event is about no order\n");
        return 1;
    }
    printf("{\"free_shipping\":%s}\n", strtoll(total + strlen(key), NULL, 10) >= 5000 ? "true" : "false");
    return 0;
}
