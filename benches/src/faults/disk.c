/* A disk that fails, and a machine that loses power: preloaded into the daemon, for files under one folder.
 *
 * FAULT_DISK_DIR   the folder
 * FAULT_DISK_MODE  enospc  from the Nth write on there is no room
 *                  eio     the Nth write fails
 *                  short   the Nth write writes half, and from then on there is no room
 *                  fsync   the Nth fsync fails, and what it was to make durable is gone once the process ends
 *                  slow    from the Nth operation on every fsync takes a tenth of a second
 *                  power   at the Nth operation the process ends, and of what no fsync made durable a part is gone
 * FAULT_DISK_AT    N, from 1 on
 * FAULT_DISK_SEED  which part
 * FAULT_DISK_MET   a file that is created when the Nth operation comes, unless the disk is slow
 *
 * Writes are remembered with what stood there before until an fsync of their file succeeds. */
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
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum mode { NONE, ENOSPC_FROM, EIO_ONCE, SHORT_THEN_FULL, FSYNC_ONCE, POWER, SLOW_FROM };

struct undo {
    struct undo *older;
    char path[512];
    ino_t inode;
    off_t offset, size_before;
    size_t length;
    int lost; /* an fsync failed: no later one makes it durable */
    unsigned char before[];
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct undo *undos;
static enum mode mode;
static long at, passed;
static uint64_t dice;
static char folder[512];
static const char *met;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);

__attribute__((constructor)) static void begin(void) {
    real_write = dlsym(RTLD_NEXT, "write");
    real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
    real_fsync = dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
    const char *dir = getenv("FAULT_DISK_DIR"), *name = getenv("FAULT_DISK_MODE");
    if (!dir || !name || !realpath(dir, folder)) return;
    const char *names[] = {"", "enospc", "eio", "short", "fsync", "power", "slow"};
    for (int i = 1; i < 7; i++) if (!strcmp(name, names[i])) mode = (enum mode)i;
    const char *count = getenv("FAULT_DISK_AT"), *seed = getenv("FAULT_DISK_SEED");
    at = count ? atol(count) : 1;
    met = getenv("FAULT_DISK_MET");
    dice = seed ? strtoull(seed, NULL, 10) * 2862933555777941757ULL + 3037000493ULL : 1;
}

static int roll(void) {
    dice ^= dice << 13; dice ^= dice >> 7; dice ^= dice << 17;
    return (int)(dice & 1);
}

/* Whether it is a file of the folder; its path then. The shared index of the write-ahead log is never durable. */
static int concerns(int fd, char path[512]) {
    if (!mode) return 0;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, 511);
    if (length <= 0) return 0;
    path[length] = 0;
    size_t n = strlen(folder);
    return !strncmp(path, folder, n) && path[n] == '/' && strcmp(path + length - 4, "-shm");
}

/* A page that an fsync lost and that is written again is like any other: what is durable of it stood there before. */
static void take_over(struct undo *undo) {
    off_t end = undo->offset + (off_t)undo->length;
    for (struct undo **place = &undos; *place;) {
        struct undo *lost = *place;
        if (!lost->lost || lost->inode != undo->inode || lost->offset < undo->offset
            || lost->offset + (off_t)lost->length > end) {
            place = &lost->older;
            continue;
        }
        memcpy(undo->before + (lost->offset - undo->offset), lost->before, lost->length);
        if (lost->size_before < undo->size_before) undo->size_before = lost->size_before;
        *place = lost->older;
        free(lost);
    }
}

static void remember(int fd, const char *path, off_t offset, size_t length) {
    struct stat st;
    if (fstat(fd, &st)) return;
    struct undo *undo = calloc(1, sizeof *undo + length);
    if (!undo) return;
    strcpy(undo->path, path);
    undo->inode = st.st_ino;
    undo->offset = offset;
    undo->size_before = st.st_size;
    undo->length = length;
    /* The descriptor may be for writing only. */
    int in = open(path, O_RDONLY);
    if (in >= 0) {
        if (pread(in, undo->before, length, offset) < 0) memset(undo->before, 0, length);
        close(in);
    }
    take_over(undo);
    undo->older = undos;
    undos = undo;
}

static void made_durable(int fd, int failed) {
    struct stat st;
    if (fstat(fd, &st)) return;
    for (struct undo **place = &undos; *place;) {
        struct undo *undo = *place;
        if (undo->inode == st.st_ino && failed) undo->lost = 1;
        if (undo->inode == st.st_ino && !failed && !undo->lost) {
            *place = undo->older;
            free(undo);
        } else {
            place = &undo->older;
        }
    }
}

