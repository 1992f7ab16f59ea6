/*
 * load.c - sends a command over and over, as redis-benchmark does, where redis-benchmark cannot:
 * with keys from a file (a token is signed, so it cannot be made from a random number), with
 * answers that are errors, with operations of several commands, and with a client that verifies
 * tokens itself.
 *
 * Each of the clients sends a batch of commands, waits for all its answers, and sends the next.
 * What is not the server's work is kept small: a batch is a copy of the encoded command with keys
 * put in.
 *
 * Prints "<operations> <seconds> <errors> <bytes sent> <bytes received>". Exit status: 0 done; 1
 * something failed, or answers were errors that -e did not allow; 2 the command line is wrong.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "secret.h"
#include "token.h"

static const char usage[] =
    "load -p PORT -n OPERATIONS [OPTION...] ARG...\n"
    "\n"
    "    -p PORT     of the server on 127.0.0.1\n"
    "    -n COUNT    operations to do\n"
    "    -b DB       database number (0)\n"
    "    -c COUNT    clients (1)\n"
    "    -d DEPTH    commands in a batch (1)\n"
    "    -k FILE     keys, one a line, all of one length; they take the place of the argument "
    "__key__\n"
    "    -s SEED     takes the keys in a random order that SEED decides; else one after the other\n"
    "    -f FIRST    the first key that is taken when they are taken one after the other (0)\n"
    "    -o FILE     where to write the strings that are answered, one a line\n"
    "    -v KEY      verifies each token with this sign key before it is sent, as an application "
    "would\n"
    "    -x          reads the last argument from standard input\n"
    "    -e          expects errors for answers; else an error fails the run\n"
    "\n"
    "An argument that is a lone comma separates the commands of one operation, which share a "
    "key.\n";

struct command {
    char *bytes; /* encoded, with room for the keys */
    size_t len;
    size_t key_at; /* 0: it has none */
};

struct client {
    int socket;
    char *out; /* the batch */
    size_t out_len, out_sent, out_capacity;
    char *in; /* what was read and not yet understood */
    size_t in_len;
    uint64_t awaited; /* values still to come for this batch */
    uint64_t skip; /* bytes still to come of the string that is being read, its line end included */
    bool keeps;    /* whether that string is written to the file */
};

#define IN_SIZE (256U * 1024)
#define COMMANDS_MAX 8

static struct command commands[COMMANDS_MAX];
static uint64_t commands_len = 1, clients_len = 1, depth = 1;
static uint64_t sent, total; /* commands */
static uint64_t errors;
static uint64_t bytes_sent, bytes_received;
static const char *keys;
static size_t key_len, keys_len;
static uint64_t seed, first;
static bool in_random_order, errors_allowed;
static const char *sign_key;
static FILE *strings;

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "load: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

static void *allocate(void *old, size_t size) {
    void *block = realloc(old, size);
    if (!block) fail("memory");
    return block;
}

static void append(struct command *command, const void *bytes, size_t len) {
    command->bytes = allocate(command->bytes, command->len + len);
    memcpy(command->bytes + command->len, bytes, len);
    command->len += len;
}

static void append_argument(struct command *command, const char *argument, size_t len) {
    char head[32];
    append(command, head, (size_t)snprintf(head, sizeof head, "$%zu\r\n", len));
    append(command, argument, len);
    append(command, "\r\n", 2);
}

static char *read_all(FILE *file, size_t *len) {
    char *bytes = NULL;
    *len = 0;
    for (;;) {
        bytes = allocate(bytes, *len + IN_SIZE);
        size_t got = fread(bytes + *len, 1, IN_SIZE, file);
        *len += got;
        if (got == 0) return bytes;
    }
}

static void encode(char **args, int args_len, bool last_from_stdin) {
    size_t last_len = 0;
    char *last = last_from_stdin ? read_all(stdin, &last_len) : NULL;
    for (int at = 0, end; at < args_len; at = end + 1) {
        for (end = at; end < args_len && strcmp(args[end], ",") != 0; end++) continue;
        if (at > 0 && ++commands_len > COMMANDS_MAX) fail("too many commands in one operation");
        struct command *command = &commands[commands_len - 1];
        bool takes_last = last && end == args_len;
        char head[32];
        append(command, head,
               (size_t)snprintf(head, sizeof head, "*%d\r\n", end - at + takes_last));
        for (int i = at; i < end; i++) {
            if (strcmp(args[i], "__key__") == 0) {
                if (!keys) fail("__key__ needs -k");
                append_argument(command, keys, key_len);
                command->key_at = command->len - key_len - 2;
            } else {
                append_argument(command, args[i], strlen(args[i]));
            }
        }
        if (takes_last) append_argument(command, last, last_len);
    }
}

