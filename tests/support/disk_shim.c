/* Between a process and the disk, for tests: records what is written to files whose path begins with $DISK_SHIM_PATH,
 * fails or delays calls on request. Loaded with LD_PRELOAD; controlled through the exported `shim_` functions.
 *
 * Record: kind, device and inode, offset, length, then `length` bytes.
 *   W  a write; Y  a write through a descriptor with O_DSYNC, which returned with its data on the disk
 *   S  fsync or fdatasync of a file; D  of a directory (the bytes are its path); T  ftruncate (the offset is the size)
 *   R  rename (old path, zero byte, new path); U  unlink (the path); M  a mark of the test
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { DATA = 1, SYNC = 2, META = 4 }; /* kinds of calls that can fail or be slow: META is a write with O_DSYNC */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int log_fd = -1;
static int fail_kinds, fail_after, fail_times, fail_errno, fail_short;
static int delay_kinds;
static long delay_us;
static int held_kinds, held_calls;
static long calls;

struct head {
    char kind;
    uint64_t device, inode, offset, length;
} __attribute__((packed));

static const char *prefix(void) {
    const char *path = getenv("DISK_SHIM_PATH");
    return path && *path ? path : NULL;
}

/* Whether a descriptor is one of those watched; its path is put into `path`. */
static int watched(int fd, char *path, size_t room) {
    const char *wanted = prefix();
    char name[64];
    if (!wanted)
        return 0;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(name, path, room - 1);
    if (n < 0)
        return 0;
    path[n] = 0;
    return strncmp(path, wanted, strlen(wanted)) == 0;
}

static int is_lock(const char *path) {
    size_t n = strlen(path);
    return n > 5 && (!strcmp(path + n - 5, "-lock") || (n > 6 && !strcmp(path + n - 6, "-owner")));
}

static void put(const void *data, size_t length) {
    while (length) {
        ssize_t n = syscall(SYS_write, log_fd, data, length);
        if (n <= 0)
            abort();
        data = (const char *)data + n;
        length -= n;
    }
}

static int recording(void) {
    if (log_fd < 0) {
        const char *name = getenv("DISK_SHIM_LOG");
        if (!name || !*name)
            return 0;
        log_fd = syscall(SYS_openat, AT_FDCWD, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    }
    return log_fd >= 0;
}

static void record(char kind, int fd, uint64_t offset, const struct iovec *parts, int count) {
    struct head head = {kind, 0, 0, offset, 0};
    struct stat status;
    if (!recording())
        return;
    if (fd >= 0 && fstat(fd, &status) == 0) {
        head.device = status.st_dev;
        head.inode = status.st_ino;
    }
    for (int i = 0; i < count; i++)
        head.length += parts[i].iov_len;
    pthread_mutex_lock(&lock);
    put(&head, sizeof head);
    for (int i = 0; i < count; i++)
        put(parts[i].iov_base, parts[i].iov_len);
    pthread_mutex_unlock(&lock);
}

/* The error that a call of this kind must fail with now, or 0. */
static int trouble(int kind) {
    int answer = 0;
    pthread_mutex_lock(&lock);
    calls++;
    if (kind & fail_kinds && fail_times) {
        if (fail_after > 0)
            fail_after--;
        else {
            if (fail_times > 0)
                fail_times--;
            answer = fail_errno;
        }
    }
    long wait = kind & delay_kinds ? delay_us : 0;
    held_calls++;
    while (kind & held_kinds) {
        struct timespec moment = {0, 1000000};
        pthread_mutex_unlock(&lock);
        nanosleep(&moment, NULL);
        pthread_mutex_lock(&lock);
    }
    held_calls--;
    pthread_mutex_unlock(&lock);
    if (wait) {
        struct timespec left = {wait / 1000000, wait % 1000000 * 1000};
        while (nanosleep(&left, &left) && errno == EINTR)
            ;
    }
    return answer;
}

/* -- what tests call */

void shim_fail(int kinds, int after, int times, int number, int cut_short) {
    pthread_mutex_lock(&lock);
    fail_kinds = kinds, fail_after = after, fail_times = times, fail_errno = number, fail_short = cut_short;
    pthread_mutex_unlock(&lock);
}

void shim_delay(int kinds, long microseconds) {
    pthread_mutex_lock(&lock);
    delay_kinds = kinds, delay_us = microseconds;
    pthread_mutex_unlock(&lock);
}

void shim_hold(int kinds) {
    pthread_mutex_lock(&lock);
    held_kinds = kinds;
    pthread_mutex_unlock(&lock);
}

int shim_held(void) {
    pthread_mutex_lock(&lock);
    int answer = held_calls;
    pthread_mutex_unlock(&lock);
    return answer;
}

int shim_failures_left(void) { return fail_times; }

long shim_calls(void) { return calls; }

void shim_mark(const char *data, int length) {
    struct iovec part = {(void *)data, length};
    record('M', -1, 0, &part, 1);
}

/* -- what is put between */

static ssize_t written(int fd, const struct iovec *parts, int count, off_t offset, int sequential) {
    char path[4096];
    int data = watched(fd, path, sizeof path) && !is_lock(path);
    if (data) {
        int meta = fcntl(fd, F_GETFL) & O_DSYNC;
        int number = trouble(meta ? META : DATA);
        if (sequential)
            offset = lseek(fd, 0, SEEK_CUR);
        if (number) {
            if (!fail_short) {
                errno = number;
                return -1;
            }
            /* A part of it is written, as when the disk is full in the middle. */
            struct iovec first = {parts[0].iov_base, parts[0].iov_len / 2};
            record('W', fd, offset, &first, 1);
            return syscall(SYS_pwrite64, fd, first.iov_base, first.iov_len, offset);
        }
        record(meta ? 'Y' : 'W', fd, offset, parts, count);
    }
    if (sequential)
        return syscall(SYS_writev, fd, parts, count);
    return syscall(SYS_pwritev, fd, parts, count, (long)offset, 0L);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    struct iovec part = {(void *)data, length};
    return written(fd, &part, 1, offset, 0);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite64(fd, data, length, offset); }

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    return written(fd, parts, count, offset, 0);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return written(fd, parts, count, offset, 0);
}