/* What was never durable is undone, newest first: all that was lost, of the rest a part. */
static void undo_some(int only_lost) {
    for (struct undo *undo = undos; undo; undo = undo->older) {
        if (only_lost ? !undo->lost : !undo->lost && roll()) continue;
        int fd = open(undo->path, O_RDWR);
        struct stat st;
        if (fd < 0 || fstat(fd, &st) || st.st_ino != undo->inode) { if (fd >= 0) close(fd); continue; }
        off_t end = undo->offset + (off_t)undo->length;
        if (end > undo->size_before && st.st_size == end) {
            off_t kept = undo->size_before - undo->offset;
            if (kept > 0) (void)!real_pwrite(fd, undo->before, (size_t)kept, undo->offset);
            (void)!real_ftruncate(fd, undo->size_before);
        } else {
            (void)!real_pwrite(fd, undo->before, undo->length, undo->offset);
        }
        close(fd);
    }
}

__attribute__((destructor)) static void end(void) {
    if (mode == FSYNC_ONCE) undo_some(1);
}

static void lose_power(void) {
    undo_some(0);
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

/* Whether this operation is the one. */
static int is_due(int is_sync) {
    if (mode == SLOW_FROM) {
        if (++passed >= at && is_sync) usleep(100000);
        return 0;
    }
    if (mode == FSYNC_ONCE && !is_sync) return 0;
    if (mode != FSYNC_ONCE && mode != POWER && is_sync) return 0;
    passed++;
    if (passed == at && met) {
        int fd = open(met, O_CREAT | O_WRONLY, 0600);
        if (fd >= 0) close(fd);
    }
    return mode == ENOSPC_FROM || mode == SHORT_THEN_FULL ? passed >= at : passed == at;
}

/* How many bytes of a write to let through; -1: errno says why none. */
static ssize_t let_through(int fd, const char *path, off_t offset, size_t length) {
    ssize_t allowed = (ssize_t)length;
    if (is_due(0)) {
        switch (mode) {
        case ENOSPC_FROM: errno = ENOSPC; return -1;
        case EIO_ONCE: errno = EIO; return -1;
        case SHORT_THEN_FULL:
            if (passed > at) { errno = ENOSPC; return -1; }
            allowed = (ssize_t)(length / 2);
            break;
        case POWER: lose_power(); break;
        default: break;
        }
    }
    remember(fd, path, offset, (size_t)allowed);
    return allowed;
}

ssize_t pwrite64(int fd, const void *bytes, size_t length, off_t offset) {
    char path[512];
    if (!concerns(fd, path)) return real_pwrite(fd, bytes, length, offset);
    pthread_mutex_lock(&lock);
    ssize_t allowed = let_through(fd, path, offset, length);
    if (allowed >= 0) allowed = real_pwrite(fd, bytes, (size_t)allowed, offset);
    pthread_mutex_unlock(&lock);
    return allowed;
}
ssize_t pwrite(int fd, const void *bytes, size_t length, off_t offset) { return pwrite64(fd, bytes, length, offset); }

ssize_t write(int fd, const void *bytes, size_t length) {
    char path[512];
    if (!concerns(fd, path)) return real_write(fd, bytes, length);
    pthread_mutex_lock(&lock);
    off_t offset = lseek(fd, 0, SEEK_CUR);
    ssize_t allowed = let_through(fd, path, offset < 0 ? 0 : offset, length);
    if (allowed >= 0) allowed = real_write(fd, bytes, (size_t)allowed);
    pthread_mutex_unlock(&lock);
    return allowed;
}

int ftruncate64(int fd, off_t size) {
    char path[512];
    if (!concerns(fd, path)) return real_ftruncate(fd, size);
    pthread_mutex_lock(&lock);
    struct stat st;
    int outcome = 0;
    if (is_due(0)) {
        if (mode == POWER) lose_power();
        errno = mode == EIO_ONCE ? EIO : ENOSPC;
        outcome = -1;
    } else {
        if (!fstat(fd, &st) && st.st_size > size) remember(fd, path, size, (size_t)(st.st_size - size));
        outcome = real_ftruncate(fd, size);
    }
    pthread_mutex_unlock(&lock);
    return outcome;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

static int synced(int fd, int (*real)(int)) {
    char path[512];
    if (!concerns(fd, path)) return real(fd);
    pthread_mutex_lock(&lock);
    int outcome = 0;
    if (is_due(1)) {
        if (mode == POWER) lose_power();
        errno = EIO;
        outcome = -1;
    } else {
        outcome = real(fd);
    }
    made_durable(fd, outcome != 0);
    pthread_mutex_unlock(&lock);
    return outcome;
}
int fsync(int fd) { return synced(fd, real_fsync); }
int fdatasync(int fd) { return synced(fd, real_fdatasync); }
