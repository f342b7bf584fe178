/* Prints the inotify events of a directory, as inotifywait would: one "NAMES file" a line. Built statically by the test. */
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

static const struct { unsigned bit; const char *name; } NAMES[] = {
    {IN_CREATE, "CREATE"},         {IN_MODIFY, "MODIFY"},     {IN_CLOSE_WRITE, "CLOSE_WRITE"},
    {IN_DELETE, "DELETE"},         {IN_MOVED_FROM, "MOVED_FROM"}, {IN_MOVED_TO, "MOVED_TO"},
    {IN_ATTRIB, "ATTRIB"},         {IN_Q_OVERFLOW, "OVERFLOW"},   {IN_ISDIR, "ISDIR"},
};

int main(int argc, char **argv) {
    char buffer[65536];
    unsigned wanted = IN_CREATE | IN_MODIFY | IN_CLOSE_WRITE | IN_DELETE | IN_MOVE | IN_ATTRIB;
    int fd = inotify_init();
    if (argc != 2 || fd < 0 || inotify_add_watch(fd, argv[1], wanted) < 0) return 1;
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
