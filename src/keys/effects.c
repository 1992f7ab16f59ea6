/*
 * effects.c - the effects of effects.h, sent.
 *
 * RedisModule_Replicate also when nobody seems to listen: a module cannot know (a replication
 * backlog, a slot under migration), and a skipped effect is a lost write.
 */
#include "effects.h"

#include <errno.h>

#define CREATED(times) ((long long)(times)->created_ms)
#define DEADLINE(times) ((long long)(times)->deadline_ms)
#define TTL(times) ((long long)(times)->ttl)

/* What RedisModule_Replicate answered. It refuses nothing that is sent here; should a server do so
 * all the same, then its operator must know that AOF and replicas go their own way from here on. */
static void sent(RedisModuleCtx *ctx, int outcome) {
    if (outcome != REDISMODULE_OK)
        RedisModule_Log(ctx, "warning",
                        "the server refused to replicate a change (errno %d): its AOF and its"
                        " replicas lack it from now on",
                        errno);
}

/* The decimal digits of a number above 0, written at the end of the buffer. As text a number costs
 * the server one allocation, as 'l' two. */
static struct bytes digits_of(char buffer[20], long long number) {
    char *at = buffer + 20;
    do *--at = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    return (struct bytes){.at = at, .len = (size_t)(buffer + 20 - at)};
}

/* The ttl goes on as the argument it came as, and the short form saves two numbers: each number
 * costs the server an allocation. */
void effects_start(RedisModuleCtx *ctx, RedisModuleString *token, long long expire_at,
                   RedisModuleString *ttl, const struct session_times *times,
                   RedisModuleString **payloads, size_t payloads_len) {
    char buffer[20];
    struct bytes at = digits_of(buffer, expire_at);
    if (!times->deadline_ms && payloads_len == 0)
        sent(ctx, RedisModule_Replicate(ctx, REPLAY_START, "sbs", token, at.at, at.len, ttl));
    else
        sent(ctx, RedisModule_Replicate(ctx, REPLAY_START, "sbsllv", token, at.at, at.len, ttl,
                                        CREATED(times), DEADLINE(times), payloads, payloads_len));
}

void effects_pset(RedisModuleCtx *ctx, RedisModuleString *token, RedisModuleString **payloads,
                  size_t payloads_len) {
    sent(ctx, RedisModule_Replicate(ctx, REPLAY_PSET, "sv", token, payloads, payloads_len));
}

void effects_pdel(RedisModuleCtx *ctx, RedisModuleString *token, RedisModuleString *name) {
    sent(ctx, RedisModule_Replicate(ctx, REPLAY_PDEL, "ss", token, name));
}

void effects_expire(RedisModuleCtx *ctx, RedisModuleString *token, long long expire_at,
                    RedisModuleString *ttl) {
    char buffer[20];
    struct bytes at = digits_of(buffer, expire_at);
    sent(ctx, RedisModule_Replicate(ctx, REPLAY_EXPIRE, "sbs", token, at.at, at.len, ttl));
}

void effects_touch(RedisModuleCtx *ctx, RedisModuleString *token, long long expire_at) {
    char buffer[20];
    struct bytes at = digits_of(buffer, expire_at);
    sent(ctx, RedisModule_Replicate(ctx, REPLAY_TOUCH, "sb", token, at.at, at.len));
}

void effects_rotate(RedisModuleCtx *ctx, RedisModuleString *token, RedisModuleString *successor,
                    long long expire_at, const struct session_times *times,
                    long long alias_expire_at, RedisModuleString **aliases, size_t aliases_len) {
    sent(ctx,
         RedisModule_Replicate(ctx, REPLAY_ROTATE, "ssllllv", token, successor, expire_at,
                               DEADLINE(times), TTL(times), alias_expire_at, aliases, aliases_len));
}

/* Most sessions end by their own token: a list of one costs the server another allocation. */
void effects_end(RedisModuleCtx *ctx, RedisModuleString **tokens, size_t tokens_len) {
    if (tokens_len == 1)
        sent(ctx, RedisModule_Replicate(ctx, REPLAY_END, "s", tokens[0]));
    else
        sent(ctx, RedisModule_Replicate(ctx, REPLAY_END, "v", tokens, tokens_len));
}

void effects_signal(RedisModuleCtx *ctx, RedisModuleString **aliases, size_t aliases_len) {
    sent(ctx, RedisModule_Replicate(ctx, REPLAY_SIGNAL, "v", aliases, aliases_len));
}

void effects_rewrite(RedisModuleIO *aof, RedisModuleString *token, const struct session *session) {
    /* The session with its first payload; one without payloads must come back too. */
    const struct session_times *times = &session->times;
    struct session_cursor cursor = {0};
    struct payload payload;
    if (!session_next(session, &cursor, &payload)) {
        RedisModule_EmitAOF(aof, REPLAY_START, "sllll", token, 0LL, TTL(times), CREATED(times),
                            DEADLINE(times));
        return;
    }
    RedisModule_EmitAOF(aof, REPLAY_START, "sllllbb", token, 0LL, TTL(times), CREATED(times),
                        DEADLINE(times), payload.name, payload.name_len, payload.data,
                        payload.data_len);
    while (session_next(session, &cursor, &payload))
        RedisModule_EmitAOF(aof, REPLAY_PSET, "sbb", token, payload.name, payload.name_len,
                            payload.data, payload.data_len);
}

void effects_rewrite_alias(RedisModuleIO *aof, RedisModuleString *token, struct bytes successor) {
    RedisModule_EmitAOF(aof, REPLAY_ALIAS, "sb", token, successor.at, successor.len);
}
