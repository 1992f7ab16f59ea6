/*
 * replay.c - the internal commands of replay.h.
 */
#define _GNU_SOURCE /* memmem */
#include "replay.h"

#include <string.h>

#include "alias.h"
#include "effects.h"
#include "error.h"
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
 * served meanwhile. Servers before 6.0.9 may lack both flags (they came with 5.0.4 and 5.0.6);
 * there, a read-only replica takes writes from its master alone. */
static bool from_server(RedisModuleCtx *ctx) {
    int flags = RedisModule_GetContextFlags(ctx);
    if (flags & (REDISMODULE_CTX_FLAGS_REPLICATED | REDISMODULE_CTX_FLAGS_LOADING)) return true;
    if (RedisModule_GetContextFlagsAll) return false;
    int read_only_replica = REDISMODULE_CTX_FLAGS_SLAVE | REDISMODULE_CTX_FLAGS_READONLY;
    return (flags & read_only_replica) == read_only_replica || info_says_loading(ctx);
}

/* Whether the command has to be refused; then it was. */
static bool refused(RedisModuleCtx *ctx, bool arity_holds) {
    if (!from_server(ctx)) {
        server_reply_error(ctx, ERROR_INTERNAL, 0);
        return true;
    }
    if (!arity_holds) RedisModule_WrongArity(ctx);
    return !arity_holds;
}

static RedisModuleKey *open_key(RedisModuleCtx *ctx, RedisModuleString *token) {
    return RedisModule_OpenKey(ctx, token, REDISMODULE_READ | REDISMODULE_WRITE);
}

/* A number of an effect; 0 for anything that effects.c could not have sent. */
static long long number(const RedisModuleString *arg) {
    long long value;
    return RedisModule_StringToLongLong(arg, &value) == REDISMODULE_OK && value > 0 ? value : 0;
}

static uint32_t ttl(const RedisModuleString *arg) {
    long long value = number(arg);
    return value <= UINT32_MAX ? (uint32_t)value : 0;
}

/* Sets the payloads of an effect: names and data by turns. */
static void put_all(struct session *session, RedisModuleString **payloads, int payloads_len) {
    for (int i = 0; i + 1 < payloads_len; i += 2) {
        struct bytes name = server_bytes(payloads[i]), data = server_bytes(payloads[i + 1]);
        bool fits = name.len >= 1 && name.len <= SESSION_NAME_MAX && data.len >= 1 &&
                    data.len <= SESSION_DATA_MAX;
        if (fits) session_put(session, name.at, name.len, data.at, data.len);
    }
}

static void signal_change(RedisModuleCtx *ctx, RedisModuleString *token) {
    if (server_signals_explicitly()) RedisModule_SignalModifiedKey(ctx, token);
}

/* Ends a replay: the command goes on to whoever follows this server. */
static int done(RedisModuleCtx *ctx) {
    RedisModule_ReplicateVerbatim(ctx);
    return RedisModule_ReplyWithSimpleString(ctx, "OK");
}

/* Ends one that opened a key, and changed it or found nothing to change. */
static int done_with(RedisModuleCtx *ctx, RedisModuleKey *key, RedisModuleString *name,
                     bool changed) {
    RedisModule_CloseKey(key);
    if (changed) signal_change(ctx, name);
    return done(ctx);
}

int replay_start(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (refused(ctx, argc == 4 || (argc >= 6 && argc % 2 == 0))) return REDISMODULE_OK;
    RedisModuleKey *key = open_key(ctx, argv[1]);
    long long expire_at = number(argv[2]);
    struct session_times times = {.ttl = ttl(argv[3])};
    if (argc == 4) {
        times.created_ms = expire_at - (long long)times.ttl * 1000;
        if (times.created_ms < 0) times.created_ms = 0; /* unknown: nobody sent this */
    } else {
        times.created_ms = number(argv[4]);
        times.deadline_ms = number(argv[5]);
    }
    struct session *session = type_create(key, times);
    if (argc > 6) put_all(session, argv + 6, argc - 6);
    type_expire_at(key, expire_at);
    return done_with(ctx, key, argv[1], true);
}

int replay_pset(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (refused(ctx, argc >= 4 && argc % 2 == 0)) return REDISMODULE_OK;
    RedisModuleKey *key = open_key(ctx, argv[1]);
    struct session *session = type_session(key);
    if (session) put_all(session, argv + 2, argc - 2);
    return done_with(ctx, key, argv[1], session);
}

int replay_pdel(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (refused(ctx, argc == 3)) return REDISMODULE_OK;
    RedisModuleKey *key = open_key(ctx, argv[1]);
    struct session *session = type_session(key);
    struct bytes name = server_bytes(argv[2]);
    if (session) session_delete(session, name.at, name.len);
    return done_with(ctx, key, argv[1], session);
}

int replay_expire(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (refused(ctx, argc == 4)) return REDISMODULE_OK;
    RedisModuleKey *key = open_key(ctx, argv[1]);
    struct session *session = type_session(key);
    if (session) {
        session->times.ttl = ttl(argv[3]);
        type_expire_at(key, number(argv[2]));
    }
    return done_with(ctx, key, argv[1], session);
}

int replay_touch(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (refused(ctx, argc == 3)) return REDISMODULE_OK;
    RedisModuleKey *key = open_key(ctx, argv[1]);
    struct session *session = type_session(key);
    if (session) type_expire_at(key, number(argv[2]));
    return done_with(ctx, key, argv[1], session);
}

/* Deletes the sessions and the aliases of these names, argc of them. */
static void remove_all(RedisModuleCtx *ctx, RedisModuleString **names, int names_len) {
    for (int i = 0; i < names_len; i++) {
        RedisModuleKey *key = open_key(ctx, names[i]);
        bool is_ours = type_session(key) || alias_of(key);
        if (is_ours) type_remove(key);
        RedisModule_CloseKey(key);
        if (is_ours) signal_change(ctx, names[i]);
    }
}

int replay_end(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (refused(ctx, argc >= 2)) return REDISMODULE_OK;
    remove_all(ctx, argv + 1, argc - 1);
    return done(ctx);
}

int replay_signal(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (refused(ctx, argc >= 2)) return REDISMODULE_OK;
    for (int i = 1; i < argc; i++) signal_change(ctx, argv[i]);
    return done(ctx);
}

int replay_rotate(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (refused(ctx, argc >= 7 && RedisModule_StringCompare(argv[1], argv[2]) != 0))
        return REDISMODULE_OK;
    remove_all(ctx, argv + 7, argc - 7);
    RedisModuleKey *from = open_key(ctx, argv[1]);
    if (!type_session(from)) return done_with(ctx, from, argv[1], false);
    RedisModuleKey *to = open_key(ctx, argv[2]);
    type_move(from, to);
    struct session *session = type_session(to);
    session->times.deadline_ms = number(argv[4]);
    session->times.ttl = ttl(argv[5]);
    type_expire_at(to, number(argv[3]));

    long long alias_expire_at = number(argv[6]);
    if (alias_expire_at && alias_create(from, server_bytes(argv[2])))
        type_expire_at(from, alias_expire_at);
    else
        type_remove(from);
    RedisModule_CloseKey(to);
    signal_change(ctx, argv[2]);
    return done_with(ctx, from, argv[1], true);
}

int replay_alias(RedisModuleCtx *ctx, RedisModuleString **argv, int argc) {
    if (refused(ctx, argc == 3)) return REDISMODULE_OK;
    RedisModuleKey *key = open_key(ctx, argv[1]);
    alias_create(key, server_bytes(argv[2]));
    return done_with(ctx, key, argv[1], true);
}
