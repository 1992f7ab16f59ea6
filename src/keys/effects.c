/*
 * effects.c - the effects of effects.h, sent.
 *
 * RedisModule_Replicate also when nobody seems to listen: a module cannot know (a replication
 * backlog, a slot under migration), and a skipped effect is a lost write.
 */
#include "effects.h"

#include "chunk.h"
#include "memory.h"

#define CREATED(times) ((long long)(times)->created_ms)
#define DEADLINE(times) ((long long)(times)->deadline_ms)
#define TTL(times) ((long long)(times)->ttl)

/* What RedisModule_Replicate answered. It refuses nothing that is sent here; should a server do so
 * all the same, then its operator must know that AOF and replicas go their own way from here on. */
static void was_sent(RedisModuleCtx *ctx, int outcome) {
    if (outcome == REDISMODULE_OK) return;
    RedisModule_Log(ctx, "warning",
                    "the server refused to replicate a change: its AOF and its replicas lack it");
}

/* The decimal digits of a number from 0 on, written at the end of the buffer. As text a number
 * costs the server one allocation, as 'l' two. */
static struct bytes digits_of(char buffer[20], long long number) {
    char *at = buffer + 20;
    for (uint64_t rest = (uint64_t)number, tenth;; rest = tenth) {
        tenth = rest / 10;
        *--at = (char)('0' + (rest - 10 * tenth));
        if (tenth == 0) break;
    }
    return (struct bytes){.at = at, .len = (size_t)(buffer + 20 - at)};
}

/* The ttl goes on as the argument it came as, and the short form saves two numbers. */
void effects_start(RedisModuleCtx *ctx, RedisModuleString *token, long long expire_at,
                   RedisModuleString *ttl, const struct session_times *times,
                   struct strings payloads) {
    char buffer[20];
    struct bytes at = digits_of(buffer, expire_at);
    if (!times->deadline_ms && payloads.len == 0)
        was_sent(ctx, RedisModule_Replicate(ctx, REPLAY_START, "sbs", token, at.at, at.len, ttl));
    else
        was_sent(ctx,
                 RedisModule_Replicate(ctx, REPLAY_START, "sbsllv", token, at.at, at.len, ttl,
                                       CREATED(times), DEADLINE(times), payloads.at, payloads.len));
}

/* Sends the effect of a change, in SWEPT where payloads were removed before. The format, a literal,
 * is of what follows the token. */
#define SEND(ctx, change, name, format, ...)                                                       \
    was_sent(ctx,                                                                                  \
             (change)->sweep.payloads > 0                                                          \
                 ? RedisModule_Replicate(                                                          \
                       ctx, REPLAY_SWEPT, "sllcs" format, (change)->token, (change)->sweep.now_ms, \
                       (long long)(change)->sweep.payloads, name, (change)->token, __VA_ARGS__)    \
                 : RedisModule_Replicate(ctx, name, "s" format, (change)->token, __VA_ARGS__))

/* Most calls come through no alias. A list costs the server another allocation, even an empty one.
 */
void effects_pset(RedisModuleCtx *ctx, const struct effects_change *change, struct strings payloads,
                  long long ends_at) {
    struct strings aliases = change->aliases;
    if (ends_at)
        SEND(ctx, change, REPLAY_PSETEX, "lssv", ends_at, payloads.at[0], payloads.at[1],
             aliases.at, aliases.len);
    else if (aliases.len > 0)
        SEND(ctx, change, REPLAY_PSETVIA, "lvv", (long long)aliases.len, aliases.at, aliases.len,
             payloads.at, payloads.len);
    else if (payloads.len == 2)
        SEND(ctx, change, REPLAY_PSET, "ss", payloads.at[0], payloads.at[1]);
    else
        SEND(ctx, change, REPLAY_PSET, "v", payloads.at, payloads.len);
}

void effects_pdel(RedisModuleCtx *ctx, const struct effects_change *change,
                  RedisModuleString *name) {
    struct strings aliases = change->aliases;
    if (aliases.len > 0)
        SEND(ctx, change, REPLAY_PDEL, "sv", name, aliases.at, aliases.len);
    else
        SEND(ctx, change, REPLAY_PDEL, "s", name);
}

static void send_oexpire(RedisModuleCtx *ctx, const struct effects_change *change,
                         long long expire_at, long long ttl, struct effects_list list) {
    SEND(ctx, change, REPLAY_OEXPIRE, "slllv", list.owner, expire_at, ttl, list.expire_at,
         change->aliases.at, change->aliases.len);
}

void effects_expire(RedisModuleCtx *ctx, const struct effects_change *change, long long expire_at,
                    RedisModuleString *ttl, struct effects_list list) {
    char buffer[20];
    struct bytes at = digits_of(buffer, expire_at);
    struct strings aliases = change->aliases;
    long long seconds;
    if (list.owner && RedisModule_StringToLongLong(ttl, &seconds) == REDISMODULE_OK)
        send_oexpire(ctx, change, expire_at, seconds, list);
    else if (aliases.len > 0)
        SEND(ctx, change, REPLAY_EXPIRE, "bsv", at.at, at.len, ttl, aliases.at, aliases.len);
    else
        SEND(ctx, change, REPLAY_EXPIRE, "bs", at.at, at.len, ttl);
}

