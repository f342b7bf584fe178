/* A reaper as Testcontainers expects one: it is told labels on port 8080, answers ACK to each, and when its client has
 * gone it removes every container that carries one of them. Built statically into an image of its own, see ../README.md. */
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LABELS 64
#define LABEL_BYTES 1024

static char labels[LABELS][LABEL_BYTES];
static int label_count;

/* One request to the engine; the whole answer as text. */
static int ask(const char *method, const char *path, char *answer, size_t room) {
    char request[8192];
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = "/var/run/docker.sock"};
    int engine = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(engine, (struct sockaddr *)&address, sizeof address) != 0) return -1;
    int length = snprintf(request, sizeof request, "%s %s HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n", method, path);
    if (write(engine, request, length) != length) return -1;
    size_t had = 0;
    for (ssize_t got; had < room - 1 && (got = read(engine, answer + had, room - 1 - had)) > 0;) had += got;
    answer[had] = 0;
    close(engine);
    return 0;
}

/* label=a%3Db&label=c … */
static void remember(char *line) {
    line[strcspn(line, "\r\n")] = 0;
    for (char *pair; label_count < LABELS && (pair = strsep(&line, "&"));) {
        if (strncmp(pair, "label=", 6) != 0) continue;
        char *to = labels[label_count++], *end = to + LABEL_BYTES - 1;
        for (const char *from = pair + 6; *from && to < end; to++) {
            unsigned code;
            if (*from == '%' && sscanf(from + 1, "%2x", &code) == 1) {
                *to = (char)code;
                from += 3;
            } else {
                *to = *from++;
            }
        }
    }
}

static void remove_all(const char *label) {
    static char list[1 << 20];
    char filter[LABEL_BYTES + 32], path[4 * sizeof filter], answer[4096];
    snprintf(filter, sizeof filter, "{\"label\":[\"%s\"]}", label);
    int length = sprintf(path, "/v1.40/containers/json?all=1&filters=");
    for (const char *at = filter; *at; at++) length += sprintf(path + length, "%%%02X", (unsigned char)*at);
    if (ask("GET", path, list, sizeof list) != 0) return;
    for (char *at = list; (at = strstr(at, "\"Id\":\"")); at += 6) {
        snprintf(path, sizeof path, "/v1.40/containers/%.64s?force=1&v=1", at + 6);
        if (ask("DELETE", path, answer, sizeof answer) == 0) printf("%.12s: %.3s\n", at + 6, answer + 9);
    }
}

int main(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(8080)};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 8) != 0) return 1;
    puts("reaper Started!");
    fflush(stdout);
    FILE *client = fdopen(accept(listener, NULL, NULL), "r+");
    for (char line[LABEL_BYTES]; fgets(line, sizeof line, client);) {
        remember(line);
        if (write(fileno(client), "ACK\n", 4) != 4) break;
    }
    for (int n = 0; n < label_count; n++) remove_all(labels[n]);
    return 0;
}
