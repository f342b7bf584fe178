/* What busybox lacks, built statically by the test.
   watcher DIRECTORY prints its inotify events as inotifywait would: one "NAMES file" a line.
   watcher lock FILE  takes a lock twice, which must fail once, and writes through a shared mapping. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct { unsigned bit; const char *name; } NAMES[] = {
    {IN_CREATE, "CREATE"},         {IN_MODIFY, "MODIFY"},     {IN_CLOSE_WRITE, "CLOSE_WRITE"},
    {IN_DELETE, "DELETE"},         {IN_MOVED_FROM, "MOVED_FROM"}, {IN_MOVED_TO, "MOVED_TO"},
    {IN_ATTRIB, "ATTRIB"},         {IN_Q_OVERFLOW, "OVERFLOW"},   {IN_ISDIR, "ISDIR"},
};

static int lock_and_map(const char *path) {
    int one = open(path, O_RDWR | O_CREAT, 0644), two = open(path, O_RDWR);
    if (flock(one, LOCK_EX | LOCK_NB) != 0 || flock(two, LOCK_EX | LOCK_NB) == 0 || ftruncate(one, 4096) != 0) return 3;
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, one, 0);
    if (map == MAP_FAILED) return 4;
    strcpy(map, "mapped");
    return munmap(map, 4096) == 0 && fsync(one) == 0 ? 0 : 5;
}

int main(int argc, char **argv) {
    if (argc == 3) return lock_and_map(argv[2]);
    char buffer[65536];
    unsigned wanted = IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_DELETE | IN_MOVE | IN_ATTRIB;
    int fd = inotify_init();
    if (argc != 2 || fd < 0 || inotify_add_watch(fd, argv[1], wanted) < 0) { perror("watch"); return 1; }
    setvbuf(stdout, NULL, _IOLBF, 0);
    puts("watching");
    for (;;) {
        ssize_t len = read(fd, buffer, sizeof buffer);
        if (len <= 0) return 2;
        for (char *at = buffer; at < buffer + len;) {
            struct inotify_event *event = (struct inotify_event *)at;
            const char *comma = "";
            for (unsigned i = 0; i < sizeof NAMES / sizeof *NAMES; i++)
                if (event->mask & NAMES[i].bit) { printf("%s%s", comma, NAMES[i].name); comma = ","; }
            printf(" %s\n", event->len ? event->name : ".");
            at += sizeof *event + event->len;
        }
    }
}