void effects_touch(RedisModuleCtx *ctx, const struct effects_change *change, long long expire_at,
                   uint32_t ttl, struct effects_list list) {
    char buffer[20];
    struct bytes at = digits_of(buffer, expire_at);
    struct strings aliases = change->aliases;
    if (list.owner)
        send_oexpire(ctx, change, expire_at, ttl, list);
    else if (aliases.len > 0)
        SEND(ctx, change, REPLAY_TOUCH, "bv", at.at, at.len, aliases.at, aliases.len);
    else
        SEND(ctx, change, REPLAY_TOUCH, "b", at.at, at.len);
}

void effects_rotate(RedisModuleCtx *ctx, const struct effects_change *change,
                    RedisModuleString *successor, long long expire_at,
                    const struct session_times *times, long long alias_expire_at,
                    struct effects_list list) {
    struct strings aliases = change->aliases;
    if (list.owner)
        SEND(ctx, change, REPLAY_OROTATE, "sslllllv", successor, list.owner, expire_at,
             DEADLINE(times), TTL(times), alias_expire_at, list.expire_at, aliases.at, aliases.len);
    else
        SEND(ctx, change, REPLAY_ROTATE, "sllllv", successor, expire_at, DEADLINE(times),
             TTL(times), alias_expire_at, aliases.at, aliases.len);
}

void effects_end(RedisModuleCtx *ctx, struct strings tokens) {
    if (tokens.len == 1)
        was_sent(ctx, RedisModule_Replicate(ctx, REPLAY_END, "s", tokens.at[0]));
    else
        was_sent(ctx, RedisModule_Replicate(ctx, REPLAY_END, "v", tokens.at, tokens.len));
}

void effects_ostart(RedisModuleCtx *ctx, RedisModuleString *token, struct effects_list list,
                    long long expire_at, RedisModuleString *ttl, const struct session_times *times,
                    struct strings ended, struct strings dead, struct strings payloads) {
    was_sent(ctx,
             RedisModule_Replicate(ctx, REPLAY_OSTART, "sslslllllvvv", token, list.owner, expire_at,
                                   ttl, CREATED(times), DEADLINE(times), list.expire_at,
                                   (long long)ended.len, (long long)dead.len, ended.at, ended.len,
                                   dead.at, dead.len, payloads.at, payloads.len));
}

void effects_oend(RedisModuleCtx *ctx, struct effects_list list, RedisModuleString *kept,
                  struct strings ended, struct strings dead) {
    struct bytes name = kept ? server_bytes(kept) : (struct bytes){"", 0};
    was_sent(ctx, RedisModule_Replicate(ctx, REPLAY_OEND, "slblvv", list.owner, list.expire_at,
                                        name.at, name.len, (long long)ended.len, ended.at,
                                        ended.len, dead.at, dead.len));
}

/* What is left of a walk over a session that is large, as strings for the caller to free. */
static struct strings pack_rest(RedisModuleCtx *ctx, const struct session *session,
                                struct session_cursor *cursor) {
    struct strings chunks = {NULL, 0};
    uint8_t *buffer = NULL;
    size_t capacity = 0, len;
    while ((len = chunk_pack(session, cursor, &buffer, &capacity)) > 0) {
        chunks.at = memory.realloc(chunks.at, (chunks.len + 1) * sizeof *chunks.at);
        chunks.at[chunks.len++] = RedisModule_CreateString(ctx, (const char *)buffer, len);
    }
    memory.free(buffer);
    return chunks;
}

static void rewrite_large(RedisModuleIO *aof, RedisModuleString *token,
                          const struct session *session) {
    RedisModuleCtx *ctx = RedisModule_GetContextFromIO(aof);
    struct session_cursor cursor = {0};
    uint8_t *first = NULL;
    size_t capacity = 0;
    size_t len = chunk_pack_first(session, &cursor, &first, &capacity);
    struct strings more = pack_rest(ctx, session, &cursor);
    RedisModule_EmitAOF(aof, REPLAY_LOAD, "sbv", token, (const char *)first, len, more.at,
                        more.len);
    for (size_t i = 0; i < more.len; i++) RedisModule_FreeString(ctx, more.at[i]);
    memory.free(more.at);
    memory.free(first);
}

/* Nearly all sessions are packed, and need no block of their own to be written from. */
void effects_rewrite(RedisModuleIO *aof, RedisModuleString *token, const struct session *session) {
    if (!session_is_packed(session)) {
        rewrite_large(aof, token, session);
        return;
    }
    uint8_t small[CHUNK_PACKED_MAX], *chunk = small;
    struct session_cursor cursor = {0};
    size_t capacity = sizeof small;
    size_t len = chunk_pack_first(session, &cursor, &chunk, &capacity);
    RedisModule_EmitAOF(aof, REPLAY_LOAD, "sb", token, (const char *)chunk, len);
}

void effects_rewrite_owner(RedisModuleIO *aof, RedisModuleString *owner,
                           const struct tokenlist *tokens) {
    char token[TOKEN_V2_LEN];
    for (uint32_t place = 0; place < tokens->len; place++) {
        tokenlist_get(tokens, place, token);
        RedisModule_EmitAOF(aof, REPLAY_OWNER, "sb", owner, token, sizeof token);
    }
}

void effects_rewrite_alias(RedisModuleIO *aof, RedisModuleString *token, struct bytes successor) {
    RedisModule_EmitAOF(aof, REPLAY_ALIAS, "sb", token, successor.at, successor.len);
}
