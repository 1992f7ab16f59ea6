/*
 * stats.c - the section of INFO.
 */
#include "stats.h"

#include <stdatomic.h>
#include <string.h>

#include "token.h"
#include "version.h"

struct stats stats;

/* Sessions are also freed by a thread of the server's. */
static atomic_llong sessions_live;

void stats_sessions_live(int more) {
    atomic_fetch_add_explicit(&sessions_live, more, memory_order_relaxed);
}

void stats_refused(enum error error) {
    if (error == ERROR_TOKEN_FORM)
        stats.refused_bad_token++;
    else if (error == ERROR_SIGNATURE)
        stats.refused_bad_signature++;
    else if (error == ERROR_NO_SESSION)
        stats.refused_no_session++;
    else if (error == ERROR_NO_PAYLOAD)
        stats.payload_misses++;
}

static void show_section(RedisModuleInfoCtx *info, int for_crash_report) {
    (void)for_crash_report;
    /* The server puts the module's name before the section's and each field's. */
    RedisModule_InfoAddSection(info, "");
    RedisModule_InfoAddFieldCString(info, "version", SESSIONGATE_VERSION);
    RedisModule_InfoAddFieldCString(info, "build", SESSIONGATE_BUILD);
    RedisModule_InfoAddFieldLongLong(info, "sessions_live",
                                     atomic_load_explicit(&sessions_live, memory_order_relaxed));
#define X(name) RedisModule_InfoAddFieldULongLong(info, #name, stats.name);
    STATS_LIST(X)
#undef X
}

/* The server tells only the name of a key that is gone, so the form of the name has to do. */
static int on_gone(RedisModuleCtx *ctx, int type, const char *event, RedisModuleString *key) {
    (void)ctx;
    (void)event;
    struct bytes name = server_bytes(key);
    if (!token_has_form(name.at, name.len)) return REDISMODULE_OK;
    if (type == REDISMODULE_NOTIFY_EXPIRED)
        stats.tokens_expired++;
    else
        stats.tokens_evicted++;
    return REDISMODULE_OK;
}

void stats_load(RedisModuleCtx *ctx) {
    if (RedisModule_RegisterInfoFunc) RedisModule_RegisterInfoFunc(ctx, show_section);
    if (!RedisModule_SubscribeToKeyspaceEvents) return;
    /* Before Valkey 9 a client whose MOVE or COPY meets an expired key is left in the other
     * database when a module listens to expiry (seen on 8.1.1): a counter is not worth that. */
    bool safe = !server_is_valkey() || server_version() >= 0x00090000;
    int events = REDISMODULE_NOTIFY_EVICTED | (safe ? REDISMODULE_NOTIFY_EXPIRED : 0);
    RedisModule_SubscribeToKeyspaceEvents(ctx, events, on_gone);
}
