/*
 * effects.c - the effects of effects.h, sent.
 *
 * RedisModule_Replicate also when nobody seems to listen: a module cannot know (a replication
 * backlog, a slot under migration), and a skipped effect is a lost write.
 */
#include "effects.h"

#define CREATED(times) ((long long)(times)->created_ms)
#define DEADLINE(times) ((long long)(times)->deadline_ms)
#define TTL(times) ((long long)(times)->ttl)

/* The ttl goes on as the argument it came as, and the short form saves two numbers: each number
 * costs the server two allocations, 600 instructions of START's 25,000. */
void effects_start(RedisModuleCtx *ctx, RedisModuleString *token, long long expire_at,
                   RedisModuleString *ttl, const struct session_times *times,
                   RedisModuleString **payloads, size_t payloads_len) {
    if (!times->deadline_ms && payloads_len == 0)
        RedisModule_Replicate(ctx, REPLAY_START, "sls", token, expire_at, ttl);
    else
        RedisModule_Replicate(ctx, REPLAY_START, "slsllv", token, expire_at, ttl, CREATED(times),
                              DEADLINE(times), payloads, payloads_len);
}

void effects_pset(RedisModuleCtx *ctx, RedisModuleString *token, RedisModuleString **payloads,
                  size_t payloads_len) {
    RedisModule_Replicate(ctx, REPLAY_PSET, "sv", token, payloads, payloads_len);
}

void effects_pdel(RedisModuleCtx *ctx, RedisModuleString *token, RedisModuleString *name) {
    RedisModule_Replicate(ctx, REPLAY_PDEL, "ss", token, name);
}

void effects_expire(RedisModuleCtx *ctx, RedisModuleString *token, long long expire_at,
                    uint32_t ttl) {
    RedisModule_Replicate(ctx, REPLAY_EXPIRE, "sll", token, expire_at, (long long)ttl);
}

void effects_touch(RedisModuleCtx *ctx, RedisModuleString *token, long long expire_at) {
    RedisModule_Replicate(ctx, "PEXPIREAT", "sl", token, expire_at);
}

void effects_rotate(RedisModuleCtx *ctx, RedisModuleString *token, RedisModuleString *successor,
                    long long expire_at, const struct session_times *times,
                    long long alias_expire_at) {
    RedisModule_Replicate(ctx, REPLAY_ROTATE, "ssllll", token, successor, expire_at,
                          DEADLINE(times), TTL(times), alias_expire_at);
}

void effects_end(RedisModuleCtx *ctx, RedisModuleString **tokens, size_t tokens_len) {
    RedisModule_Replicate(ctx, "UNLINK", "v", tokens, tokens_len);
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