static void map_keys(const char *path) {
    int file = open(path, O_RDONLY);
    struct stat stat;
    if (file < 0 || fstat(file, &stat) < 0 || stat.st_size == 0) fail(path);
    keys = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
    if (keys == MAP_FAILED) fail(path);
    const char *end = memchr(keys, '\n', (size_t)stat.st_size);
    if (!end) fail("the keys have no line ends");
    key_len = (size_t)(end - keys);
    keys_len = (size_t)stat.st_size / (key_len + 1);
    close(file);
}

/* A permutation is not needed, only an order that no cache foresees: splitmix64 of a counter. */
static uint64_t scattered(uint64_t number) {
    number = seed + (number + 1) * 0x9e3779b97f4a7c15U;
    number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9U;
    number = (number ^ (number >> 27)) * 0x94d049bb133111ebU;
    return number ^ (number >> 31);
}

static const char *key_of(uint64_t operation) {
    uint64_t index = in_random_order ? scattered(operation) : first + operation;
    return keys + index % keys_len * (key_len + 1);
}

static void fill_batch(struct client *client) {
    client->out_len = client->out_sent = 0;
    for (; client->awaited < depth && sent < total; sent++, client->awaited++) {
        const struct command *command = &commands[sent % commands_len];
        if (client->out_len + command->len > client->out_capacity) {
            client->out_capacity = 2 * (client->out_len + command->len);
            client->out = allocate(client->out, client->out_capacity);
        }
        char *to = client->out + client->out_len;
        memcpy(to, command->bytes, command->len);
        if (command->key_at) {
            const char *key = key_of(sent / commands_len);
            if (sign_key && sent % commands_len == 0 &&
                token_verify(key, key_len, sign_key, strlen(sign_key)) != ERROR_NONE)
                fail("a token does not verify");
            memcpy(to + command->key_at, key, key_len);
        }
        client->out_len += command->len;
    }
}

static void send_batch(struct client *client) {
    while (client->out_sent < client->out_len) {
        ssize_t put = send(client->socket, client->out + client->out_sent,
                           client->out_len - client->out_sent, MSG_NOSIGNAL);
        if (put < 0 && errno == EAGAIN) return;
        if (put < 0) fail("sending");
        client->out_sent += (size_t)put;
        bytes_sent += (uint64_t)put;
    }
}

/* Understands what it can of one piece; returns how many bytes it took, 0 when it needs more. */
static size_t take_piece(struct client *client, const char *at, size_t len) {
    if (client->skip) {
        size_t taken = len < client->skip ? len : client->skip;
        if (client->keeps) {
            size_t text =
                taken + 2 > client->skip ? (client->skip > 2 ? client->skip - 2 : 0) : taken;
            fwrite(at, 1, text, strings);
        }
        client->skip -= taken;
        if (client->skip == 0) {
            if (client->keeps) putc('\n', strings);
            client->awaited--;
        }
        return taken;
    }
    const char *end = memchr(at, '\n', len);
    if (!end) return 0;
    long long number = strtoll(at + 1, NULL, 10);
    switch (*at) {
    case '$':
        if (number < 0) break;
        client->skip = (uint64_t)number + 2;
        client->keeps = strings != NULL;
        return (size_t)(end - at) + 1;
    case '*':
        client->awaited += number > 0 ? (uint64_t)number : 0;
        break;
    case '-':
        if (!errors++ && !errors_allowed)
            fprintf(stderr, "load: the server answers %.*s\n", (int)(end - at), at);
        break;
    default:
        break;
    }
    client->awaited--;
    return (size_t)(end - at) + 1;
}

