// A stdio guest on the C library: it answers what the functions of POSIX that
// stand on WASI preview 1 return.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static const char *comma = "";

static void number(const char *name, long long n) {
    printf("%s\"%s\":%lld", comma, name, n);
    comma = ",";
}

// failure answers the error of a call, or 0 if it did not fail.
static void failure(const char *name, long long result) {
    printf("%s\"%s\":\"%s\"", comma, name, result < 0 ? strerror(errno) : "ok");
    comma = ",";
}

static long long nanoseconds(struct timespec t) { return t.tv_sec * 1000000000LL + t.tv_nsec; }

static long long now(clockid_t id) {
    struct timespec t;
    return clock_gettime(id, &t) == 0 ? nanoseconds(t) : -1;
}

static void polled(const char *name, int fd, short events) {
    struct pollfd p = {.fd = fd, .events = events};
    int n = poll(&p, 1, 1000);
    number(name, n < 0 ? -errno : (n << 16 | (unsigned short)p.revents));
}

int main(int argc, char **argv) {
    static char buf[1 << 16];
    struct stat st;
    struct timespec t;
    int waiting = -1;

    printf("{\"argv0\":\"%s\"", argc > 0 ? argv[0] : "");
    comma = ",";
    number("argc", argc);
    number("argv_ends", argv[argc] == NULL);
    number("environ", environ != NULL && environ[0] != NULL);
    number("getenv", getenv("PATH") != NULL);

    for (int fd = 0; fd <= 3; fd++) {
        snprintf(buf, sizeof buf, "isatty_%d", fd);
        errno = 0;
        number(buf, isatty(fd));
        snprintf(buf, sizeof buf, "isatty_%d_error", fd);
        failure(buf, errno == 0 ? 0 : -1);
    }
    failure("fstat_0", fstat(0, &st));
    number("mode_0", st.st_mode);
    unsigned long long inode = st.st_ino;
    fstat(1, &st);
    number("same_file", inode == st.st_ino);
    number("getfl_0", fcntl(0, F_GETFL) == O_RDONLY);
    number("getfl_1", fcntl(1, F_GETFL) == O_WRONLY);
    failure("setfl_nonblock", fcntl(0, F_SETFL, O_NONBLOCK));
    number("getfl_nonblock", fcntl(0, F_GETFL) == (O_RDONLY | O_NONBLOCK));

    failure("lseek_0", lseek(0, 0, SEEK_CUR));
    failure("lseek_1", lseek(1, 0, SEEK_END));
    failure("lseek_3", lseek(3, 0, SEEK_SET));
    failure("pread_0", pread(0, buf, 1, 0));
    failure("write_0", write(0, "x", 1));
    failure("read_1", read(1, buf, 1));
    failure("read_3", read(3, buf, 1));
    failure("fsync_1", fsync(1));
    failure("ftruncate_1", ftruncate(1, 0));
    failure("shutdown_0", shutdown(0, SHUT_RD));
    failure("send_1", send(1, "x", 1, 0));

    polled("poll_0", 0, POLLIN);
    polled("poll_1", 1, POLLOUT);
    polled("poll_3", 3, POLLIN);
    failure("fionread", ioctl(0, FIONREAD, &waiting));
    long long total = 0, n;
    while ((n = read(0, buf, 7)) > 0) {
        total += n;
    }
    number("waiting", waiting == total && total > 0);
    number("read_at_end", n);
    polled("poll_at_end", 0, POLLIN);
    failure("fionread_at_end", ioctl(0, FIONREAD, &waiting));
    number("waiting_at_end", waiting);

    number("open", open("/etc/passwd", O_RDONLY));
    number("create", open("made", O_CREAT | O_WRONLY, 0600));
    number("opendir", opendir("/") != NULL);
    number("stat", stat(".", &st));
    number("mkdir", mkdir("made", 0700));

    number("getres", clock_getres(CLOCK_REALTIME, &t) == 0 && nanoseconds(t) > 0);
    number("getres_monotonic", clock_getres(CLOCK_MONOTONIC, &t) == 0 && nanoseconds(t) > 0);
    number("realtime", now(CLOCK_REALTIME) > 1700000000000000000LL);
    long long before = now(CLOCK_MONOTONIC);
    number("monotonic", before > 0);
    t = (struct timespec){0, 2000000};
    failure("nanosleep", nanosleep(&t, NULL));
    long long slept = now(CLOCK_MONOTONIC) - before;
    number("slept", slept >= 2000000);
    clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_nsec += 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++, t.tv_nsec -= 1000000000;
    }
    number("sleep_until", clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL));
    number("slept_until", now(CLOCK_MONOTONIC) >= nanoseconds(t));
    failure("sched_yield", sched_yield());

    unsigned char a[16] = {0}, b[16] = {0};
    failure("getentropy", getentropy(a, sizeof a) + getentropy(b, sizeof b));
    number("random", memcmp(a, b, sizeof a) != 0);

    failure("close_0", close(0));
    failure("read_closed", read(0, buf, 1));
    failure("close_again", close(0));
    polled("poll_closed", 0, POLLIN);
    puts("}");
    return fclose(stdout) == 0 ? 0 : 1;
}
