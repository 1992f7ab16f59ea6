/*
 * replay.c - the internal commands of replay.h.
 */
#define _GNU_SOURCE /* memmem */
#include "replay.h"

#include <string.h>

#include "type.h"

/* Whether an AOF is being loaded, on a server that has no flag for it. */
static bool info_says_loading(RedisModuleCtx *ctx) {
    RedisModuleCallReply *info = RedisModule_Call(ctx, "INFO", "c", "persistence");
    if (!info) return false;
    size_t len;
    const char *text = RedisModule_CallReplyStringPtr(info, &len);
    static const char sign[] = "loading:1";
    bool loading = text && memmem(text, len, sign, sizeof sign - 1) != NULL;
    RedisModule_FreeCallReply(info);
    return loading;
}

/* Whether the call comes from the server itself: REPLICATED is a property of the client, and while
 * LOADING is set the server refuses every other client. ASYNC_LOADING says nothing: clients are
 * served meanwhile. Servers before 6.0.9 may lack both flags (they came with 5.0.4 and 5.0.6); there, a
 * read-only replica takes writes from its master alone. */
static bool from_server(RedisModuleCtx *ctx) {
    int flags = RedisModule_GetContextFlags(ctx);
    if (flags & (REDISMODULE_CTX_FLAGS_REPLICATED | REDISMODULE_CTX_FLAGS_LOADING)) return true;
    if (RedisModule_GetContextFlagsAll) return false;
    int read_only_replica = REDISMODULE_CTX_FLAGS_SLAVE | REDISMODULE_CTX_FLAGS_READONLY;
    return (flags & read_only_replica) == read_only_replica || info_says_loading(ctx);
}

static bool refused(RedisModuleCtx *ctx, int argc, int arity) {
    if (!from_server(ctx)) {
        RedisModule_ReplyWithError(ctx, error_message(ERROR_INTERNAL));
        return true;
    }
    if (argc != arity) {
        RedisModule_WrongArity(ctx);
        return true;
    }
    return false;
}

/* The session under that name; a new one when there is none, or when the name holds something else. */
static struct session *session_under(RedisModuleKey *key) {
    enum error error;
    struct session *session = type_session(key, &error);
    return session ? session : type_create(key);
}

static RedisModuleKey *open_key(RedisModuleCtx *ctx, RedisModuleString *token) {
    return RedisModule_OpenKey(ctx, token, REDISMODULE_READ | REDISMODULE_WRITE);
}

/* Ends a replay: others hear of the change, the command goes on to whoever follows this server. */
static int done(RedisModuleCtx *ctx, RedisModuleKey *key, RedisModuleString *token) {
    RedisModule_CloseKey(key);
    if (server_signals_explicitly()) RedisModule_SignalModifiedKey(ctx, token);
    RedisModule_ReplicateVerbatim(ctx);
    return RedisModule_ReplyWithSimpleString(ctx, "OK");
}

int replay_start(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (refused(ctx, argc, 3)) return REDISMODULE_OK;
    long long expire_at = 0;
    RedisModule_StringToLongLong(argv[2], &expire_at);
    RedisModuleKey *key = open_key(ctx, argv[1]);
    type_create(key);
    if (expire_at > 0) type_expire_at(key, expire_at);
    return done(ctx, key, argv[1]);
}

int replay_pset(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (refused(ctx, argc, 4)) return REDISMODULE_OK;
    struct bytes name = server_bytes(argv[2]), data = server_bytes(argv[3]);
    RedisModuleKey *key = open_key(ctx, argv[1]);
    session_put(session_under(key), name.at, name.len, data.at, data.len);
    return done(ctx, key, argv[1]);
}

int replay_pdel(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (refused(ctx, argc, 3)) return REDISMODULE_OK;
    struct bytes name = server_bytes(argv[2]);
    RedisModuleKey *key = open_key(ctx, argv[1]);
    session_delete(session_under(key), name.at, name.len);
    return done(ctx, key, argv[1]);
}
