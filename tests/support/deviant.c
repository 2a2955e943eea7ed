/* Preloaded into an unmodified MP-SPDZ party: counts the messages that it sends and does something at one of them.

   A message on a TLS connection is a length of 4 bytes, little endian, and that many bytes. The hook sits before encryption, so that TLS
   itself has nothing to object to.

   DEVIANT_MESSAGE  number of the message, from 1, or of an empty one before it; 0 counts only
   DEVIANT_ACT      "alter": add 1 to every byte of the message, of what is sent and not of what the party keeps: no matter which of its bits
                    carry something, one that does is among them
                    "stop" or "kill": send the process that signal before the message
                    "wait": before the message, until DEVIANT_REPORT has a sibling that ends in .go
   DEVIANT_REPORT   a file that says how many messages there were, and that the act was done
   DEVIANT_FULL     no file whose path contains this can be written to any more (ENOSPC) */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CONNECTIONS = 64, HEADER = 4 };

struct connection {
    const void *ssl;
    size_t done; /* bytes of the present message, its header included */
    size_t length;
    long number;
};

static struct connection connections[CONNECTIONS];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long messages, wanted, chosen;

static int acts(const char *act) {
    const char *set = getenv("DEVIANT_ACT");
    return set && !strcmp(set, act);
}

static void report(const char *what, long number) {
    char line[64];
    const char *path = getenv("DEVIANT_REPORT");
    int file = path ? open(path, O_WRONLY | O_CREAT | O_APPEND, 0600) : -1;
    if (file < 0)
        return;
    int size = snprintf(line, sizeof line, "%s %ld\n", what, number);
    if (write(file, line, size) != size)
        abort();
    close(file);
}

__attribute__((constructor)) static void begin(void) {
    const char *number = getenv("DEVIANT_MESSAGE");
    wanted = number ? atol(number) : 0;
}

__attribute__((destructor)) static void end(void) { report("sent", messages); }

static struct connection *of(const void *ssl) {
    for (int i = 0; i < CONNECTIONS; i++) {
        if (!connections[i].ssl)
            connections[i].ssl = ssl;
        if (connections[i].ssl == ssl)
            return &connections[i];
    }
    abort();
}

static void message_begins(struct connection *it) {
    it->number = ++messages;
    if (!wanted || chosen || it->number < wanted || !it->length)
        return;
    chosen = it->number;
    if (acts("alter"))
        return;
    report("did", getpid());
    if (acts("stop"))
        raise(SIGSTOP);
    else if (acts("kill"))
        raise(SIGKILL);
    else if (acts("wait")) {
        char go[4096];
        snprintf(go, sizeof go, "%s.go", getenv("DEVIANT_REPORT"));
        /* no signal ends the wait: one could break off another thread's reading */
        while (access(go, F_OK))
            usleep(100000);
    }
}

/* Follow `size` sent bytes; where `copy` is given, alter in it what is to be altered. */
static void follow(struct connection *it, const uint8_t *bytes, size_t size, uint8_t *copy) {
    for (size_t i = 0; i < size;) {
        if (it->done < HEADER) {
            if (it->done == 0)
                it->length = 0;
            it->length |= (size_t)bytes[i] << (8 * it->done);
            it->done++, i++;
            if (it->done == HEADER && !copy)
                message_begins(it);
        } else {
            size_t part = HEADER + it->length - it->done;
            if (part > size - i)
                part = size - i;
            for (size_t k = i; copy && k < i + part; k++)
                copy[k]++;
            it->done += part, i += part;
        }
        if (it->done >= HEADER && it->done == HEADER + it->length)
            it->done = 0;
    }
}

int SSL_write(void *ssl, const void *buffer, int size) {
    static int (*original)(void *, const void *, int);
    if (!original)
        *(void **)&original = dlsym(RTLD_NEXT, "SSL_write");
    pthread_mutex_lock(&lock);
    struct connection *it = of(ssl);
    uint8_t *copy = NULL;
    if (acts("alter") && chosen && it->number == chosen && it->done >= HEADER) {
        struct connection ahead = *it;
        copy = malloc(size);
        memcpy(copy, buffer, size);
        follow(&ahead, buffer, size, copy);
    }
    pthread_mutex_unlock(&lock);
    int written = original(ssl, copy ? copy : buffer, size);
    pthread_mutex_lock(&lock);
    if (written > 0) {
        int altered = copy && memcmp(copy, buffer, written);
        follow(it, buffer, written, NULL);
        if (altered)
            report("did", getpid());
    }
    pthread_mutex_unlock(&lock);
    free(copy);
    return written;
}

static int refused(int file) {
    char link[32], path[4096];
    const char *full = getenv("DEVIANT_FULL");
    if (!full)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t size = readlink(link, path, sizeof path - 1);
    path[size < 0 ? 0 : size] = 0;
    if (!strstr(path, full))
        return 0;
    errno = ENOSPC;
    return 1;
}

ssize_t write(int file, const void *buffer, size_t size) {
    static ssize_t (*original)(int, const void *, size_t);
    if (!original)
        *(void **)&original = dlsym(RTLD_NEXT, "write");
    return refused(file) ? -1 : original(file, buffer, size);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    static ssize_t (*original)(int, const struct iovec *, int);
    if (!original)
        *(void **)&original = dlsym(RTLD_NEXT, "writev");
    return refused(file) ? -1 : original(file, parts, count);
}
