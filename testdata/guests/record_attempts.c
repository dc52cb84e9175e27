// Writes every attempt into a log outside the host: it posts "<subject> <n> <attempt>" to the
// URL of its configuration ({"url": "http://127.0.0.1:1/name"}) with /begin, and with /end once
// the answer was there. n is /data/n. Attempts up to the number at /data/fail post to /failed
// instead of /end, and ask for a retry. The answer of /begin may take as long as it likes.
#include "answer.h"

static char event[4096], config[1024], url[512], subject[256], request[2048], response[1024];

static int url_size;

static int same(const char *a, const char *b, int n) {
    for (int i = 0; i < n; i++)
        if (a[i] != b[i])
            return 0;
    return 1;
}

// Finds the value of "url" in the configuration, which has no escapes.
static int read_url(void) {
    static const char name[] = "\"url\":\"";
    const int len = sizeof name - 1;
    int n = berth_config(config, sizeof config);
    if (n < 0 || n > (int)sizeof config)
        return 0;
    for (int i = 0; i + len < n; i++) {
        if (!same(config + i, name, len))
            continue;
        for (i += len; i < n && config[i] != '"' && url_size < (int)sizeof url; i++)
            url[url_size++] = config[i];
        return 1;
    }
    return 0;
}

static int post(const char *path, int path_size, int size, int n) {
    berth_writer w = {request, request + sizeof request, 0};
    BERTH_WRITE(&w, "{\"method\":\"POST\",\"url\":\"");
    berth_write(&w, url, (unsigned)url_size);
    berth_write(&w, path, (unsigned)path_size);
    BERTH_WRITE(&w, "\",\"body\":\"");
    berth_write(&w, subject, (unsigned)size);
    berth_put(&w, ' ');
    berth_write_int(&w, n);
    berth_put(&w, ' ');
    berth_write_int(&w, (int)berth_attempt());
    BERTH_WRITE(&w, "\"}");
    int code = berth_http(request, (unsigned)(w.at - request), response, sizeof response);
    static const char good[] = "{\"status\":200";
    if (code >= (int)sizeof good - 1 && same(response, good, sizeof good - 1))
        return 0;
    return code < 0 ? code : BERTH_UNAVAILABLE;
}

#define POST(path, size, n) post((path), sizeof(path) - 1, (size), (n))

BERTH_EXPORT("run") void run(void) {
    int known = read_url();
    while (berth_next(event, sizeof event) >= 0) {
        int size = BERTH_FIELD("/metadata/subject", subject, sizeof subject), n = FIELD_INT("/data/n", -1);
        if (!known || size < 0 || size > (int)sizeof subject || n < 0) {
            BERTH_REJECT("no url, subject or n");
            continue;
        }
        if (POST("/begin", size, n) < 0) {
            BERTH_RETRY_LATER("the begin was not recorded");
            continue;
        }
        if ((int)berth_attempt() <= FIELD_INT("/data/fail", 0)) {
            POST("/failed", size, n);
            BERTH_RETRY_LATER("as the event asked");
            continue;
        }
        if (POST("/end", size, n) < 0) {
            BERTH_RETRY_LATER("the end was not recorded");
            continue;
        }
        ANSWER_INT("n", n);
    }
}