static void receive(struct client *client) {
    for (;;) {
        size_t room = IN_SIZE - client->in_len;
        ssize_t got = recv(client->socket, client->in + client->in_len, room, 0);
        if (got < 0 && errno == EAGAIN) return;
        if (got < 0) fail("receiving");
        if (got == 0) fail("the server closed the connection");
        client->in_len += (size_t)got;
        bytes_received += (uint64_t)got;
        size_t at = 0, taken;
        while (client->awaited && at < client->in_len &&
               (taken = take_piece(client, client->in + at, client->in_len - at)))
            at += taken;
        client->in_len -= at;
        memmove(client->in, client->in + at, client->in_len);
        if (!client->awaited || (size_t)got < room) return; /* there was no more */
    }
}

/* One command on a blocking socket, for which +OK is awaited. */
static void select_database(int socket, const char *number) {
    char command[64], answer[64];
    int len = snprintf(command, sizeof command, "SELECT %s\r\n", number);
    if (write(socket, command, (size_t)len) != len || read(socket, answer, sizeof answer) < 5 ||
        answer[0] != '+')
        fail("SELECT");
}

static void connect_client(struct client *client, int port, const char *database) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    client->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (client->socket < 0 || connect(client->socket, (void *)&address, sizeof address) < 0)
        fail("connecting");
    setsockopt(client->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (strcmp(database, "0") != 0) select_database(client->socket, database);
    fcntl(client->socket, F_SETFL, O_NONBLOCK);
    client->in = allocate(NULL, IN_SIZE);
}

static void run(struct client *clients) {
    int poll = epoll_create1(0);
    uint64_t busy = 0;
    for (uint64_t i = 0; i < clients_len; i++) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET,
                                    .data.ptr = &clients[i]};
        fill_batch(&clients[i]);
        if (!clients[i].awaited) continue;
        busy++;
        if (epoll_ctl(poll, EPOLL_CTL_ADD, clients[i].socket, &event) < 0) fail("epoll");
    }
    while (busy) {
        struct epoll_event events[64];
        int ready = epoll_wait(poll, events, 64, 60000);
        if (ready <= 0) fail("no answer within a minute");
        for (int i = 0; i < ready; i++) {
            struct client *client = events[i].data.ptr;
            if (!client->awaited) continue;
            receive(client);
            if (!client->awaited) {
                fill_batch(client);
                if (!client->awaited) busy--;
            }
            send_batch(client);
        }
    }
    close(poll);
}

int main(int argc, char **argv) {
    int port = 0, option;
    const char *database = "0";
    bool last_from_stdin = false;
    while ((option = getopt(argc, argv, "+p:n:b:c:d:k:s:f:o:v:xeh")) != -1) {
        switch (option) {
        case 'p':
            port = atoi(optarg);
            break;
        case 'n':
            total = strtoull(optarg, NULL, 10);
            break;
        case 'b':
            database = optarg;
            break;
        case 'c':
            clients_len = strtoull(optarg, NULL, 10);
            break;
        case 'd':
            depth = strtoull(optarg, NULL, 10);
            break;
        case 'k':
            map_keys(optarg);
            break;
        case 's':
            seed = strtoull(optarg, NULL, 10), in_random_order = true;
            break;
        case 'f':
            first = strtoull(optarg, NULL, 10);
            break;
        case 'o':
            if (!(strings = fopen(optarg, "w"))) fail(optarg);
            break;
        case 'v':
            sign_key = optarg;
            break;
        case 'x':
            last_from_stdin = true;
            break;
        case 'e':
            errors_allowed = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    if (!port || !total || !clients_len || !depth || optind == argc) {
        fputs(usage, stderr);
        return 2;
    }
    if (sign_key && !secret_start()) fail("libsodium");
    encode(argv + optind, argc - optind, last_from_stdin);
    uint64_t operations = total;
    total *= commands_len;
    struct client *clients = calloc(clients_len, sizeof *clients);
    if (!clients) fail("memory");
    for (uint64_t i = 0; i < clients_len; i++) connect_client(&clients[i], port, database);

    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    run(clients);
    clock_gettime(CLOCK_MONOTONIC, &to);
    if (strings && fclose(strings) != 0) fail("writing");
    printf("%llu %.9f %llu %llu %llu\n", (unsigned long long)operations,
           (double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9,
           (unsigned long long)errors, (unsigned long long)bytes_sent,
           (unsigned long long)bytes_received);
    return errors && !errors_allowed ? 1 : 0;
}
