/* Remembers what a power cut would leave: LD_PRELOAD into a process whose data lie below POWER_ROOT.

   A file's content is durable from the fsync or fdatasync of it or a write with RWF_DSYNC (of the whole file, as the node does it),
   a name from the fsync of its folder; nothing else is.
   Each such call writes a record to POWER_KEPT: the content under f-<identity>, a folder's names under d-<identity>, the root's under d-root.
   Nothing is written to the disk itself: fsync is answered without being done. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* Inode numbers are used again; with the time of birth they aren't. */
static int identity(int folder, const char *name, int flags, char *text, size_t size) {
    struct statx found;
    if (statx(folder, name, flags | AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_TYPE | STATX_BTIME, &found)) return -1;
    snprintf(text, size, "%c-%llu-%lld.%u", S_ISDIR(found.stx_mode) ? 'd' : 'f', (unsigned long long)found.stx_ino,
             (long long)found.stx_btime.tv_sec, found.stx_btime.tv_nsec);
    return 0;
}

/* 0: elsewhere, 1: below the root, 2: the root. */
static int place(int fd) {
    const char *root = getenv("POWER_ROOT");
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (!root || length < 0) return 0;
    path[length] = 0;
    if (strncmp(path, root, strlen(root))) return 0;
    return path[strlen(root)] ? 1 : 2;
}

static void keep_content(int fd, FILE *record) {
    char link[64], buffer[65536];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int again = open(link, O_RDONLY | O_CLOEXEC);
    for (ssize_t size; again >= 0 && (size = read(again, buffer, sizeof buffer)) > 0;) fwrite(buffer, 1, size, record);
    if (again >= 0) close(again);
}

static void keep_names(int fd, FILE *record) {
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = again >= 0 ? fdopendir(again) : NULL;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        char text[96];
        if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
        if (!identity(fd, entry->d_name, 0, text, sizeof text)) fprintf(record, "%s %s\n", text, entry->d_name);
    }
    if (folder) closedir(folder);
}

static int keep(int fd) {
    static __thread unsigned count;
    char text[96] = "d-root", path[PATH_MAX], temporary[PATH_MAX + 64];
    int where = place(fd);
    if (!where || (where == 1 && identity(fd, "", AT_EMPTY_PATH, text, sizeof text))) return 0;
    snprintf(path, sizeof path, "%s/%s", getenv("POWER_KEPT"), text);
    snprintf(temporary, sizeof temporary, "%s.%ld.%u", path, (long)syscall(SYS_gettid), count++);
    FILE *record = fopen(temporary, "we");
    if (!record) return -1;
    if (*text == 'd') keep_names(fd, record);
    else keep_content(fd, record);
    fclose(record);
    return rename(temporary, path);
}

int fsync(int fd) { return keep(fd); }
int fdatasync(int fd) { return keep(fd); }

ssize_t pwritev64v2(int fd, const struct iovec *pieces, int count, off64_t offset, int flags) {
    ssize_t written = syscall(SYS_pwritev2, fd, pieces, count, (long)offset, 0L, flags & ~RWF_DSYNC);
    struct stat found;
    int is_whole = written >= 0 && flags & RWF_DSYNC && !offset && !fstat(fd, &found) && found.st_size == written;
    return is_whole && keep(fd) ? -1 : written;
}

ssize_t pwritev2(int fd, const struct iovec *pieces, int count, off_t offset, int flags) { return pwritev64v2(fd, pieces, count, offset, flags); }