ssize_t writev(int fd, const struct iovec *parts, int count) { return written(fd, parts, count, 0, 1); }

ssize_t write(int fd, const void *data, size_t length) {
    struct iovec part = {(void *)data, length};
    return written(fd, &part, 1, 0, 1);
}

static int synced(int fd, long call) {
    char path[4096];
    struct stat status;
    const char *wanted = prefix();
    if (wanted && fstat(fd, &status) == 0 && S_ISDIR(status.st_mode)) {
        char name[64];
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(name, path, sizeof path);
        struct iovec part = {path, n > 0 ? n : 0};
        int answer = syscall(call, fd);
        record('D', -1, 0, &part, 1);
        return answer;
    }
    if (!watched(fd, path, sizeof path) || is_lock(path))
        return syscall(call, fd);
    int number = trouble(SYNC);
    if (number) {
        errno = number;
        return -1;
    }
    int answer = syscall(call, fd);
    record('S', fd, 0, NULL, 0);
    return answer;
}

int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }

int fsync(int fd) { return synced(fd, SYS_fsync); }

int ftruncate64(int fd, off64_t size) {
    char path[4096];
    if (watched(fd, path, sizeof path) && !is_lock(path))
        record('T', fd, size, NULL, 0);
    return syscall(SYS_ftruncate, fd, size);
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int rename(const char *old, const char *new) {
    const char *wanted = prefix();
    int answer = syscall(SYS_renameat, AT_FDCWD, old, AT_FDCWD, new);
    if (answer == 0 && wanted && strncmp(old, wanted, strlen(wanted)) == 0) {
        struct iovec parts[2] = {{(void *)old, strlen(old) + 1}, {(void *)new, strlen(new)}};
        record('R', -1, 0, parts, 2);
    }
    return answer;
}

int unlink(const char *path) {
    const char *wanted = prefix();
    int answer = syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (answer == 0 && wanted && strncmp(path, wanted, strlen(wanted)) == 0) {
        struct iovec part = {(void *)path, strlen(path)};
        record('U', -1, 0, &part, 1);
    }
    return answer;
}
