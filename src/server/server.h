/*
 * server.h - the server's module API, and which of its newer parts this server has.
 *
 * The header is Redis 7.0's; one binary loads on Redis 4.0 and later and on Valkey. A call that an
 * older server lacks is a NULL pointer: test it before use. Calls newer than the header are asked
 * for by name.
 */
#ifndef SESSIONGATE_SERVER_H
#define SESSIONGATE_SERVER_H

#include <redismodule.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "error.h"

/* Bytes of an argument; they belong to the string they were taken from. */
struct bytes {
    const char *at;
    size_t len;
};

static inline struct bytes server_bytes(const RedisModuleString *string) {
    struct bytes bytes;
    bytes.at = RedisModule_StringPtrLen(string, &bytes.len);
    return bytes;
}

/* Writes then go by one handle opened for writing, and signal themselves (Redis 6.0 and later).
 * Before, closing such a handle signals WATCH even when nothing was changed, so a call opens its
 * key for reading and opens it again when it is about to change it. */
static inline bool server_signals_explicitly(void) {
    return RedisModule_SignalModifiedKey != NULL;
}

/* The server's version as 0x00MMmmpp, 0 where it does not say (before Redis 6.0.9); Valkey's own on
 * Valkey. */
static inline int server_version(void) {
    return RedisModule_GetServerVersion ? RedisModule_GetServerVersion() : 0;
}

static inline bool server_is_valkey(void) {
    void *call = NULL;
    return RedisModule_GetApi("ValkeyModule_Call", (void *)&call) == REDISMODULE_OK;
}

/* limit is the number in the error's sentence, where it has one. */
static inline int server_reply_error(RedisModuleCtx *ctx, enum error error, long long limit) {
    char message[ERROR_MESSAGE_SIZE];
    error_message(message, error, limit);
    return RedisModule_ReplyWithError(ctx, message);
}

/* Whether a value stored in that format can be read; if not, the log says why. */
static inline bool server_reads_format(RedisModuleIO *rdb, const char *what, int format, int ours) {
    if (format == ours) return true;
    RedisModule_LogIOError(rdb, "warning",
                           "%s is stored in format %d, this SessionGate reads format %d: load the"
                           " SessionGate that wrote it",
                           what, format, ours);
    return false;
}

static inline int server_reply_text(RedisModuleCtx *ctx, const char *text) {
    return RedisModule_ReplyWithStringBuffer(ctx, text, strlen(text));
}

/* Begins a reply of pairs: a map for clients that know them, else an array of names and values. */
static inline void server_reply_map(RedisModuleCtx *ctx, long pairs) {
    if (RedisModule_ReplyWithMap)
        RedisModule_ReplyWithMap(ctx, pairs);
    else
        RedisModule_ReplyWithArray(ctx, 2 * pairs);
}

#endif
